package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	callMost    = 200 * time.Millisecond // that a victim gives one call
	hangMost    = 8 * time.Second        // that a call may take after it should have ended
	lifeRecords = 20_000                 // after which a victim attaches anew
	attachMost  = 5 * time.Second
)

// ledger is what victims tell of what they went through.
type ledger struct {
	Lives   int            // attachments
	Records uint64         // received and published
	Errors  map[string]int // by name
	Strange []string       // errors without a name
	Epochs  int            // different ones
}

// victims share a ring with a vandal.
type victims struct {
	mu     sync.Mutex
	ledger ledger
	epochs map[uint64]bool
	stop   atomic.Bool
	calls  []*atomic.Int64 // when each victim's last call began
}

// attacher is a Client or a Remote.
type attacher interface {
	Consumer(ctx context.Context, ring string, o client.ConsumerOptions) (*client.Consumer, error)
	Producer(ctx context.Context, ring string, o client.ProducerOptions) (*client.Producer, error)
}

// suffer is a role. Arguments: socket, ring, "" or the address of a gateway, one or
// many producers or a mirror. It attaches in every way, and again whenever that
// has ended, until its input ends; then it prints a ledger. A call that does not
// come back ends it with the stacks of all.
func suffer(args []string) error {
	giveWay()
	socket, ring, address, kind := args[0], args[1], args[2], args[3]
	local, err := harness.Dial(socket)
	if err != nil {
		return err
	}
	defer local.Close()
	v := &victims{ledger: ledger{Errors: map[string]int{}}, epochs: map[uint64]bool{}}
	var all sync.WaitGroup
	run := func(life func(begun *atomic.Int64) error) {
		begun := &atomic.Int64{}
		v.calls = append(v.calls, begun)
		all.Go(func() {
			for !v.stop.Load() {
				v.note(life(begun))
				time.Sleep(attachAgain)
			}
		})
	}
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicyDemote, client.PolicySkip, client.PolicyLatest} {
		run(func(begun *atomic.Int64) error { return v.read(local, ring, policy, begun) })
	}
	sides := []attacher{local}
	if address != "" {
		far, err := client.DialTCP(context.Background(), client.TCPOptions{Address: address, Plain: true, Name: "far", WaitFor: attachMost})
		if err != nil {
			return err
		}
		defer far.Close()
		run(func(begun *atomic.Int64) error { return v.read(far, ring, client.PolicySkip, begun) })
		sides = append(sides, far)
	}
	for _, side := range sides {
		if kind == "many" {
			run(func(begun *atomic.Int64) error { return v.publish(side, ring, begun) })
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, os.Stdin)
		v.stop.Store(true)
		all.Wait()
	}()
	if !v.watch(done) {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		return errors.New("a call does not come back")
	}
	v.ledger.Epochs = len(v.epochs)
	return json.NewEncoder(os.Stdout).Encode(v.ledger)
}

// watch waits for the end; false when somebody hangs.
func (v *victims) watch(done <-chan struct{}) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return true
		case <-tick.C:
		}
		for _, begun := range v.calls {
			if at := begun.Load(); at != 0 && time.Since(time.Unix(0, at)) > hangMost {
				return false
			}
		}
	}
}

// call makes one call, which is watched.
func call(begun *atomic.Int64, most time.Duration, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	begun.Store(time.Now().UnixNano())
	defer begun.Store(0)
	return fn(ctx)
}

// read is one life of a reader, by one of the three ways to read in turn.
func (v *victims) read(side attacher, ring string, policy client.Policy, begun *atomic.Int64) error {
	var r *client.Consumer
	err := call(begun, attachMost, func(ctx context.Context) (err error) {
		r, err = side.Consumer(ctx, ring, client.ConsumerOptions{Policy: policy, From: client.FromOldest(), Name: "victim"})
		return err
	})
	if err != nil {
		return err
	}
	way := v.live(r.Epoch()) % 3
	defer func() { v.note(call(begun, attachMost, func(context.Context) error { return r.Close() })) }()
	if policy == client.PolicyBlock {
		way = 0 // a view that it hands out may fault in the caller's hands; Poll contains that
	}
	for n := 0; n < lifeRecords && !v.stop.Load(); n++ {
		err := call(begun, callMost, func(ctx context.Context) error { return receive(ctx, r, way) })
		if err = v.passing(err); err != nil {
			return err
		}
	}
	return nil
}

