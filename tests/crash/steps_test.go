package crash

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// stepsMax bounds the steps of an operation: more of them mean that it never ends.
const stepsMax = 200

// operation is something that the daemon is killed in the middle of.
type operation struct {
	name    string
	prepare func(w *world)                       // may be nil
	do      func(w *world) error                 // what is interrupted; what asks again by itself returns when the next daemon is there
	check   func(w *world, killed bool, e error) // e is of do; it asks again, too
	left    int                                  // quarantined rings, afterwards
}

// killEverywhere kills a daemon before each step of an operation.
func killEverywhere(t *testing.T, op operation) {
	t.Helper()
	var names []string
	begin := time.Now()
	for step := 1; ; step++ {
		if step > stepsMax {
			t.Fatalf("%s has not come to its end after %d steps", op.name, stepsMax)
		}
		name := ""
		if !t.Run(strconv.Itoa(step), func(t *testing.T) { name = op.kill(t, step) }) {
			t.Fatalf("%s: wrong when killed at step %d, before %s (after %v)", op.name, step, name, names)
		}
		if name == "" {
			break
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		t.Fatalf("%s: no step was seen", op.name)
	}
	t.Logf("%v: %s", time.Since(begin).Round(time.Millisecond), strings.Join(names, " "))
	fmt.Printf("counts: crash: %s: killed at %d steps, 0 wrong\n", op.name, len(names))
}

// kill runs the operation with a daemon that dies before a step, and says before which
// call that was; "" when the operation has no such step.
func (op operation) kill(t *testing.T, step int) (before string) {
	w := newWorld(t)
	if op.prepare != nil {
		op.prepare(w)
	}
	w.by.publish()
	tr := w.trace(step)
	done := make(chan error, 1)
	go func() { done <- op.do(w) }()
	var err error
	returned := false
	select {
	case err = <-done:
		returned = true
	case <-w.d.Ended:
	}
	if returned && err == nil { // whether or not the daemon lives: nobody traces it from now on
		tr.Kill()
	}
	killed := strings.Contains(tr.Stdout.String(), saidKilled)
	if err != nil || killed || !returned {
		harness.Eventually(t, fmt.Sprintf("the daemon is gone (%v)", err), func() bool { return !w.d.Running() })
		harness.Eventually(t, "the tracer tells", func() bool {
			_, before, killed = strings.Cut(strings.TrimSpace(tr.Stdout.String()), saidKilled)
			return killed
		})
		w.by.publish()
		w.d = w.Start()
		if !returned {
			select {
			case err = <-done:
			case <-time.After(harness.Patience):
				t.Fatal("the interrupted call has not returned")
			}
		}
	}
	op.check(w, killed, err)
	w.by.publish()
	w.by.wantAll()
	w.wantWhole(op.left)
	return before
}

// trace starts the tracer.
func (w *world) trace(step int) *harness.Process {
	w.t.Helper()
	return w.traceProcess(w.d.PID(), step)
}

func (w *world) traceProcess(pid, step int) *harness.Process {
	w.t.Helper()
	cmd := w.Role("tracer")
	cmd.Args = []string{cmd.Args[0], strconv.Itoa(pid), strconv.Itoa(step)}
	tr := harness.Launch(w.t, cmd)
	harness.Eventually(w.t, "the tracer follows", func() bool {
		if !tr.Running() && strings.Contains(tr.Stderr.String(), "operation not permitted") {
			w.t.Skipf("needs the right to trace other processes: %s", tr.Stderr)
		}
		return strings.Contains(tr.Stdout.String(), saidReady) || !tr.Running() && w.t.Failed()
	})
	return tr
}

// wantOneOf is for an operation that was interrupted: it went well, or it was never
// heard of, or it turns out to have been done before when it is asked for again.
func wantOneOf(t *testing.T, what string, err error, others ...error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, other := range others {
		if errors.Is(err, other) {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}
