package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// sweepInterval is how often Run looks at the rings. Deaths do not wait for it.
const sweepInterval = 200 * time.Millisecond

// startWatch gives a process a goroutine that waits for its death, while Run
// runs. Run joins it.
func (b *Broker) startWatch(p *proc) {
	if b.watching == nil || p.watched {
		return
	}
	ctx := b.watching
	p.watched = true
	b.watchers.Go(func() { b.watch(ctx, p) })
}

// watch waits until the process is gone, it holds nothing any more, or Run ends.
// A connection that closed says nothing: it closes a little before the process
// is gone, or long before.
func (b *Broker) watch(ctx context.Context, p *proc) {
	err := p.handle.Wait(ctx)
	b.mu.Lock()
	defer b.unlock()
	p.watched = false
	switch {
	case p.holds == 0 || ctx.Err() != nil:
	case err == nil:
		b.bury(p)
	default:
		b.raise(Event{Kind: EventFailed, Detail: fmt.Sprintf("wait for pid %d; the sweep looks after it", p.id.PID), Err: err})
	}
}

// bury ends everything that a dead process held.
func (b *Broker) bury(p *proc) {
	var held []*attachment
	for _, a := range b.attachments {
		if a.proc == p {
			held = append(held, a)
		}
	}
	for _, a := range held {
		b.repair(a, true)
		b.failed(a, "free the slot of a dead process", b.finish(a, Event{Kind: EventDied, Detail: fmt.Sprintf("pid %d", p.id.PID)}))
	}
}

// repair puts a ring right whose producer died or has finished: what it had
// claimed and not committed becomes a gap. Only one that died is sure to be
// counted, an orderly one leaves nothing as a rule.
func (b *Broker) repair(a *attachment, died bool) {
	if a.ref.role != wire.RoleProducer || a.ring.retired != nil {
		return
	}
	gaps, err := a.ring.mem.Repair(a.ref.slot)
	if err != nil {
		b.failed(a, "repair", b.judge(a.ring, err))
		return
	}
	if !died && gaps == 0 {
		return
	}
	b.repairs++
	detail := NothingLeftOpen
	if gaps > 0 {
		detail = fmt.Sprintf("%d records became a gap", gaps)
	}
	b.raise(Event{Kind: EventRepaired, Ring: a.ring.info.Name, ID: a.id, Detail: detail})
}

// sweep looks at every ring that somebody uses: garbage retires it, a reader
// newly demoted is told of, what is past its deadline ends. It also buries the
// dead that have no watcher.
func (b *Broker) sweep() {
	b.mu.Lock()
	defer b.unlock()
	for _, p := range b.procs {
		if !p.watched && p.handle.Exited() {
			b.bury(p)
		}
	}
	for _, r := range b.rings {
		b.expire(r)
		if r.retired != nil {
			b.hurry() // what its successor waits for may be there
		}
		if r.retired != nil || len(r.held) == 0 {
			continue
		}
		if b.readStats(r); r.retired != nil {
			continue
		}
		b.lookAtClaims(r)
		for _, a := range r.ordered() {
			if a.ref.role == wire.RoleConsumer && a.hold != holdZombie {
				b.lookAtReader(a)
			}
		}
	}
}

// lookAtReader reads the figures of a reader that the ring honours. It notices a
// demotion, and a reader whose page is gone: it can truncate its own page, which
// is its own loss and nobody else's.
func (b *Broker) lookAtReader(a *attachment) {
	stats, err := a.ring.mem.ConsumerStats(a.ref.slot)
	if err != nil {
		err = b.judge(a.ring, err)
		b.failed(a, "read its cursor page", err)
		if isReaderFault(err) {
			b.failed(a, "evict it", b.pageLost(a, "its cursor page was truncated"))
		}
		return
	}
	if stats.Demoted && !a.last.Demoted {
		b.raise(Event{Kind: EventDemoted, Ring: a.ring.info.Name, ID: a.id, Detail: a.record.Name})
	}
	a.last = stats
}

// pageLost ends a reader whose cursor page faults, or is no longer one page.
func (b *Broker) pageLost(a *attachment, why string) error {
	if a.hold == holdResumable {
		return b.free(a, Event{Kind: EventExpired, Detail: why})
	}
	a.ended = why
	return b.toZombie(a)
}

// isReaderFault says that judge found the ring sound, so that what faulted is
// the page of a reader.
func isReaderFault(err error) bool { return errors.Is(err, shmring.ErrFault) }

// judge decides what an error of shmring means. Garbage or a fault in the ring
// itself retires it, and the error for users is returned. A fault in the page of
// one reader, which that reader can cause, leaves the ring sound and is returned
// as it is, like every other error.
func (b *Broker) judge(r *ring, err error) error {
	switch {
	case r.retired != nil:
	case errors.Is(err, shmring.ErrCorrupt): // only ever said of the ring itself
		b.retire(r, err)
	case errors.Is(err, shmring.ErrFault):
		if _, bad := r.mem.Stats(); bad != nil {
			b.retire(r, bad)
		}
	}
	if r.retired != nil {
		return refuseCorrupt(r)
	}
	return err
}

// retire ends a ring in which garbage was found: those attached learn it from
// the ring, nobody attaches any more, it is to have a successor (succession.go).
func (b *Broker) retire(r *ring, cause error) {
	if r.retired != nil {
		return
	}
	r.retired = cause
	b.retired++
	if err := r.mem.SetState(shmring.StateCorrupt); err != nil && !errors.Is(err, shmring.ErrFault) {
		b.raise(Event{Kind: EventFailed, Ring: r.info.Name, Detail: "mark the ring corrupt", Err: err})
	}
	b.raise(Event{Kind: EventRetired, Ring: r.info.Name, Err: cause})
	b.noteDown(r.info, r.dir, cause)
	b.hurry()
}
