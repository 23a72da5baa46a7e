package link

import (
	"flag"
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Flags of the simulator: how many schedules of each kind, and the first seed.
var (
	schedules = flag.Int("link.schedules", 0, "simulator: schedules of each kind; 0: up to 2000, as many as some seconds take")
	firstSeed = flag.Uint64("link.seed", 1, "simulator: seed of the first schedule")
)

// Limits of a run that is not told how many schedules to do.
const (
	schedulesMax = 2000
	simulateMax  = 8 * time.Second
	shortMax     = time.Second
)

// simulate runs schedules of one kind; each is made of its seed alone.
func simulate(t *testing.T, schedule func(*world)) {
	until := time.Now().Add(simulateMax)
	if testing.Short() {
		until = time.Now().Add(shortMax)
	}
	n := 0
	for ; n < *schedules || *schedules == 0 && n < schedulesMax && time.Now().Before(until); n++ {
		seed := *firstSeed + uint64(n)
		if message := runSchedule(seed, schedule); message != "" {
			t.Fatalf("seed %d (run it alone with -link.seed %d -link.schedules 1): %s", seed, seed, message)
		}
	}
	t.Logf("%d schedules from seed %d", n, *firstSeed)
}

func runSchedule(seed uint64, schedule func(*world)) (message string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case wrong:
			message = r.message
		default:
			message = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	schedule(newWorld(seed))
	return ""
}

// TestMirrorEqualsItsOrigin: after any schedule of publishing, slow readers and a
// bad network, the mirror holds what its origin holds, or shows its gap with the
// exact count.
func TestMirrorEqualsItsOrigin(t *testing.T) {
	simulate(t, func(w *world) {
		s := newMirrorSim(w)
		for range w.between(50, 250) {
			s.step()
		}
		s.settle()
		s.audit()
		s.closeAll()
	})
}

// step is one thing that happens, and then what the hosts do about it.
func (s *mirrorSim) step() {
	s.now += s.rng.Int64N(int64(4 * time.Millisecond))
	switch n := s.rng.IntN(100); {
	case n < 45:
		for range s.between(1, 25) {
			if s.origin.publish() {
				break
			}
		}
	case n < 75 && s.host != nil:
		s.readSome()
	case n < 85:
		s.disturb()
	case n < 88 && s.host != nil:
		s.changeReaders()
	case n < 90:
		s.now += s.rng.Int64N(int64(500 * time.Millisecond))
	case n < 91 && s.chance(20):
		s.newEpoch()
	}
	s.work(s.between(0, 6))
}

// work lets the hosts do what is due, and the network move up to rounds times.
func (s *mirrorSim) work(rounds int) {
	if s.dial == nil && s.now >= s.retryAt {
		s.dialNow()
	}
	for range rounds {
		if s.dial == nil {
			return
		}
		if s.chance(70) {
			s.accept.turn() // the door: something was published
		}
		moved := s.move(s.dial, s.accept)
		if s.dial.closed && s.accept.closed {
			s.gone()
			return
		}
		if !s.asked && s.now >= s.retryAt && s.dial.conn.Status().Ready {
			s.ask()
			s.dial.turn()
		}
		s.invariants()
		if !moved {
			return
		}
	}
}

// invariants hold at every moment.
func (s *mirrorSim) invariants() {
	for _, e := range []*end{s.dial, s.accept} {
		if status := e.conn.Status(); status.Ready && !e.closed && s.now-status.Heard > int64(simDeadAfter) {
			s.wrong("%s has heard nothing for %s, and bears it", e.name, time.Duration(s.now-status.Heard))
		}
	}
	if s.host == nil || s.accept == nil {
		return
	}
	end := s.host.mirror.End()
	for _, status := range s.accept.conn.Streams() {
		if status.Epoch == s.host.truth.epoch && status.Acked.Position > end.Position {
			s.wrong("position %d is acknowledged, the mirror ends at %d", status.Acked.Position, end.Position)
		}
	}
}

func (s *mirrorSim) readSome() {
	h := s.host
	if s.now < h.frozen || len(h.readers) == 0 {
		return
	}
	if s.chance(3) {
		h.frozen = s.now + s.rng.Int64N(int64(2*time.Second))
		return
	}
	r := h.readers[s.rng.IntN(len(h.readers))]
	h.read(r, s.between(1, 60))
}

func (s *mirrorSim) changeReaders() {
	if h := s.host; len(h.readers) > 0 && s.chance(40) {
		h.detach(h.readers[s.rng.IntN(len(h.readers))])
	} else {
		h.attach()
	}
}

// disturb is what networks and hosts do to a connection.
func (s *mirrorSim) disturb() {
	if s.dial == nil {
		return
	}
	pipes := []*pipe{s.dial.out, s.accept.out}
	p := pipes[s.rng.IntN(2)]
	switch n := s.rng.IntN(100); {
	case n < 30:
		p.stall = s.now + s.rng.Int64N(int64(300*time.Millisecond))
	case n < 40:
		s.note("stall")
		p.stall = s.now + s.rng.Int64N(int64(2*simDeadAfter))
		s.stalled = true
		for s.chance(98) { // 50 times 80 ms
			s.now += int64(80 * time.Millisecond)
			s.work(2)
		}
	case n < 55:
		s.reset(s.dial, s.accept)
		s.gone()
	case n < 65: // half-closed: one side is done, the other finds out
		[]*end{s.dial, s.accept}[s.rng.IntN(2)].close()
	case n < 75:
		s.accept.out.parser.plan(true, forgeNothing)
	case n < 85:
		s.accept.out.parser.plan(false, forge(s.between(1, int(forgeKinds)-1)))
	case n < 92 && s.host != nil: // the mirroring daemon is killed
		s.note("the dialer is killed")
		s.reset(s.dial, s.accept)
		s.gone()
		s.host.restart()
	case n < 96 && s.asked: // somebody takes the mirror out of the configuration, and puts it back
		s.note("the dialer ends its stream")
		s.ended = true
		s.dial.conn.End(s.stream, wire.LinkEndFrame{Code: wire.CodeGoodbye})
		s.asked, s.retryAt = false, s.now+int64(5*time.Millisecond)
		s.dial.turn()
	}
}

// newEpoch makes the origin anew.
func (s *mirrorSim) newEpoch() {
	s.note("new epoch")
	s.must(s.origin.ring.SetState(shmring.StateRemoved))
	if s.dial == nil {
		s.dropSource() // parked; its slot is of the old ring
	}
	s.past = append(s.past, s.origin)
	config := s.origin.config
	config.Epoch++
	s.origin = newOrigin(s.world, config)
}

// settle heals the network and lets everybody finish.
func (s *mirrorSim) settle() {
	s.note("settle")
	if s.policy == shmring.PolicyLatest { // a gap at the end stays behind until a record follows it
		s.must(s.origin.producers[0].TrySend([]byte("the newest record")))
		s.origin.observe()
	}
	for round := range 20000 {
		if s.dial != nil {
			for _, e := range []*end{s.dial, s.accept} {
				e.out.stall = min(e.out.stall, s.now)
				e.out.parser.done = true
			}
			if s.tamper != "" && round > 2000 {
				s.reset(s.dial, s.accept)
				s.gone()
			}
		}
		busy := false
		if s.host != nil {
			for _, r := range s.host.readers {
				busy = s.host.read(r, 1000) || busy
			}
		}
		s.work(10)
		if s.settled() && !busy {
			return
		}
		if !busy {
			s.now += int64(time.Millisecond)
		}
	}
	s.wrong("stuck: the mirror does not come to its origin's end: %s", s.describe())
}
