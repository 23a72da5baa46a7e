package client

import (
	"context"
	"fmt"
	"slices"

	"brokerd/internal/shmring"
)

// PollerConsumersMax is how many Consumers one Poller waits for.
const PollerConsumersMax = shmring.PollerRingsMax

// PollerOptions configure a Poller.
type PollerOptions struct {
	// WaitStrategy is how to wait for records of all its Consumers; "" is auto.
	// Theirs count only in that auto and park need Consumers that can be woken.
	WaitStrategy WaitStrategy
}

// Poller waits for several Consumers in one goroutine, the one that uses them.
// They stay their owner's, to receive from, to close, or to take out and use
// without it. A Poller holds nothing that must be closed.
type Poller struct {
	ring    *shmring.Poller
	parks   bool
	err     error // of the options
	members []*member
	next    int // where the next look for lost ones begins
	wait    pollWait
}

// member is one Consumer of a Poller.
type member struct {
	r    *Consumer
	told bool // Wait has returned it since its attachment was lost
}

// NewPoller makes a Poller. A WaitStrategy that does not exist is an error of Add.
func NewPoller(o PollerOptions) *Poller {
	wait, err := waitStrategy(o.WaitStrategy)
	return &Poller{ring: shmring.NewPoller(wait), parks: parks(o.WaitStrategy), err: err}
}

// Add adds a Consumer. It fails for one that is there already, at
// PollerConsumersMax, and for a Consumer with WaitSpin or WaitYield in a Poller
// that sleeps: nobody would wake it.
func (p *Poller) Add(r *Consumer) error {
	switch {
	case p.err != nil:
		return fmt.Errorf("poller: %w", p.err)
	case p.find(r) >= 0:
		return fmt.Errorf("poller: consumer %s is added already", r.ID())
	case p.parks && !parks(r.a.request.WaitStrategy):
		return fmt.Errorf("poller: consumer %s waits by %s, so nobody wakes it, and this poller sleeps: attach with auto or park, or make the poller spin",
			r.ID(), r.a.request.WaitStrategy)
	}
	if err := p.ring.Add(r.ring); err != nil {
		return err
	}
	p.members = append(p.members, &member{r: r})
	return nil
}

// Remove takes a Consumer out, closed or not. One that is not there is no error.
func (p *Poller) Remove(r *Consumer) {
	p.ring.Remove(r.ring)
	p.members = slices.DeleteFunc(p.members, func(m *member) bool { return m.r == r })
}

// Len is how many Consumers there are.
func (p *Poller) Len() int { return len(p.members) }

// Wait waits until one of the Consumers has something to say and returns it: its
// TryReceive gives a record, ErrEndOfStream, or the error that it ended with;
// ErrEmpty is possible, and no reason to stop. Consumers take turns. One that has
// ended, was lost or is closed is returned again and again until it is removed.
// Errors: the context's, whose end is noticed within 100 ms, and ErrEmpty at once
// when there is no Consumer.
func (p *Poller) Wait(ctx context.Context) (*Consumer, error) {
	// Others may be ready at every look, and hide it for ever.
	if r := p.lost(true); r != nil {
		return r, nil
	}
	p.wait = pollWait{Context: ctx, poller: p}
	ready, err := p.ring.Wait(&p.wait)
	switch {
	case p.wait.lost != nil:
		return p.wait.lost, nil
	case err != nil:
		return nil, err
	}
	i := slices.IndexFunc(p.members, func(m *member) bool { return m.r.ring == ready })
	return p.members[i].r, nil
}

// pollWait is the context that the ring's poller waits with, ended as well by
// the loss of an attachment, which the ring knows nothing of (wait.go).
type pollWait struct {
	context.Context
	poller *Poller
	lost   *Consumer
}

// Err implements context.Context.
func (w *pollWait) Err() error {
	if err := w.Context.Err(); err != nil {
		return err
	}
	if w.lost == nil { // who asked for the error asks for its cause next
		w.lost = w.poller.lost(false)
	}
	if w.lost == nil {
		return nil
	}
	return w.lost.a.lost()
}

// lost is a Consumer whose attachment is lost, in turn; with untold one that Wait
// has not returned since.
func (p *Poller) lost(untold bool) *Consumer {
	for range p.members {
		p.next = (p.next + 1) % len(p.members)
		m := p.members[p.next]
		if m.r.a.lost() != nil && !(untold && m.told) {
			m.told = true
			return m.r
		}
	}
	return nil
}

func (p *Poller) find(r *Consumer) int {
	return slices.IndexFunc(p.members, func(m *member) bool { return m.r == r })
}

// parks tells whether a strategy sleeps, and so has to be woken.
func parks(w WaitStrategy) bool { return w != WaitSpin && w != WaitYield }
