package shmring

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// parts reads what a span holds, and checks that it is whole parts.
func parts(t *testing.T, g *geometry, s Span) (records, gaps uint64) {
	t.Helper()
	at := boundary{s.Position, s.Sequence}
	le := func(off uint64) (v uint64) {
		for i := range uint64(8) {
			v |= uint64(s.Bytes[off+i]) << (8 * i)
		}
		return v
	}
	for at.pos < s.Position+uint64(len(s.Bytes)) {
		off := at.pos - s.Position
		kind := g.kindAt(le(off), at.pos)
		p, ok := g.parse(kind, at.pos, le(off+8))
		if !ok || kind == 0 || kind == kindJump {
			t.Fatalf("span at %d: no part at %d", s.Position, at.pos)
		}
		if kind == kindData {
			records++
		}
		gaps += p.lost
		at = p.after(at)
	}
	if at.pos != s.Position+uint64(len(s.Bytes)) || at.seq != s.Sequence+s.Records {
		t.Fatalf("span at %d of %d bytes, %d records ends at %+v", s.Position, len(s.Bytes), s.Records, at)
	}
	return records, gaps
}

// A reader of spans of any policy that is slower than its producer: holes are
// exact, a mirror that gets the spans and the holes balances.
func TestSpansLapped(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, policy := range []Policy{PolicySkip, PolicyDemote, PolicyLatest} {
		rng := rand.New(rand.NewPCG(seed, uint64(policy)))
		config := testConfig(CapacityBytesMin)
		origin := newHeapRing(t, config)
		p := origin.producer(t, ProducerOptions{})
		feed := origin.consumer(t, 0, policy, ConsumerOptions{From: FromOldest(), Spans: true, KeepCursor: true})
		mirror, m := mirrorOf(t, config, boundary{}, MirrorOptions{Missed: true})
		reader := mirror.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
		sent, read, lost, end := 0, uint64(0), uint64(0), Boundary{}
		drain := func() {
			for {
				r, err := reader.TryReceive()
				if err == ErrEmpty {
					return
				}
				if err != nil || !bytes.HasPrefix(r.Payload, payload(int(r.Sequence), 8)[:5]) {
					t.Fatalf("%+v %v", r, err)
				}
				read++
			}
		}
		for sent < 20000 {
			for range rng.IntN(200) {
				for p.TrySend(payload(sent, 8+rng.IntN(600))) == ErrFull {
					p.demote(0, 1)
				}
				sent++
			}
			for range rng.IntN(30) {
				_, credit, err := m.Progress()
				if err != nil {
					t.Fatal(err)
				}
				s, err := feed.NextSpan(min(4096, int(credit-m.End().Position)-JumpBytesMax))
				if err == ErrEmpty {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if hole := s.Sequence - end.Sequence; hole != s.Missed+s.Gaps || s.Position < end.Position || s.Gaps != 0 {
					t.Fatalf("span %d, %d behind %+v: %d missed, %d gaps", s.Position, s.Sequence, end, s.Missed, s.Gaps)
				}
				if s.Stable && !feed.Intact() {
					t.Fatal("a span is not intact when it is handed out")
				}
				parts(t, &origin.geometry, s)
				lost += s.Missed
				if err := deliver(m, s, drain); err != nil {
					t.Fatal(err)
				}
				end = feed.EndBoundary()
				if end != m.End() || end != (Boundary{s.Position + uint64(len(s.Bytes)), s.Sequence + s.Records}) {
					t.Fatalf("%+v, mirror %+v", end, m.End())
				}
				drain()
				if rng.IntN(3) == 0 {
					if err := feed.Release(end); err != nil {
						t.Fatal(err)
					}
					balanced(t, feed, 0)
				}
			}
		}
		if err := feed.Release(end); err != nil {
			t.Fatal(err)
		}
		s, rs := balanced(t, feed, 0), balanced(t, reader, 0)
		if s.MissedRecords != lost || s.Delivered != read || rs.MissedRecords != lost || rs.Delivered != read || lost == 0 || read == 0 || s.Position != end.Position {
			t.Fatalf("%s: %+v, %+v, read %d, lost %d", policy, s, rs, read, lost)
		}
		if daemon, err := origin.ConsumerStats(0); err != nil || daemon.Position != s.Position || daemon.Delivered != s.Delivered || daemon.MissedRecords != lost {
			t.Fatalf("told is %+v, %v; own is %+v", daemon, err, s)
		}
	}
}

// Gate, statistics and cursor follow Release; a successor resumes there.
func TestSpansRelease(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	h := newHeapRing(t, config)
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest(), Spans: true, KeepCursor: true})
	if _, err := c.NextSpan(1000); err != ErrEmpty {
		t.Fatal(err)
	}
	sent := 0
	for p.TrySend(payload(sent, 1000)) == nil {
		sent++
	}
	var ends []Boundary
	for {
		s, err := c.NextSpan(1)
		if err == ErrEmpty {
			break
		}
		if err != nil || !s.Stable || s.Records > 1 {
			t.Fatalf("%+v %v", s, err)
		}
		ends = append(ends, c.EndBoundary())
	}
	if len(ends) < sent {
		t.Fatalf("%d spans of %d records", len(ends), sent)
	}
	if err := p.TrySend(payload(0, 1000)); err != ErrFull {
		t.Fatalf("handed out is released: %v", err)
	}
	last := ends[len(ends)-1]
	for _, bad := range []Boundary{{last.Position + 16, last.Sequence}, {last.Position, last.Sequence + 1}, {24, 0}, {16, 16}} {
		if err := c.Release(bad); err == nil {
			t.Fatalf("released %+v", bad)
		}
	}
	if err := c.Release(ends[9]); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(ends[8]); err == nil {
		t.Fatal("released backwards")
	}
	if s := balanced(t, c, 0); s.Position != ends[9].Position || s.Delivered != 10 {
		t.Fatalf("%+v", s)
	}
	mustSend(t, p, payload(sent, 1000))
	if err := c.leave(); err != nil {
		t.Fatal(err)
	}
	next := h.successor(t, PolicyBlock, ConsumerOptions{Spans: true})
	if next.EndBoundary() != ends[9] || next.Start() != ends[9].Position {
		t.Fatalf("resumed at %+v, released was %+v", next.EndBoundary(), ends[9])
	}
	s, err := next.NextSpan(config.ChunkBytesMax())
	if err != nil || s.Position != ends[9].Position || len(s.Bytes) > config.ChunkBytesMax() || s.Records < 5 {
		t.Fatalf("%+v %v", s, err)
	}
	if s, err = next.NextSpan(1 << 30); err != nil || len(s.Bytes) > config.ChunkBytesMax() {
		t.Fatal(len(s.Bytes), err)
	}
}

