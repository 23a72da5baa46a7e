package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// claimRingMost is more records than a ring of 64 KiB can hold.
const claimRingMost = 64 << 10 / 16

// TestStoppedInsideAClaim waits for a stopped producer, whatever policy the
// reader has: nobody laps its claim, no daemon repairs it. It wakes, and its
// record is where it was to be.
func TestStoppedInsideAClaim(t *testing.T) {
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicySkip} {
		t.Run(string(policy), func(t *testing.T) { stoppedInsideAClaim(t, policy) })
	}
}

func stoppedInsideAClaim(t *testing.T, policy client.Policy) {
	p := newPlace(t, claimRing)
	d := p.Start()
	m := newManyParty(t, p, policy)
	m.mustSend()
	m.wantNumber(0, 0)
	sleeper := p.claimer("once")
	sleeper.Stop()
	m.wantNothing(10 * time.Millisecond) // and the gate is where the reader is
	err := error(nil)
	for err == nil && m.sent < claimRingMost {
		err = m.send() // up to the claim, one lap on
	}
	if !errors.Is(err, client.ErrFull) {
		t.Fatalf("after %d records: %v", m.sent, err)
	}
	m.wantNothing(300 * time.Millisecond)
	d.Kill()
	p.Start()
	harness.WaitAttached(t, m.c, "md", 2) // the reader and the producer of this process
	m.wantNothing(300 * time.Millisecond)
	if err := m.send(); !errors.Is(err, client.ErrFull) {
		t.Fatalf("after the daemon's restart: %v", err)
	}
	if ring := harness.RingStats(t, m.c, "md"); ring.GapRecords != 0 {
		t.Errorf("the claim of a living process was repaired: %+v", ring)
	}
	sleeper.commit()
	sleeper.Resume()
	m.wantClaim()
	held := m.sent
	for n := uint64(1); n < held; n++ {
		m.wantNumber(n, 0)
	}
	sleeper.Expect(0)
	for range 3 * held { // the ring is whole: two more laps and a bit
		m.mustSend()
		m.wantNumber(m.sent-1, 0)
	}
	ring, s := harness.RingStats(t, m.c, "md"), m.reader.Stats()
	t.Logf("%d records waited behind the stopped claim", held-1)
	if ring.GapRecords != 0 || s.MissedRecords != 0 || s.ChecksumErrors != 0 || ring.Sequence != m.sent+1 || s.Delivered != m.sent+1 {
		t.Errorf("the ring tells %+v, the reader %+v; want %d records, none lost", ring, s, m.sent+1)
	}
}

// TestStoppedInsideAClaimOfARemovedRing: who wakes after the ring was made anew
// writes nothing into the new one.
func TestStoppedInsideAClaimOfARemovedRing(t *testing.T) {
	p := newPlace(t, "[]")
	p.Start()
	create := func() { p.Output("ring", "create", "md", "--capacity", "64KiB", "--producers", "many", "--checksum") }
	create()
	sleeper := p.claimer("twice")
	sleeper.Stop()
	was := p.epoch("md")
	p.Output("ring", "rm", "md", "--force")
	create()
	p.Publish("md", "one\ntwo\n")
	sleeper.commit()
	sleeper.Resume()
	sleeper.Expect(1)
	wantWords(t, "the sleeper", sleeper.Stderr.String(), "ring was removed", fmt.Sprintf("epoch %d", was), fmt.Sprintf("epoch %d", p.epoch("md")))
	p.Publish("md", "three\n", "--end")
	if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--until-end"); got != "one\ntwo\nthree\n" {
		t.Errorf("the new ring holds %q", got)
	}
}

// TestStoppedInsideAClaimAndDetached: an administrator ends the attachment of a
// stopped producer, whose claim stays open until it wakes or dies.
func TestStoppedInsideAClaimAndDetached(t *testing.T) {
	for _, wakes := range []bool{true, false} {
		t.Run(fmt.Sprintf("wakes: %v", wakes), func(t *testing.T) {
			p := newPlace(t, claimRing)
			p.Start()
			m := newManyParty(t, p, client.PolicyBlock)
			sleeper := p.claimer("twice")
			sleeper.Stop()
			m.mustSend()
			for _, a := range harness.Attachments(t, m.c, "md") {
				if a.PID == sleeper.PID() {
					p.Output("detach", a.ID)
				}
			}
			m.wantNothing(300 * time.Millisecond)
			if wakes { // it may end what it began, and no more
				sleeper.commit()
				sleeper.Resume()
				sleeper.Expect(1)
				wantWords(t, "the sleeper", sleeper.Stderr.String(), "ended by the daemon", "md/p1.1")
				m.wantClaim()
				m.wantNumber(0, 0)
			} else {
				sleeper.Kill()
				m.wantNumber(0, 1)
			}
			harness.Eventually(t, "its slot is free", func() bool { return len(harness.Attachments(t, m.c, "md")) == 2 })
			m.mustSend()
			m.wantNumber(m.sent-1, 0)
		})
	}
}