func receive(ctx context.Context, r *client.Consumer, way int) error {
	sum := byte(0)
	look := func(rec client.Record) error {
		for _, b := range rec.Payload {
			sum += b
		}
		return nil
	}
	switch way {
	case 0:
		if n, err := r.Poll(look, 100); n != 0 || err != nil {
			return err
		}
	case 1:
		rec, err := r.TryReceive()
		if err != client.ErrEmpty {
			return errors.Join(err, look(rec))
		}
	default:
		rec, err := r.Receive(ctx)
		return errors.Join(err, look(rec))
	}
	time.Sleep(100 * time.Microsecond) // there was nothing
	return nil
}

// publish is one life of an honest producer of the same ring.
func (v *victims) publish(side attacher, ring string, begun *atomic.Int64) error {
	var p *client.Producer
	err := call(begun, attachMost, func(ctx context.Context) (err error) {
		p, err = side.Producer(ctx, ring, client.ProducerOptions{Name: "victim"})
		return err
	})
	if err != nil {
		return err
	}
	v.live(p.Epoch())
	defer func() { v.note(call(begun, attachMost, func(context.Context) error { return p.Close() })) }()
	for n := range lifeRecords {
		if v.stop.Load() {
			break
		}
		err := call(begun, callMost, func(ctx context.Context) error { return p.Send(ctx, make([]byte, n%1000)) })
		if err = v.passing(err); err != nil {
			return err
		}
	}
	return nil
}

// live counts an attachment, and returns how many there were before.
func (v *victims) live(epoch uint64) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ledger.Lives++
	v.epochs[epoch] = true
	return v.ledger.Lives - 1
}

// passing counts what is no reason to stop, and returns everything else.
func (v *victims) passing(err error) error {
	var checksum *client.ChecksumError
	var overrun *client.OverrunError
	switch {
	case err == nil:
		v.mu.Lock()
		defer v.mu.Unlock()
		v.ledger.Records++
		return nil
	case errors.Is(err, client.ErrEndOfStream), errors.As(err, &checksum), errors.As(err, &overrun), errors.Is(err, context.DeadlineExceeded):
		v.note(err)
		return nil
	}
	return err
}

// note counts an error by its name.
func (v *victims) note(err error) {
	if err == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if name := nameOf(err); name != "" {
		v.ledger.Errors[name]++
	} else if len(v.ledger.Strange) < 10 {
		v.ledger.Strange = append(v.ledger.Strange, fmt.Sprintf("%T: %v", err, err))
	}
}

// nameOf is the name that package client has for an error, "" for one without.
func nameOf(err error) string {
	var checksum *client.ChecksumError
	var overrun *client.OverrunError
	var position *client.PositionError
	var pending *client.UnacknowledgedError
	var refusal *client.Error
	switch {
	case errors.As(err, &checksum):
		return "checksum"
	case errors.As(err, &overrun):
		return "overrun"
	case errors.As(err, &position):
		return "position"
	case errors.As(err, &pending):
		return "unacknowledged"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	}
	for _, known := range []struct {
		name string
		err  error
	}{{"corrupt", client.ErrCorrupt}, {"fault", client.ErrFault}, {"removed", client.ErrRemoved}, {"lost", client.ErrLost},
		{"detached", client.ErrDetached}, {"end", client.ErrEndOfStream}, {"full", client.ErrFull}, {"unreachable", client.ErrUnreachable}, {"version", client.ErrVersion}} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	if errors.As(err, &refusal) {
		return "refused"
	}
	return ""
}
