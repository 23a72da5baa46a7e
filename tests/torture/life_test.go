package torture

import (
	"errors"
	"syscall"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// run has one life follow the other until the test ends its lanes. The last reader of a lane reads to the end; so no
// cursor is left that holds the ring.
func (t *torture) run(l *lane) {
	for last := false; !last && !closed(t.tally.alarm); {
		last = closed(t.ending)
		if last && (l.role == roleProducer || l.hold) {
			return
		}
		v, err := t.spawn(l)
		if err != nil {
			t.tally.violation("start a victim: %v", err)
			return
		}
		if l.hold {
			t.holding(l, v)
		} else {
			t.life(l, v)
		}
		if !closed(v.ended) {
			v.kill()
		}
		t.settle(l, v)
	}
}

// life is one victim from its start to its end.
func (t *torture) life(l *lane, v *victim) {
	if !closed(t.ending) && l.random.IntN(20) == 0 {
		time.Sleep(time.Duration(l.random.Int64N(int64(earlyMax))))
		t.kill(l, v)
		return
	}
	if !t.awaits(v, "it attaches", l.role == roleProducer, func() bool { return v.word(wordState) != stateStarting }) {
		return
	}
	lives := min(time.Duration(l.random.ExpFloat64()*float64(lifeMean)), lifeMax)
	for stops := l.random.IntN(4) == 0; ; {
		part := lives
		if stops {
			part /= 2
		}
		select {
		case <-time.After(part):
		case <-t.ending:
			t.last(l, v)
			return
		case <-t.tally.alarm:
			return
		case <-v.ended: // its book is full, or it has found something
			return
		}
		if !stops {
			break
		}
		if stops = false; t.stopped(l, v) {
			return
		}
	}
	if l.random.IntN(8) == 0 {
		v.tell(wordOrder, orderFinish)
		t.awaits(v, "it ends by itself", false, func() bool { return closed(v.ended) })
		return
	}
	t.kill(l, v)
}

// kill kills a victim. It may hold its ring, or be the one that tells that it is not held any more, and a killed process
// lives on until the kernel comes to it: while somebody measures how long a death holds others, no other victim of that
// ring is killed, or still dying.
func (t *torture) kill(l *lane, v *victim) {
	if !l.hold {
		l.ring.stops.RLock()
		defer l.ring.stops.RUnlock()
	}
	v.kill()
	t.tally.killed(l.kind)
}

// last has a victim come to its end: producers at once, readers at the end of the ring.
func (t *torture) last(l *lane, v *victim) {
	if l.role == roleReader {
		select {
		case <-t.drained:
		case <-t.tally.alarm:
			return
		}
		v.tell(wordTarget, l.ring.target)
	}
	v.tell(wordOrder, orderFinish)
	t.awaits(v, "it comes to its end", false, func() bool { return closed(v.ended) })
}

// stopped stops a victim for a while; true when it was killed then.
func (t *torture) stopped(l *lane, v *victim) (dead bool) {
	if !l.ring.stops.TryRLock() {
		return false
	}
	defer l.ring.stops.RUnlock()
	if !t.stop(v) {
		return false
	}
	time.Sleep(time.Duration(l.random.Int64N(int64(stoppedMax))))
	t.isListed(l, v)
	if l.random.IntN(3) == 0 {
		v.kill()
		t.tally.killed(l.kind)
		return true
	}
	_ = v.cmd.Process.Signal(syscall.SIGCONT)
	return false
}

// stop stops a victim, and returns when it has stopped.
func (t *torture) stop(v *victim) bool {
	_ = v.cmd.Process.Signal(syscall.SIGSTOP) // it may have ended
	t.tally.do(func() { t.tally.stops++ })
	return t.awaits(v, "it stops", false, func() bool {
		stopped, err := harness.Stopped(v.cmd.Process.Pid)
		return err == nil && stopped
	}) && !closed(v.ended)
}

// isListed looks for a stopped process among the attachments: it was attached and is not dead. What a remote client has at
// the gateway bears the daemon's pid.
func (t *torture) isListed(l *lane, v *victim) {
	d := t.a
	switch l.at {
	case "b":
		d = t.b
	case "far":
		return
	}
	if v.word(wordOrder) != orderNone || v.word(wordState) != stateAttached {
		return
	}
	ctx, cancel := asking()
	defer cancel()
	list, err := d.calls.Attachments(ctx, l.local())
	for errors.Is(err, client.ErrNotReady) {
		time.Sleep(2 * time.Millisecond)
		list, err = d.calls.Attachments(ctx, l.local())
	}
	if err != nil {
		t.tally.violation("attachments of %s: %v", l.local(), err)
		return
	}
	for _, a := range list {
		if a.PID == v.cmd.Process.Pid && a.State != client.StateResumable && a.EndedReason == "" {
			t.tally.do(func() { t.tally.found++ })
			return
		}
	}
	if stopped, err := harness.Stopped(v.cmd.Process.Pid); err == nil && stopped {
		t.tally.violation("a stopped process is not attached any more: %s\n%+v", t.describe(v), list)
	}
}
