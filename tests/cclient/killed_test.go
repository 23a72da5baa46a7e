package cclient

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	// kills is how many producers in C are killed; of each killPeriod one dies
	// inside a claim for sure, and one other producer is stopped meanwhile.
	kills      = 300
	killPeriod = 10
	// stopMax is how long a producer is stopped.
	stopMax = 150 * time.Millisecond

	// repairMax is how soon after its death a producer's claim has become a gap and
	// its slot is free. All but one in repairMisses are held to it, since a busy
	// machine may run nobody for longer than that; the longest to repairLimit.
	repairMax    = 100 * time.Millisecond
	repairMisses = 10
	repairLimit  = time.Second
)

// killInsideClaim checks that a reader waits at a claim that is kept, be its
// producer stopped or not, and that it goes on when the producer has been killed.
func (h *hammer) killInsideClaim(w *watcher) {
	t := h.stage.t
	t.Helper()
	l, _, position := h.beginClaim()
	if h.random.IntN(2) == 0 {
		h.stops++
		l.Stop()
		time.Sleep(stopMax) // longer than a dead one's claim would last
	} else {
		h.nap(lifeMax)
	}
	if at := w.position.Load(); at > position {
		t.Fatalf("a reader is at %d, behind the open claim at %d", at, position)
	}
	begin := h.kill(l)
	harness.Eventually(t, "a reader has gone past the dead claim", func() bool { return w.position.Load() > position })
	h.passes = append(h.passes, time.Since(begin))
}

// judgeRepairs logs and judges how long repairs took.
func judgeRepairs(t testing.TB, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	most, longest := took[len(took)-1-len(took)/repairMisses], took[len(took)-1]
	fmt.Printf("counts: C client: %s: %d times, median %v, longest %v\n", what, len(took), took[len(took)/2], longest)
	if most > repairMax || longest > repairLimit {
		t.Errorf("%s: one in %d took %v or more (want %v), the longest %v (want %v)", what, repairMisses, most, repairMax, longest, repairLimit)
	}
}

// TestKilledProducers kills producers in C at random instants, stops others in
// between, and has one in Go that goes on all the time.
func TestKilledProducers(t *testing.T) {
	h := &hammer{stage: newStage(t, manyRing)}
	h.c = h.Dial()
	w := h.watch("md", client.PolicyBlock)
	block := h.attach(h.stage.c("md", "consume", "--until-end"))
	skip := h.attach(h.stage.c("md", "consume", "--until-end", "--policy", "skip"))
	goes, stdin := h.steady()
	lanes := [2]*life{h.begin(endless), h.begin(endless)}
	for n := range kills - len(lanes) {
		k := h.random.IntN(len(lanes))
		other := lanes[1-k]
		switch n % killPeriod {
		case 0:
			h.killInsideClaim(w)
			continue
		case 1:
			h.stops++
			other.Stop()
			h.nap(stopMax)
		}
		h.nap(lifeMax)
		h.kill(lanes[k])
		if n%killPeriod == 1 {
			other.Resume()
		}
		lanes[k] = h.begin(endless)
	}
	for _, l := range lanes {
		h.kill(l)
	}
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	goes.Expect(0)
	h.end("md", w)
	fmt.Printf("counts: C client: %d producers killed, %d stopped in between, %d of the claims became gaps\n", len(h.repairs), h.stops, w.stats.GapRecords)
	judgeRepairs(t, "from the kill to the free slot", h.repairs)
	judgeRepairs(t, "from a kill inside a claim to a reader past it", h.passes)
	if len(h.repairs) != kills || w.stats.GapRecords > kills || w.stats.GapRecords < uint64(len(h.passes)) {
		t.Errorf("%d kills, %d of them inside a claim for sure, gave %d records in gaps", len(h.repairs), len(h.passes), w.stats.GapRecords)
	}
	h.checkNotes(w)
	h.agree("md", w, block, skip)
	w.judgeSwitches(t)
}

const (
	// heldRounds is how many claims are kept until the others wait for them.
	heldRounds = 20
	// stillMin is for how long a producer that waits has published nothing.
	stillMin = 40 * time.Millisecond
)

// TestOpenClaimIsNotLapped keeps claims in a ring where no reader holds anybody.
// The producers, in C and in Go, have to wait for each other; then a claim is
// committed, or its owner dies.
func TestOpenClaimIsNotLapped(t *testing.T) {
	h := &hammer{stage: newStage(t, manyRing)}
	h.c = h.Dial()
	w := h.watch("md", client.PolicySkip)
	skip := h.attach(h.stage.c("md", "consume", "--until-end", "--policy", "skip"))
	goes, stdin := h.steady()
	lane := h.begin(endless)
	published := func() uint64 {
		_, n := h.readNote(lane)
		return n
	}
	for n := range heldRounds {
		l, number, _ := h.beginClaim()
		if n%3 == 0 {
			l.Stop()
		}
		last, since := published(), time.Now()
		harness.Eventually(t, "the others wait for the open claim", func() bool {
			if now := published(); now != last {
				last, since = now, time.Now()
			}
			return time.Since(since) > stillMin
		})
		if n%3 == 0 {
			l.Resume()
		}
		if n%2 == 0 {
			l.Signal(syscall.SIGUSR1)
			l.Expect(0)
			h.writeNote(l, number+1, number+1)
		} else {
			h.kill(l)
		}
		harness.Eventually(t, "the others go on", func() bool { return published() > last })
	}
	h.kill(lane)
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	goes.Expect(0)
	h.end("md", w)
	h.judgeSkip("md", w, skip)
	dead := uint64(len(h.repairs)) // the last of them may have had no claim
	if gaps := harness.RingStats(t, h.c, "md").GapRecords; gaps > dead || gaps < dead-1 {
		t.Errorf("%d producers died, all but one inside a claim; the ring counts %d records in gaps", dead, gaps)
	}
	for _, l := range h.lives {
		if began, _ := h.readNote(l); w.counts[l.id] > began {
			t.Errorf("producer %d began %d records; the reader had number %d", l.id, began, w.counts[l.id]-1)
		}
	}
}