// A span that was handed out of the ring's own memory is intact until a producer
// announces over it, not only until the reader is demoted.
func TestSpansIntact(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyDemote, ConsumerOptions{From: FromOldest(), Spans: true})
	for p.TrySend(payload(1, 1000)) == nil {
	}
	s, err := c.NextSpan(5000)
	if err != nil || !s.Stable || !c.Intact() {
		t.Fatal(s.Stable, err)
	}
	p.demote(0, 1)
	if !c.Intact() {
		t.Fatal("demoted, but nothing was overwritten")
	}
	for c.Intact() {
		mustSend(t, p, payload(2, 1000))
	}
	if announce := load64(h.b, offAnnounce); announce <= s.Position+h.capacity {
		t.Fatalf("announced is %d", announce)
	}
	if err := c.Release(c.EndBoundary()); err != nil || !c.Intact() {
		t.Fatalf("released, but not intact: %v", err)
	}
	for range 100 {
		mustSend(t, p, payload(3, 1000))
	}
	next, err := c.NextSpan(5000)
	if err != nil || next.Stable || next.Missed == 0 {
		t.Fatalf("%d missed, stable %v, %v", next.Missed, next.Stable, err)
	}
	if !c.Demoted() || !c.Intact() {
		t.Fatal("a copy needs no gate")
	}
}

// An end of the ring or of the attachment ends the spans, busy or idle.
func TestSpansEnd(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicySkip, ConsumerOptions{Spans: true})
	plain := h.consumer(t, 1, PolicySkip, ConsumerOptions{})
	mustSend(t, p, nil)
	if _, err := plain.NextSpan(100); err == nil || err == ErrEmpty {
		t.Fatalf("spans without being attached for them: %v", err)
	}
	store32(h.b, consumersOff+csPolicy, 0)
	var err error
	for n := 0; err == nil && n < 100; n++ {
		mustSend(t, p, payload(n, 1000))
		_, err = c.NextSpan(2000)
	}
	if !errors.Is(err, ErrDetached) {
		t.Fatal(err)
	}
	c = h.consumer(t, 0, PolicySkip, ConsumerOptions{Spans: true})
	if err := h.SetState(StateRemoved); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NextSpan(100); !errors.Is(err, ErrRemoved) {
		t.Fatal(err)
	}
}

// What a reader remembers of losses is bounded, and in the end right.
func TestSpanLedger(t *testing.T) {
	var l spanLedger
	var s ConsumerStats
	for i := range uint64(1000) {
		s.MissedRecords += i
		l.note(i*100, &s)
		if len(l.notes) > ledgerNotesMax {
			t.Fatalf("%d notes", len(l.notes))
		}
	}
	if got := l.settle(10*100 + 1); got.missed != 55 {
		t.Fatalf("%+v", got)
	}
	if got := l.settle(1000 * 100); got.missed != s.MissedRecords || len(l.notes) != 0 {
		t.Fatalf("%+v of %d", got, s.MissedRecords)
	}
}
