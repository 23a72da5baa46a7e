package broker

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"brokerd/internal/wire"
)

// Reconcile makes the rings what a configuration says, at the start and whenever
// it is read again. Rings that are not there are created. Of a ring that is,
// policy, demote_after, allow (for attachments to come) and resume_for change,
// and it is the daemon's from then on; its geometry stays, and what is otherwise
// is a line of kept and of Status().Problems. A ring that the configuration has
// no longer is kept, unmanaged. A mirror is no ring of the configuration's: a spec
// of its name is a line of kept and a problem. changed has a sentence for all that took effect.
//
// An error changes nothing: every spec is looked at first, and rings that were
// created are removed when a later one cannot be. It joins one error for each
// spec that is refused, with its index and name: those of CreateRing, and
// RingNotFound for a ring that was removed meanwhile. One Reconcile at a time.
func (b *Broker) Reconcile(specs []wire.RingSpec) (changed, kept []string, err error) {
	want, err := b.normalizeAll(specs)
	if err != nil {
		return nil, nil, err
	}
	missing, err := b.missing(want)
	if err != nil {
		return nil, nil, err
	}
	for n, i := range missing {
		info, err := b.create(want[i], origin{}, true)
		if err != nil {
			b.uncreate(want, missing[:n])
			return nil, nil, atSpec(i, want[i].Name, err)
		}
		changed = append(changed, fmt.Sprintf("ring %s: created, %d bytes", info.Name, info.MemoryBytes))
	}
	more, kept, err := b.updateAll(want)
	if err != nil {
		b.uncreate(want, missing)
		return nil, nil, err
	}
	return append(changed, more...), kept, nil
}

func atSpec(i int, name string, err error) error {
	return fmt.Errorf("rings[%d] (%s): %w", i, name, err)
}

func (b *Broker) normalizeAll(specs []wire.RingSpec) (want []wire.Ring, err error) {
	var errs []error
	first := map[string]int{}
	for i, s := range specs {
		info, err := normalize(s)
		if at, twice := first[s.Name]; err == nil && twice {
			err = invalidKey(s.Name, "name", quoted(s.Name), fmt.Sprintf("another name than that of rings[%d]", at))
		}
		if err != nil {
			errs = append(errs, atSpec(i, s.Name, err))
		}
		first[s.Name], info.Owner = i, b.ownerUID
		want = append(want, info)
	}
	return want, errors.Join(errs...)
}

// missing lists the rings that are to be created, if there is room for them all.
func (b *Broker) missing(want []wire.Ring) (missing []int, err error) {
	b.mu.Lock()
	defer b.unlock()
	var errs []error
	u := b.use()
	for i, w := range want {
		if _, ok := b.rings[w.Name]; ok && !b.closed {
			continue
		}
		if err := b.admitRing(w, u); err != nil {
			errs = append(errs, atSpec(i, w.Name, err))
			continue
		}
		missing = append(missing, i)
		u.rings, u.bytes = u.rings+1, u.bytes+w.MemoryBytes
	}
	return missing, errors.Join(errs...)
}

// uncreate removes rings that were made in vain.
func (b *Broker) uncreate(want []wire.Ring, made []int) {
	for _, i := range made {
		if err := b.RemoveRing(want[i].Name, true); err != nil {
			b.mu.Lock()
			b.raise(Event{Kind: EventFailed, Ring: want[i].Name, Detail: "remove it again", Err: err})
			b.unlock()
		}
	}
}

// updateAll takes over the live keys of all rings, or of none: the descriptions
// on disk first, which alone can fail.
func (b *Broker) updateAll(want []wire.Ring) (changed, kept []string, err error) {
	b.mu.Lock()
	defer b.unlock()
	for i, w := range want {
		if r := b.rings[w.Name]; r != nil && r.info.Mirror != nil {
			continue
		}
		if err := b.describeAs(w); err != nil {
			for _, done := range want[:i] {
				b.describeAgain(b.rings[done.Name])
			}
			return nil, nil, atSpec(i, w.Name, err)
		}
	}
	for _, w := range want {
		r := b.rings[w.Name]
		if r.info.Mirror != nil {
			r.clash = mirrorClash(r.info)
			kept = append(kept, r.clash)
			continue
		}
		if text := b.update(r, w); text != "" {
			changed = append(changed, text)
		}
		if r.drift != "" {
			kept = append(kept, r.drift)
		}
	}
	for _, name := range b.names() {
		r := b.rings[name]
		if slices.ContainsFunc(want, func(w wire.Ring) bool { return w.Name == name }) {
			continue
		}
		if r.clash = ""; !r.managed {
			continue
		}
		r.managed, r.drift = false, ""
		text := fmt.Sprintf("ring %s: the configuration has it no longer; it stays, unmanaged (brokerctl ring rm %s removes it)", name, name)
		changed = append(changed, text)
		b.raise(Event{Kind: EventUpdated, Ring: name, Detail: text})
	}
	b.reconciled = true
	return changed, kept, nil
}

// withLiveKeys is a ring with those keys of another that can change live.
func withLiveKeys(have, want wire.Ring) wire.Ring {
	have.Policy, have.DemoteAfterNS, have.ResumeForNS = want.Policy, want.DemoteAfterNS, want.ResumeForNS
	have.Allow, have.Owner = want.Allow, want.Owner
	return have
}

// describeAs writes down the ring as it will be.
func (b *Broker) describeAs(want wire.Ring) error {
	r, err := b.ringNamed(want.Name)
	if err != nil {
		return err
	}
	next := withLiveKeys(r.info, want)
	if reflect.DeepEqual(next, r.info) {
		return nil
	}
	if err := b.writeMeta(r.dir, next); err != nil {
		return b.scarce(fmt.Errorf("update its description: %w", err), "update the description of ring "+want.Name, metaBytesPlanned, 1)
	}
	return nil
}

// describeAgain writes down the ring as it is, after describeAs in vain for one.
func (b *Broker) describeAgain(r *ring) {
	if err := b.writeMeta(r.dir, r.info); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: r.info.Name, Detail: "write its description", Err: err})
	}
}

// update takes the live keys over and says what that changes, "" for nothing.
// That the configuration names a ring is no news at the start.
func (b *Broker) update(r *ring, want wire.Ring) string {
	news := b.adjust(r, want)
	if !r.managed && b.reconciled {
		news = append([]string{"the configuration names it now"}, news...)
	}
	r.managed = true
	return b.updated(r, news)
}

// adjust gives a ring the live keys of another, and lists what that changes.
func (b *Broker) adjust(r *ring, want wire.Ring) (news []string) {
	news = liveChanges(r.info, want)
	r.info, r.drift = withLiveKeys(r.info, want), drift(r.info, want)
	b.shorten(r)
	return news
}

// updated tells what has changed about a ring, in one sentence.
func (b *Broker) updated(r *ring, news []string) string {
	if len(news) == 0 {
		return ""
	}
	text := fmt.Sprintf("ring %s: %s", r.info.Name, strings.Join(news, ", "))
	b.raise(Event{Kind: EventUpdated, Ring: r.info.Name, Detail: text})
	return text
}
