package broker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// A journal counts against the limits and goes with its ring.
func TestJournal(t *testing.T) {
	dir := tmpfsDir(t)
	one, err := Plan(spec("md"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := open(t, dir, Limits{MemoryBytes: 2*one + shmring.JournalBytes - 1, Rings: 2, Attachments: 8})
	mustCreate(t, b, spec("md"))
	mustCreate(t, b, spec("full"))
	if _, err := b.Journal("md"); !errors.Is(err, wire.ErrLimitExceeded) {
		t.Errorf("past the limit: %v", err)
	}
	if _, err := b.Journal("nosuch"); !errors.Is(err, wire.ErrRingNotFound) {
		t.Errorf("no ring: %v", err)
	}
	limits := b.limits
	limits.MemoryBytes++
	b.SetLimits(limits)
	for range 2 {
		j, err := b.Journal("md")
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		info, err := os.Stat(filepath.Join(dir, "md", sessionsName))
		if err != nil || info.Size() != shmring.JournalBytes || info.Mode() != 0o600 {
			t.Errorf("the file: %+v, %v", info, err)
		}
		if s := b.Status(); s.MemoryBytes != 2*one+shmring.JournalBytes || b.Rings()[1].MemoryBytes != one+shmring.JournalBytes {
			t.Errorf("accounts: %+v, %+v", s, b.Rings())
		}
		b, _ = restart(t, b)
	}
	if err := b.RemoveRing("md", false); err != nil || b.Status().MemoryBytes != one {
		t.Errorf("removed: %v, %+v", err, b.Status())
	}
}

// What a daemon had noted and not committed when it was killed is known for good as
// not published, though the gap in its place looks like a record that was.
func TestJournalIsSettled(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	j, err := b.Journal("md")
	if err != nil {
		t.Fatal(err)
	}
	p := writer(t, mustAttach(t, b, request(GatewayConn, self(t), "md", wire.RoleProducer)))
	sessions := [][16]byte{{1}, {2}}
	first := shmring.Boundary{Position: 64, Sequence: 1}
	for _, s := range sessions {
		i, known := j.Entry(s)
		if known {
			t.Fatal("a session that nobody began")
		}
		if _, err := p.Reserve(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		j.Note(i, p.ClaimPosition(), first)
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	i, _ := j.Entry(sessions[1])
	if _, err := p.Reserve(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	j.Note(i, p.ClaimPosition(), shmring.Boundary{Position: 128, Sequence: 2})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	b, _ = restart(t, b)
	if j, err = b.Journal("md"); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for n, s := range sessions {
		i, known := j.Entry(s)
		if got := j.Applied(i, func(uint64) bool { return n == 1 }); !known || got != first {
			t.Errorf("session %d: known %v, applied %+v, want %+v", n, known, got, first)
		}
	}
}

// A daemon that was killed before the journal had its memory finds an empty file;
// one with garbage in it could double records, and the ring is quarantined.
func TestJournalOnDisk(t *testing.T) {
	for text, adopted := range map[string]bool{"": true, "garbage": false} {
		b, _ := open(t, tmpfsDir(t), generous)
		r := mustCreate(t, b, spec("md"))
		if err := os.WriteFile(filepath.Join(b.dir, "md", sessionsName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b, _ = restart(t, b)
		if got := b.Rings(); len(got) != 1 || (got[0].Epoch == r.Epoch) != adopted || got[0].MemoryBytes != r.MemoryBytes {
			t.Errorf("%q: %+v, %+v", text, got, b.Status())
		}
	}
}
