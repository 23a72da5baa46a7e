package broker

import (
	"errors"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// carry copies what a span reader has to a mirror, and counts the records.
func carry(t *testing.T, from *shmring.Consumer, to *shmring.Mirror) (records uint64) {
	t.Helper()
	for {
		s, err := from.NextSpan(1 << 20)
		if errors.Is(err, shmring.ErrEmpty) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := to.Progress(); err != nil {
			t.Fatal(err)
		}
		place, err := to.Place(s.Position, len(s.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		chunk := shmring.Chunk{Position: s.Position, Sequence: s.Sequence, Records: s.Records, Bytes: len(s.Bytes), First: [16]byte(s.Bytes)}
		copy(place, s.Bytes[16:])
		if err := to.Commit(chunk); err != nil {
			t.Fatal(err)
		}
		if err := from.Release(from.EndBoundary()); err != nil {
			t.Fatal(err)
		}
		records += s.Records
	}
}

// A mirror holds the records of its origin where that has them, over a restart of
// the daemon, while a reader reads on.
func TestMirrorGoesOn(t *testing.T) {
	for _, origin := range []wire.RingSpec{spec("md"), many("md")} {
		b, _ := open(t, tmpfsDir(t), generous)
		made := mustCreate(t, b, origin)
		child := startChild(t)
		lease := mustAttach(t, b, request(1, child.handle, "md", wire.RoleConsumer))
		p := writer(t, mustAttach(t, b, request(1, child.handle, "md", wire.RoleProducer)))
		spans, err := shmring.OpenConsumer(lease.Files[0], lease.Files[1], shmring.ConsumerOptions{
			Generation: 1, Policy: shmring.PolicyDemote, From: shmring.FromOldest(), Spans: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer spans.Close()

		s := MirrorSpec{Name: "m", Peer: "there", Ring: "md", Config: b.rings["md"].mem.Config()}
		if r := mustMirror(t, b, s); r.Epoch != made.Epoch || r.Producers != made.Producers || r.RecordMax != made.RecordMax {
			t.Fatalf("%+v, want it as %+v", r, made)
		}
		c := reader(t, mustAttach(t, b, request(1, child.handle, "m", wire.RoleConsumer)), shmring.PolicyDemote)
		m := mustOpenMirror(t, b, "m")
		for range 2 {
			for range 5 {
				if err := push(p); err != nil {
					t.Fatal(err)
				}
			}
			if n := carry(t, spans, m); n != 5 {
				t.Fatalf("%d records, want 5", n)
			}
			for range 5 {
				if r, err := c.TryReceive(); err != nil || len(r.Payload) != 1000 || r.Missed+r.Gaps != 0 {
					t.Fatalf("the reader: %+v, %v", r, err)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			b, _ = restart(t, b)
			mustMirror(t, b, s)
			if m = mustOpenMirror(t, b, "m"); m.End() != spans.EndBoundary() {
				t.Fatalf("after a restart at %+v, the origin is at %+v", m.End(), spans.EndBoundary())
			}
		}
	}
}
