package gateway

import (
	"errors"
	"net"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// TestDemotionGap: a parked reader that has held the producers for too long gives
// way; what is overwritten then becomes a gap with the exact count, everywhere.
func TestDemotionGap(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{DemoteAfterNS: new(int64(time.Millisecond))}, Mirror{}, nil)
	w := a.writer("r")
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	publish(t, w, 0, 100)
	r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	expect(t, r, 0, 100)
	b.g.loop.mu.Lock() // from now on b hears nothing, and a thinks that it is away
	a.cut()
	publish(t, w, 100, 3000)
	b.g.loop.mu.Unlock()
	soonOr(t, func() bool { return r.Stats().GapRecords > 0 || errors.Is(tryOne(r), nil) && r.Stats().GapRecords > 0 }, func() string { return "no gap" })
	publish(t, w, 3000, 3100)
	for r.Sequence() < 3100 {
		if err := tryOne(r); err != nil && !errors.Is(err, shmring.ErrEmpty) {
			t.Fatal(err)
		}
	}
	s := r.Stats()
	if s.Delivered+s.GapRecords != 3100 || s.MissedRecords != 0 {
		t.Errorf("%d delivered and %d in gaps are not 3100 (missed %d)", s.Delivered, s.GapRecords, s.MissedRecords)
	}
	m, _ := b.link(wire.LinkRoleMirror, "r.a")
	x := a.wait(wire.LinkRoleExport, "r", wire.LinkConnected)
	if m.GapRecords != s.GapRecords || x.GapRecords != s.GapRecords || m.Gaps == 0 || x.Gaps != m.Gaps {
		t.Errorf("gap records: %d at the reader, %d at the mirror, %d at the origin", s.GapRecords, m.GapRecords, x.GapRecords)
	}
	soon(t, "the log tells of every gap", func() bool { // of the first at once, of others by the second
		logged := uint64(0)
		for _, line := range b.log.FilterMessageSnippet("gap").All() {
			logged += line.ContextMap()["records"].(uint64)
		}
		return logged == m.GapRecords
	})
	soon(t, "the reader that was demoted is gone", func() bool { return len(a.attachments("r")) == 2 })
}

func tryOne(r *shmring.Consumer) error {
	_, err := r.TryReceive()
	return err
}

// TestEpochChange: an origin that was made anew makes the mirror anew, and its
// readers learn of it.
func TestEpochChange(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, nil)
	publish(t, a.writer("r"), 0, 10)
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	expect(t, r, 0, 10)
	if err := a.b.RemoveRing("r", true); err != nil {
		t.Fatal(err)
	}
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkWaiting)
	made := a.ring(wire.RingSpec{Name: "r", Capacity: 128 << 10})
	publish(t, a.writer("r"), 0, 20)
	soon(t, "the reader is told", func() bool { return errors.Is(tryOne(r), shmring.ErrRemoved) })
	l := b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	r2 := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	expect(t, r2, 0, 20)
	if l.Epoch != made.Epoch || r2.Epoch() != made.Epoch || l.Gaps != 0 {
		t.Errorf("mirror: %+v, the origin's epoch is %d", l, made.Epoch)
	}
	if b.log.FilterMessageSnippet("made anew").Len() != 1 {
		t.Error("no log line about the new epoch")
	}
}

// TestMirrorRemoved: a mirror that was removed here is made anew.
func TestMirrorRemoved(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, nil)
	w := a.writer("r")
	publish(t, w, 0, 10)
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	expect(t, b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest()), 0, 10)
	if err := b.b.RemoveRing("r.a", false); !errors.Is(err, wire.ErrRingInUse) {
		t.Errorf("a mirror in use is removed without force: %v", err)
	}
	if err := b.b.RemoveRing("r.a", true); err != nil {
		t.Fatal(err)
	}
	soon(t, "it is made anew", func() bool {
		l, ok := b.link(wire.LinkRoleMirror, "r.a")
		_, err := b.b.DescribeRing("r.a")
		return ok && l.State == wire.LinkConnected && err == nil
	})
	expect(t, b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest()), 0, 10)
}

// TestEndedByAdministrator: an export is an attachment that can be ended; the
// mirror asks again, and what it missed is a gap, or still there.
func TestEndedByAdministrator(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, nil)
	w := a.writer("r")
	publish(t, w, 0, 10)
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	x, ok := a.link(wire.LinkRoleExport, "r")
	if !ok {
		t.Fatal("no export")
	}
	if err := a.b.Evict(x.ID, "for a test"); err != nil {
		t.Fatal(err)
	}
	publish(t, w, 10, 20)
	soon(t, "the mirror is told", func() bool {
		l, _ := b.link(wire.LinkRoleMirror, "r.a")
		return l.State == wire.LinkWaiting && l.Reason == "ended by the peer (detached): "+shmring.ErrDetached.Error()
	})
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	expect(t, b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest()), 0, 20)
	soon(t, "one reader at the origin", func() bool { return len(a.attachments("r")) == 2 })
}

