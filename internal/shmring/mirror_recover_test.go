package shmring

import (
	"math/rand/v2"
	"testing"
)

// granted is the limit after a Progress that must work.
func granted(t *testing.T, m *Mirror) uint64 {
	t.Helper()
	_, limit, err := m.Progress()
	if err != nil {
		t.Fatal(err)
	}
	return limit
}

// A writer killed between Place and Commit leaves nothing that looks like a part.
func TestRecoverScrubs(t *testing.T) {
	h, m := mirrorOf(t, chunkConfig(false), boundary{4096, 5}, MirrorOptions{})
	granted(t, m)
	b, err := m.Place(4096, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for off := 16; off < 2048; off += 16 {
		copy(b[off-16:], partBytes(m, 4096+uint64(off), kindData, 0, 16))
	}
	if again := h.mirror(t, MirrorOptions{}); again.End() != m.End() {
		t.Fatalf("it ends at %+v", again.End())
	}
	wantClean(t, h, m)
}

// A jump so far that its target needs the only sync entry there is, by a writer
// killed while it replaces that: the hint still leads to the end.
func TestRecoverFarJump(t *testing.T) {
	h, m := mirrorOf(t, chunkConfig(false), boundary{4096, 5}, MirrorOptions{})
	granted(t, m)
	target := 4096 + 2*m.capacity
	if h.syncEntry(target) != h.syncEntry(4096) {
		t.Fatal("the target has another sync entry")
	}
	if err := m.Jump(target, 9); err != nil {
		t.Fatal(err)
	}
	store64(h.b, h.syncEntry(target), syncNone)
	if again := h.mirror(t, MirrorOptions{}); again.End() != (Boundary{target, 14}) {
		t.Fatalf("it ends at %+v", again.End())
	}
	if at, ok := h.syncAt(target / h.chunk); !ok || at.pos != target {
		t.Fatalf("the sync entry was not written: %+v", at)
	}
}

// A near jump to where a payload of the lap before is a part: no reader takes it.
func TestJumpToForgedPart(t *testing.T) {
	_, m := mirrorOf(t, chunkConfig(false), boundary{}, MirrorOptions{})
	granted(t, m)
	forged := m.capacity + 32
	b := append(record(m, 0, 0, 64), partBytes(m, 80, kindPad, 16, 16)...)
	copy(b[32:], partBytes(m, forged, kindData, 8, 24))
	if err := deliver(m, Span{Bytes: b, Records: 1}, func() {}); err != nil {
		t.Fatal(err)
	}
	if err := m.Jump(m.capacity, 0); err != nil {
		t.Fatal(err)
	}
	if limit := granted(t, m); limit < forged {
		t.Fatalf("limit %d", limit)
	}
	if m.kindAt(load64(m.b, m.at(forged)), forged) != kindData {
		t.Fatal("nothing is forged")
	}
	if err := m.Jump(forged, 0); err != nil {
		t.Fatal(err)
	}
	if end, err := m.newest(); err != nil || end.pos != forged {
		t.Fatalf("readers see up to %+v, %v", end, err)
	}
}

// jumping is a mirror from its beginning, with a lossless reader and one that skips.
func jumping(t *testing.T) (h *heapRing, m *Mirror, block, skip *Consumer) {
	t.Helper()
	h, m = mirrorOf(t, chunkConfig(false), boundary{}, MirrorOptions{})
	block = h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
	skip = h.consumer(t, 1, PolicySkip, ConsumerOptions{From: FromOldest()})
	return h, m, block, skip
}

// drain receives all there is, and returns how much of it was missed.
func drain(t *testing.T, c *Consumer) (missed uint64) {
	t.Helper()
	for {
		r, err := c.TryReceive()
		if err == ErrEmpty {
			return missed
		}
		if err != nil {
			t.Fatal(err)
		}
		missed += r.Missed
	}
}

// What a skip reader still has before a jump that a gating reader has not stepped
// over yet is not announced away: it gets all of it.
func TestJumpKeepsWhatIsThere(t *testing.T) {
	_, m, block, skip := jumping(t)
	rng := rand.New(rand.NewPCG(1, 1))
	sent := uint64(0)
	for m.tail < m.capacity*3/4 {
		sent += place(t, m, rng, int(granted(t, m)-m.tail))
		drain(t, block)
	}
	if err := m.Jump(m.tail+5*m.capacity, 7); err != nil {
		t.Fatal(err)
	}
	if limit := granted(t, m); limit != m.tail {
		t.Fatalf("limit %d behind a jump to %d that a lossless reader has before it", limit, m.tail)
	}
	if missed := drain(t, skip); missed != 0 {
		t.Fatalf("%d records are missed", missed)
	}
	if s := balanced(t, skip, 0); s.Delivered != sent || s.GapRecords != 7 || s.Position != m.tail {
		t.Fatalf("%+v of %d records", s, sent)
	}
}

// An overrun reader between two jumps, where a gating reader keeps the target of the
// second from being announced: it goes on there, and does not wait for the other.
func TestResyncToUnannouncedTarget(t *testing.T) {
	h, m, block, skip := jumping(t)
	rng := rand.New(rand.NewPCG(2, 2))
	place(t, m, rng, int(granted(t, m)))
	sent := m.seq
	for range 2 {
		if err := m.Jump(m.tail&^(m.capacity-1)+5*m.capacity+m.chunk*8, 3); err != nil {
			t.Fatal(err)
		}
		if sent == m.seq-3 { // over the first jump only
			drain(t, block)
		}
		granted(t, m)
	}
	if announce := load64(h.b, offAnnounce); announce >= m.tail || announce < m.capacity*2 {
		t.Fatalf("announced is %d, the mirror ends at %d", announce, m.tail)
	}
	if _, err := skip.TryReceive(); err != ErrEmpty {
		t.Fatal(err)
	}
	if s := balanced(t, skip, 0); s.Position != m.tail || s.MissedRecords != m.seq {
		t.Fatalf("%+v, the mirror ends at %+v", s, m.End())
	}
}
