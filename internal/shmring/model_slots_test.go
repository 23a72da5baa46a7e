//go:build ringmodel

package shmring

import (
	"encoding/binary"
	"testing"
)

func (r *modelRing) daemon() *Ring {
	return &Ring{ring: ring{geometry: r.geometry, b: r.b, cursors: r.cursors}, config: r.config}
}

// unlending is the daemon taking slot 0 back.
func (r *modelRing) unlending(*thread) {
	daemon := r.daemon()
	daemon.unbindConsumer(0)
	daemon.releaseGate(r.cursors[0])
}

// lending is the daemon taking slot 0 back and lending it anew.
func (r *modelRing) lending(t *thread) {
	r.unlending(t)
	r.daemon().bindConsumer(0, r.cursors[0], Binding{Generation: 2, Policy: PolicyBlock})
}

// slotsChange makes the slot table and the masks words that others may change.
func (r *modelRing) slotsChange() {
	quiet := r.quiet
	r.quiet = func(off uint64) bool {
		table := off >= consumersOff && off < producersOff
		return quiet(off) && off != offConsumerMask && off != offParkMask && off != offFenceMask && !table
	}
}

// A reader dies at any step; the daemon takes its slot back and lends it anew,
// and the second reader's data is whole.
func TestModelReaderDies(t *testing.T) {
	const total = 2
	scenario(t, "reader dies, its slot is lent again", func() *machine {
		r := newModelRing(1)
		r.killsLeft = 1
		r.bind(0, 1, PolicyBlock)
		r.slotsChange()
		p := r.spawn("P", false, nil, r.producing(1, total, heldBlocks))
		r1 := r.spawn("R", true, nil, r.reading(0, 1, PolicyBlock, FromOldest(), total, finishedOrDead(p), idleBlocks))
		d := r.spawn("D", false, func() bool { return r1.state == threadDead }, r.lending)
		r.spawn("S", false, func() bool { return d.state == threadDone },
			r.reading(0, 2, PolicyBlock, FromOldest(), total, finishedOrDead(p), idleBlocks))
		return r.machine
	})
}

// A reader died with its gate at the start; the daemon that frees its slot dies
// at any step, and the next one begins anew. The producer gets through.
func TestModelDaemonDies(t *testing.T) {
	const total = 8
	scenario(t, "daemon dies while it frees a slot", func() *machine {
		r := newModelRing(1)
		r.killsLeft = 1
		r.bind(0, 1, PolicyBlock)
		binary.LittleEndian.PutUint64(r.cursors[0][cuGate:], 0)
		r.slotsChange()
		r.spawn("P", false, nil, r.producing(1, total, heldBlocks))
		d := r.spawn("D", true, nil, r.lending)
		r.spawn("E", false, func() bool { return d.state == threadDead }, r.lending)
		return r.machine
	})
}

// A demote reader has died, and its slot is lent to a lossless reader while the
// producer makes up its mind to demote it: what that stores is about the former one.
func TestModelDemotionComesLate(t *testing.T) {
	const before, total = 4, 5
	scenario(t, "reader is demoted and dies, its slot is lent again", func() *machine {
		r := newModelRing(1)
		p0 := r.prefilled(before)
		r.bind(0, 1, PolicyDemote)
		r.slotsChange()
		binary.LittleEndian.PutUint64(r.cursors[0][cuGate:], 0)
		p := r.spawn("P", false, nil, r.sending(p0, 1, total, heldDemotes))
		d := r.spawn("D", false, nil, r.lending)
		r.spawn("S", false, finishedOrDead(p, d), r.reading(0, 2, PolicyBlock, FromOldest(), total+1, finishedOrDead(p), idleBlocks))
		return r.machine
	})
}

// A reader's slot is taken back while it lives, and it goes on writing to its page:
// that holds nobody.
func TestModelReaderLosesItsSlot(t *testing.T) {
	const before, total = 4, 5
	scenario(t, "reader loses its slot and lives on", func() *machine {
		r := newModelRing(1)
		p0 := r.prefilled(before)
		r.bind(0, 1, PolicyBlock)
		r.slotsChange()
		r.spawn("P", false, nil, r.sending(p0, 1, total, heldBlocks))
		r.spawn("Z", false, nil, func(t *thread) {
			c := newConsumer(r.b, r.cursors[0], r.config, ConsumerOptions{Generation: 1, Policy: PolicyBlock})
			c.geometry = r.geometry
			c.hold(0)
			c.hold(recordAlign)
		})
		r.spawn("D", false, nil, r.unlending)
		return r.machine
	})
}