// TestCorruptOrigin: what is no record does not get into the mirror, which keeps
// what it has; nobody asks again before there is a new connection.
func TestCorruptOrigin(t *testing.T) {
	leaks(t)
	ln := listenRaw(t)
	s := settingsOf("b")
	s.Peers = []Peer{{Name: "a", Address: ln.Addr().String(), Mirror: []Mirror{{Ring: "r", As: "r.a"}}}}
	b := newHost(t, ringDir(t), s)

	r := serveRaw(t, ln, 1<<20) // so that no byte of it is what the mirror takes for a record
	if e := r.await(link.EventEnd); e.End.Code != wire.CodeCorrupt {
		t.Fatalf("the origin is told %+v", e.End)
	}
	l := b.wait(wire.LinkRoleMirror, "r.a", wire.LinkRefused)
	if l.Position != 0 || l.Reason == "" {
		t.Errorf("mirror: %+v", l)
	}
	b.waitRefused("corrupt", "a at ")
	b.g.loop.mu.Lock()
	b.g.peers[0].mirrors[0].due(0) // though it were time to
	b.g.loop.mu.Unlock()
	for range 100 {
		r.step() // a request for the stream would be an event
	}
	if len(r.queue) > 0 {
		t.Errorf("asked again: %+v", r.queue)
	}
	b.apply(b.g.settings)
	if e := r.await(link.EventOpen); e.Open.Ring != "r" {
		t.Errorf("after a reload: %+v", e)
	}
	_ = r.conn.Close()
}

// serveRaw makes the test an origin of ten records, whose key it may tell wrong.
func serveRaw(t *testing.T, ln net.Listener, wrong uint64) *remote {
	t.Helper()
	r := acceptRemote(t, ln, "a")
	r.await(link.EventHello)
	r.link.Welcome(r.now())
	open := r.await(link.EventOpen)
	src := newPrivate(t, shmring.Config{Capacity: 64 << 10, RecordMax: 1000, Epoch: 5, Key: 0xA5A5_0000_1234_5678}, shmring.Boundary{})
	_ = src.ring.BindProducer(0, shmring.Binding{Generation: 1})
	data, cursors, err := src.ring.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	if src.writer, err = shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1}); err != nil {
		t.Fatal(err)
	}
	publish(t, src.writer, 0, 10)
	src.source = src.consumer(shmring.ConsumerOptions{Spans: true, From: shmring.FromOldest()})
	c := src.source.Config()
	o := wire.LinkOpenedFrame{RecordMax: c.RecordMax, Capacity: c.Capacity, Key: c.Key}
	o.Key ^= wrong
	if err := r.link.Serve(open.Stream, o, src.source); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDamagedOnTheWay: a frame that arrives damaged ends the connection, is counted
// on both sides, and none of it is in the mirror.
func TestDamagedOnTheWay(t *testing.T) {
	leaks(t)
	ln := listenRaw(t)
	s := settingsOf("b")
	s.Peers = []Peer{{Name: "a", Address: ln.Addr().String(), Mirror: []Mirror{{Ring: "r", As: "r.a"}}}}
	b := newHost(t, ringDir(t), s)
	r := serveRaw(t, ln, 0)
	r.step() // what is asked and answered
	r.damage = true
	if e := r.await(link.EventClose); e.Close.Code != wire.CodeChecksum {
		t.Errorf("the origin is told %+v", e.Close)
	}
	_ = r.conn.Close()
	b.waitRefused("checksum", "a at ")
	r = serveRaw(t, ln, 0)
	soon(t, "the second connection is good", func() bool {
		r.step()
		l, _ := b.link(wire.LinkRoleMirror, "r.a")
		return l.Sequence == 10 && l.CRCErrors == 1 && l.Reconnects == 1
	})
	expect(t, b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest()), 0, 10)
	_ = r.conn.Close()
}

// TestParkedAndDemoted: nobody waits for a peer whose reader holds nothing any more.
func TestParkedAndDemoted(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{DemoteAfterNS: new(int64(time.Millisecond))}, Mirror{}, nil)
	w := a.writer("r")
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	b.stop()
	a.wait(wire.LinkRoleExport, "r", wire.LinkWaiting)
	publish(t, w, 0, 3000)
	soon(t, "the parked reader is gone", func() bool { return len(a.attachments("r")) == 1 && len(a.g.Links().Links) == 0 })
}
