package main

import (
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, path string, epoch uint64) *journal {
	t.Helper()
	j, err := openJournal(path, epoch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.close() })
	return j
}

// TestJournalRemembers: a journal knows the records it holds after a kill that tore
// a line, and none of another epoch.
func TestJournalRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.log")
	j := open(t, path, 7)
	if j.has(0) {
		t.Error("a new journal has the record at position 0")
	}
	for _, position := range []uint64{0, 48} {
		if err := j.add(position, 1, order{position, -5}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.file.WriteString("7 96 1"); err != nil {
		t.Fatal(err)
	}
	j = open(t, path, 7)
	if !j.has(0) || !j.has(48) || j.has(96) {
		t.Errorf("records at 0, 48, 96: has %v, %v, %v; the last one was torn", j.has(0), j.has(48), j.has(96))
	}
	text, err := os.ReadFile(path)
	if want := "7 0 1 0 -5\n7 48 1 48 -5\n"; err != nil || string(text) != want {
		t.Errorf("the journal is %q (%v), want %q", text, err, want)
	}
	if open(t, path, 8).has(0) {
		t.Error("it has a record of an epoch that it never saw")
	}
}

func TestJournalRefusesAnotherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("buy milk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(path, 1); err == nil {
		t.Error("it takes any file for a journal")
	}
}
