package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
)

// Notes survive the daemon, are bounded, and say what was published to the record.
func TestJournal(t *testing.T) {
	path := t.TempDir() + "/sessions"
	open := func() *Journal {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		return j
	}
	session := func(n int) (s [16]byte) {
		binary.LittleEndian.PutUint64(s[3:], uint64(n+1))
		return s
	}
	j := open()
	i, known := j.Entry(session(0))
	none := func(uint64) bool { return false }
	all := func(uint64) bool { return true }
	if known || j.Applied(i, all) != (Boundary{}) {
		t.Fatal(i, known)
	}
	j.Note(i, 160, Boundary{32, 1})
	if got := j.Applied(i, none); got != (Boundary{}) {
		t.Fatalf("%+v", got)
	}
	j.Note(i, 320, Boundary{64, 2})
	for _, j := range []*Journal{j, open()} {
		i, known := j.Entry(session(0))
		if !known || j.Applied(i, all) != (Boundary{64, 2}) || j.Applied(i, none) != (Boundary{32, 1}) {
			t.Fatal(known, j.Applied(i, all), j.Applied(i, none))
		}
	}
	j = open()
	j.Settle(none)
	if got := j.Applied(i, all); got != (Boundary{32, 1}) {
		t.Fatalf("settled, then %+v", got)
	}
	j.Settle(all)
	j.Note(i, 480, Boundary{96, 3})
	if got := j.Applied(i, none); got != (Boundary{32, 1}) {
		t.Fatalf("%+v", got)
	}
	for n := 1; n < JournalSessionsMax; n++ {
		at, known := j.Entry(session(n))
		if known || at < 0 {
			t.Fatal(n, at, known)
		}
		j.Note(at, uint64(n), Boundary{uint64(n) * 16, 1})
	}
	if at, known := j.Entry(session(0)); !known || at != i {
		t.Fatal(at, known)
	}
	if at, _ := j.Entry(session(1000)); at != -1 {
		t.Fatalf("entry %d is held", at)
	}
	for n := range JournalSessionsMax {
		j.Leave(n)
	}
	at, known := j.Entry(session(1000)) // session 0 was noted first
	if known || at != i || j.Applied(at, all) != (Boundary{}) {
		t.Fatal(at, known)
	}
	if at, known := j.Entry(session(5)); !known || j.Applied(at, all) != (Boundary{80, 1}) {
		t.Fatal(at, known)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(f); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

// What the ring says about a claim, in each of its states.
func TestPublished(t *testing.T) {
	for _, many := range []bool{false, true} {
		config := testConfig(CapacityBytesMin)
		config.Many = many
		h := newHeapRing(t, config)
		p := h.producer(t, ProducerOptions{})
		want := func(claim uint64, what bool, when string) {
			t.Helper()
			if done, err := h.Published(claim); err != nil || done != what {
				t.Fatalf("many %v: %s: %v, %v", many, when, done, err)
			}
		}
		reserve := func(n int) uint64 {
			t.Helper()
			if _, err := p.Reserve(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			return p.ClaimPosition()
		}
		commit := func() {
			t.Helper()
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		first := reserve(100)
		want(first, false, "open")
		commit()
		want(first, true, "committed")
		want(24, false, "no position")
		for p.Position()&h.mask < h.capacity-4096 {
			mustSend(t, p, payload(1, 1000))
		}
		padded := reserve(5000)
		if p.pad == 0 || padded != p.tail {
			t.Fatal("no pad")
		}
		want(padded, false, "open with a pad")
		if many { // the pad alone, then the death
			p.part(kindPad, p.pad, p.pad)
			want(padded, false, "pad committed")
		} else {
			commit()
			want(padded, true, "committed with a pad")
		}
		if many {
			if _, err := h.Repair(0); err != nil {
				t.Fatal(err)
			}
			want(padded, false, "a gap")
			p = h.producer(t, ProducerOptions{Slot: 1})
		}
		want(first, true, "a lap ago, still there")
		for range 200 {
			mustSend(t, p, payload(2, 1000))
		}
		want(first, true, "overwritten")
		if fmt.Sprint(first) != "0" {
			t.Fatal(first)
		}
	}
}
