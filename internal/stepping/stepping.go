//go:build ringstep

package stepping

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Mode is what happens to the process before its store number k.
type Mode uint8

const (
	Count Mode = iota // nothing: the operation runs to its end, its stores are counted
	Kill              // it is killed; the daemon puts right what it left
	Stop              // it is stopped, others go on, it wakes and goes on
	Evict             // it is stopped, the daemon takes its slot back, others go on, it wakes
)

// String names the mode.
func (m Mode) String() string { return [...]string{"count", "kill", "stop", "evict"}[m] }

// Op is one operation.
type Op struct {
	Name string
	// Child, in the process that is stopped, does what comes before and returns the operation.
	Child func(c *Child) (run func() error, err error)
	Part  func() Part
	Evict bool // there is a slot to be taken back
	// Rounds: the operation runs in rounds, from 1 up, each with stores of its own,
	// until the process says that it was the last (Child.Last).
	Rounds bool
}

// Part is everybody else, for one run of an operation.
type Part interface {
	// Open makes what is there before the process starts, in dir.
	Open(dir string) error
	// Ready: the process has done what comes before its operation and said so.
	Ready(said []uint64) error
	// Stopped: it has stopped; with evicted the daemon takes its slot back.
	Stopped(evicted bool) error
	// Dead: it was killed. What the daemon does now, what the next process finds, and
	// the books. far says how far the operation came: with more of its stores done it
	// is not less.
	Dead() (far int, err error)
	// Idle is called now and then while it goes on after a stop.
	Idle() error
	// Done: the operation is complete. The answer reaches Child.After.
	Done() (answer []uint64, err error)
	// Ended: the process has ended by itself. The rest is as with Dead.
	Ended(said []uint64, evicted bool) error
	// Close ends what is left, of a run that failed, too.
	Close()
}

var only = flag.String("step", "", "the operations to step through: those with this in their name")

// record is what came of one operation.
type record struct {
	stores            uint64
	rounds            int
	kills, stops, bad int
	errs              []error
}

const (
	workers     = 2
	errorsShown = 4 // of an operation
)

// Test steps through all operations and prints a line for each.
func Test(t *testing.T, ops []Op) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("needs a tmpfs at /dev/shm: ", err)
	}
	ops = slices.DeleteFunc(ops, func(op Op) bool { return !strings.Contains(op.Name, *only) })
	records := make([]record, len(ops))
	next := make(chan int)
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			for i := range next {
				records[i].run(&ops[i])
			}
		})
	}
	for i := range ops {
		next <- i
	}
	close(next)
	work.Wait()
	var all record
	for i, r := range records {
		fmt.Printf("counts: steps: %s %d stores, %d kills, %d stops, %d violations\n", ops[i].Name, r.stores, r.kills, r.stops, r.bad)
		for _, err := range r.errs {
			t.Errorf("%s: %v", ops[i].Name, err)
		}
		if r.stores == 0 {
			t.Errorf("%s: no store was seen", ops[i].Name)
		}
		if want := int(r.stores) + r.rounds; r.bad == 0 && (r.kills != want || r.stops%want != 0 || r.stops == 0) {
			t.Errorf("%s: of %d places %d were killed at, and %d stopped", ops[i].Name, want, r.kills, r.stops)
		}
		all.stores, all.kills, all.stops, all.bad = all.stores+r.stores, all.kills+r.kills, all.stops+r.stops, all.bad+r.bad
	}
	fmt.Printf("counts: steps: all %d operations: %d stores, %d kills, %d stops, %d violations\n", len(ops), all.stores, all.kills, all.stops, all.bad)
}

// run goes through all rounds of an operation.
func (r *record) run(op *Op) {
	for round := uint64(1); ; round++ {
		if last := r.round(op, round); last || !op.Rounds {
			return
		}
	}
}

// round goes through an operation: each k is before a store, and the last one behind
// them all.
func (r *record) round(op *Op, round uint64) (last bool) {
	counted, err := op.once(run{round, 0, Count})
	if err != nil {
		r.note(run{round, 0, Count}, err)
		return true
	}
	r.stores, r.rounds = r.stores+counted.stores, r.rounds+1
	far := 0
	for k := uint64(1); k <= counted.stores+1; k++ {
		one := run{round, k, Kill}
		came, err := op.once(one)
		if err == nil && came.far < far {
			err = fmt.Errorf("what was done before an earlier store (%d) is lost (%d)", far, came.far)
		}
		far = max(far, came.far)
		r.kills++
		r.note(one, err)
		for _, one.mode = range []Mode{Stop, Evict} {
			if one.mode == Evict && !op.Evict {
				continue
			}
			_, err := op.once(one)
			r.stops++
			r.note(one, err)
		}
	}
	return counted.last
}

func (r *record) note(one run, err error) {
	if err == nil {
		return
	}
	if r.bad++; r.bad <= errorsShown {
		r.errs = append(r.errs, fmt.Errorf("round %d, store %d, %s: %w", one.round, one.k, one.mode, err))
	}
}

// run names one process.
type run struct {
	round, k uint64
	mode     Mode
}

// result is what came of it: of an operation that was complete, its stores and
// whether it was the last round; of a killed one, how far it came.
type result struct {
	stores uint64
	last   bool
	far    int
}

// once runs an operation once, in a new process.
func (op *Op) once(one run) (came result, err error) {
	dir, err := os.MkdirTemp("/dev/shm", "ring-step-")
	if err != nil {
		return came, err
	}
	defer os.RemoveAll(dir)
	part := op.Part()
	defer part.Close()
	if err := part.Open(dir); err != nil {
		return came, fmt.Errorf("open: %w", err)
	}
	v, err := start(op.Name, one, dir)
	if err != nil {
		return came, err
	}
	defer func() { err = errors.Join(err, v.end()) }()
	said, err := v.hear("ready")
	if err == nil {
		err = part.Ready(said)
	}
	if err == nil {
		err = v.say("go")
	}
	if err != nil {
		return came, fmt.Errorf("ready: %w", err)
	}
	if one.mode == Kill {
		if err := v.awaitKilled(); err != nil {
			return came, err
		}
		came.far, err = part.Dead()
		return came, err
	}
	if one.mode == Count {
		said, err = v.hear("done")
	} else {
		said, err = v.stop(part, one.mode == Evict)
	}
	if err != nil {
		return came, err
	}
	came.stores, came.last = said[0], said[1] == 1
	return came, v.finish(part, one.mode)
}

// stop is a stop and what comes of it, until the operation is complete.
func (v *victim) stop(part Part, evict bool) (said []uint64, err error) {
	if err := v.awaitStopped(); err != nil {
		return nil, err
	}
	if err := part.Stopped(evict); err != nil {
		return nil, fmt.Errorf("while it is stopped: %w", err)
	}
	if v.handle.Exited() {
		return nil, errors.New("a stopped process is taken for a dead one")
	}
	if err := v.wake(); err != nil {
		return nil, err
	}
	return v.hearWhile("done", part.Idle)
}

// finish lets the process end by itself.
func (v *victim) finish(part Part, mode Mode) error {
	answer, err := part.Done()
	if err != nil {
		return fmt.Errorf("done: %w", err)
	}
	if err := v.say("end", answer...); err != nil {
		return err
	}
	said, err := v.hear("ended")
	if err != nil {
		return err
	}
	if err := v.reap(); err != nil {
		return err
	}
	if err := part.Ended(said, mode == Evict); err != nil {
		return fmt.Errorf("ended: %w", err)
	}
	return nil
}
