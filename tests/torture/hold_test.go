package torture

import (
	"slices"
	"syscall"
	"time"

	"brokerd/client"
)

const (
	// heldGoal is how long a death may hold others while a daemon runs: half of all times have to be within, of so many
	// at least. heldLimit is what is more than a busy machine explains.
	heldGoal      = 100 * time.Millisecond
	heldLimit     = 2 * time.Second
	heldLate      = time.Second // when to look who holds it
	heldJudgedMin = 5

	holdPause   = 500 * time.Millisecond // between two measurements of a lane, at most
	holdLooks   = 3 * time.Second        // how long to wait until others are held
	stoppedHold = 150 * time.Millisecond
)

// held is for how long a death held others.
type held struct{ sinceKill, sinceExit time.Duration }

// holding is the life of a victim that is asked to hold the others: it reserves and does not commit, or reads no further,
// until it is killed or goes on. The daemons are up meanwhile, and nobody else of its ring is stopped or holds it.
func (t *torture) holding(l *lane, v *victim) {
	time.Sleep(time.Duration(l.random.Int64N(int64(holdPause))))
	if !t.awaits(v, "it attaches", true, func() bool { return v.word(wordState) == stateAttached }) {
		return
	}
	t.daemons.RLock()
	defer t.daemons.RUnlock()
	l.ring.stops.Lock()
	defer l.ring.stops.Unlock()
	v.tell(wordHold, 1)
	if t.awaits(v, "it holds", true, func() bool { return v.word(wordHolding) != 0 }) {
		t.hold(l, v)
	}
}

func (t *torture) hold(l *lane, v *victim) {
	isHeld := t.gateHeld
	if l.role == roleProducer {
		isHeld = t.claimHeld
	}
	if !isHeld(l.ring, v) {
		t.kill(l, v) // nobody came up behind it
		return
	}
	before, _, _ := l.ring.truth.progress()
	switch l.random.IntN(3) {
	case 0:
		if !t.staysHeld(l, v) {
			return
		}
		if l.random.IntN(2) == 0 {
			t.goesOn(l, v, before)
			return
		}
	}
	begin := time.Now()
	v.killed = true
	_ = v.cmd.Process.Kill()
	goesOn, late := t.progresses(l.ring, before)
	now := time.Now()
	<-v.ended
	t.tally.killed(l.kind)
	if closed(t.tally.alarm) {
		return
	}
	if !goesOn {
		t.tally.violation("ring %s is held by a dead process: %s\n%s", l.ring.name, t.describe(v), t.situation())
		return
	}
	// On a busy machine the kernel needs a while to end a process: until then nobody may take it for dead.
	took := held{sinceKill: now.Sub(begin), sinceExit: max(0, now.Sub(v.gone))}
	t.tally.do(func() { t.tally.took[l.kind] = append(t.tally.took[l.kind], took) })
	if took.sinceExit > heldLimit {
		t.tally.violation("ring %s was held for %v by a dead process, the daemon being up: %s\nafter %v:\n%s", l.ring.name, took.sinceExit, t.describe(v), heldLate, late)
	}
}

// claimHeld waits until others have published behind an open claim.
func (t *torture) claimHeld(r *ring, _ *victim) bool {
	return t.stalls(r, func() bool {
		s, ok := t.stats(t.a, r.name)
		return ok && s.Sequence > r.truth.next()+1
	})
}

// gateHeld waits until a producer waits for the gate of this reader, which is as far behind as the ring is large.
func (t *torture) gateHeld(r *ring, v *victim) bool {
	held := uint64(0)
	return t.stalls(r, func() bool {
		s, ok := t.stats(t.a, r.name)
		before := held
		held = s.HeldNS
		behind, listed := t.behind(s, v)
		return ok && listed && before > 0 && held-before > uint64(time.Millisecond) && behind+uint64(r.recordMax)+s.Capacity/8 > s.Capacity
	})
}

// behind is how far the ring is in front of a reader, in bytes.
func (t *torture) behind(s client.RingStats, v *victim) (bytes uint64, listed bool) {
	ctx, cancel := asking()
	defer cancel()
	list, err := t.a.calls.Attachments(ctx, s.Name)
	i := slices.IndexFunc(list, func(a client.Attachment) bool { return a.PID == v.cmd.Process.Pid })
	if err != nil || i < 0 {
		return 0, false
	}
	return s.Position - min(s.Position, list[i].Position), true
}

// stalls waits until nothing has come for a while, and for what tells why.
func (t *torture) stalls(r *ring, why func() bool) bool {
	for deadline := time.Now().Add(holdLooks); time.Now().Before(deadline) && !closed(t.tally.alarm); time.Sleep(5 * time.Millisecond) {
		if _, moved, _ := r.truth.progress(); time.Since(moved) > 60*time.Millisecond && why() {
			_, moved, _ = r.truth.progress()
			return time.Since(moved) > 60*time.Millisecond
		}
	}
	return false
}

// progresses waits for a record behind those. late is how things stood if there was none for long.
func (t *torture) progresses(r *ring, before uint64) (ok bool, late string) {
	begin := time.Now()
	for time.Since(begin) < victimBusyFor && !closed(t.tally.alarm) {
		if count, _, _ := r.truth.progress(); count > before {
			return true, late
		}
		if late == "" && time.Since(begin) > heldLate {
			late = t.situation()
		}
		time.Sleep(200 * time.Microsecond)
	}
	return false, late
}

// staysHeld stops the holder: nothing of it is reclaimed, nobody laps it, and the other rings go on.
func (t *torture) staysHeld(l *lane, v *victim) bool {
	if !t.stop(v) {
		return false
	}
	others := map[*ring]uint64{}
	for _, r := range t.rings {
		others[r], _, _ = r.truth.progress()
	}
	time.Sleep(stoppedHold)
	t.isListed(l, v)
	if l.role == roleReader {
		s, _ := t.stats(t.a, l.ring.name)
		if behind, listed := t.behind(s, v); listed && behind > s.Capacity {
			t.tally.violation("ring %s is %d bytes in front of a lossless reader that is stopped: %s", l.ring.name, behind, t.describe(v))
			return false
		}
	}
	for deadline := time.Now().Add(victimBusyFor); ; time.Sleep(time.Millisecond) {
		for r, count := range others {
			if now, _, _ := r.truth.progress(); r != l.ring && now > count {
				t.tally.do(func() { t.tally.heldStopped++ })
				return true
			}
		}
		if time.Now().After(deadline) || closed(t.tally.alarm) {
			t.tally.violation("ring %s is held by a stopped process, and no other ring goes on either\n%s", l.ring.name, t.situation())
			return false
		}
	}
}

// goesOn lets a stopped holder go on: what it had claimed comes then.
func (t *torture) goesOn(l *lane, v *victim, before uint64) {
	v.tell(wordRelease, 1)
	_ = v.cmd.Process.Signal(syscall.SIGCONT)
	if ok, _ := t.progresses(l.ring, before); !ok && !closed(t.tally.alarm) {
		t.tally.violation("ring %s does not go on with the process that held it: %s\n%s", l.ring.name, t.describe(v), t.situation())
		return
	}
	t.awaits(v, "it goes on", true, func() bool { return v.word(wordHolding) == 0 })
	claimed := uint64(0)
	if l.role == roleProducer {
		claimed = v.word(wordCommitted)
	}
	t.awaits(v, "its claim comes", false, func() bool {
		last, _ := l.ring.truth.last(v.job.life())
		return last >= claimed
	})
	t.tally.do(func() { t.tally.heldContinued++ })
	t.kill(l, v)
}
