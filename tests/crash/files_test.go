package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// fate is what becomes of a ring that was harmed while no daemon ran.
type fate int

const (
	adopted   fate = iota // as it was
	succeeded             // quarantined, and there is another one of its description
	lost                  // quarantined, and its description with it
)

// harmed is one ring and what is done to its files.
type harmed struct {
	ring string
	harm func(dir string) error
	fate fate
	says []string // in status, beside the folder
}

func overwrite(file string, at int64, with string) func(string) error {
	return func(dir string) error {
		f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(with), at)
		return errors.Join(err, f.Close())
	}
}

func truncate(file string, size int64) func(string) error {
	return func(dir string) error { return os.Truncate(filepath.Join(dir, file), size) }
}

func remove(file string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, file)) }
}

func edit(file, from, to string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, file)
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), from) {
			err = fmt.Errorf("%s does not say %q: %s", path, from, text)
		}
		return errors.Join(err, os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600))
	}
}

// withoutBoot makes a description one of an earlier brokerd.
func withoutBoot(dir string) error {
	path := filepath.Join(dir, "meta.json")
	text, err := os.ReadFile(path)
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.Contains(line, `"boot"`) })
	return errors.Join(err, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
}

func harmedRings() []harmed {
	look := "look at it if you want to know how that came about, then brokerctl gc deletes it"
	itsBrokerd := "start the brokerd that made it"
	return []harmed{
		{"good", func(string) error { return nil }, adopted, nil},
		{"good.half", func(dir string) error { return os.WriteFile(filepath.Join(dir, "meta.json.new"), []byte("{"), 0o600) }, adopted, nil},
		{"good.old", withoutBoot, adopted, nil},
		{"boot", edit("meta.json", `"boot": "`, `"boot": "0`), succeeded, []string{"of another boot of this host, or a copy", "whoever was attached is gone", "then brokerctl gc deletes it"}},
		{"version", overwrite("data", 8, "\x02\x00\x00\x00"), succeeded, []string{"version", itsBrokerd}},
		{"format", edit("meta.json", `"format": 1,`, `"format": 2, "more": 1,`), lost, []string{"made by another version of brokerd", "format 2, this brokerd reads 1", itsBrokerd}},
		{"magic", overwrite("data", 0, "RING"), succeeded, []string{"not a ring", look}},
		{"header", overwrite("data", 0x10, "\x01"), succeeded, []string{"checksum", look}},
		{"state", overwrite("data", 0x100, "\x02"), succeeded, []string{look}},
		{"short", truncate("data", 5000), succeeded, []string{"the data file has 5000 bytes", look}},
		{"empty", truncate("data", 0), succeeded, []string{"header bytes could be read", look}},
		{"nodata", remove("data"), succeeded, []string{"data", look}},
		{"nopage", remove("c01"), succeeded, []string{"cursor page 1", look}},
		{"slots", overwrite("slots", 512, "hello"), succeeded, []string{"consumer slot 1", look}},
		{"noslots", remove("slots"), succeeded, []string{"slots", look}},
		{"shortslots", truncate("slots", 512), succeeded, []string{"slot table of 512 bytes", look}},
		{"sessions", func(dir string) error { return os.WriteFile(filepath.Join(dir, "sessions"), []byte("garbage"), 0o600) }, succeeded, []string{"journal", look}},
		{"geometry", edit("meta.json", `"record_max": 4096`, `"record_max": 4095`), succeeded, []string{"meta.json says", look}},
		{"meta", overwrite("meta.json", 0, "["), lost, []string{"ring description not understood", look}},
		{"emptymeta", truncate("meta.json", 0), lost, []string{"ring description not understood", look}},
		{"nometa", remove("meta.json"), lost, []string{"meta.json", look}},
		{"renamed", edit("meta.json", `"renamed"`, `"good"`), lost, []string{`describes ring "good", the folder is "renamed"`, look}},
	}
}

// foreigners lays things beside the rings that are none, and returns their names.
func foreigners(t *testing.T, dir string) []string {
	t.Helper()
	at := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	err := errors.Join(
		os.Mkdir(at("folder"), 0o755), os.WriteFile(at("folder", "data"), []byte("mine, and of no use to anybody else"), 0o644),
		os.Mkdir(at(".hidden"), 0o755), os.WriteFile(at("file"), []byte("mine"), 0o644),
		os.Symlink("/etc", at("link")), syscall.Mkfifo(at("pipe"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"folder", ".hidden", "file", "link", "pipe"}
}

// TestFilesFoundAtTheStart harms every kind of file while no daemon runs, and wants the
// next one to adopt what is good, set aside what is not, clean up what is half made,
// touch nothing else, and say so in a sentence each, after another restart as well.
func TestFilesFoundAtTheStart(t *testing.T) {
	t.Parallel()
	w := &world{t: t, Place: harness.NewPlace(t, binaries, "[]")}
	w.d = w.Start()
	w.c = w.Dial()
	was := map[string]client.Ring{}
	rings := harmedRings()
	for _, h := range rings {
		w.must(w.create(h.ring))
		was[h.ring] = w.describe(h.ring).Ring
		p, err := w.c.Producer(harness.Bounded(t), h.ring, client.ProducerOptions{})
		w.must(err)
		w.must(p.Send(harness.Bounded(t), []byte("kept")))
		if h.ring == "boot" {
			w.producer = p
		}
	}
	w.d.Kill()
	for _, h := range rings {
		w.must(h.harm(filepath.Join(w.Dir, h.ring)))
	}
	foreign := foreigners(t, w.Dir)
	w.must(os.Mkdir(filepath.Join(w.Dir, ".new-x-1"), 0o700), os.Mkdir(filepath.Join(w.Dir, ".rm-x-1"), 0o700))
	for range 2 {
		w.d = w.Start()
		w.wantFates(rings, was, foreign)
		w.d.Kill()
	}
	w.d = w.Start()
	if err := w.producer.Send(harness.Bounded(t), nil); err == nil {
		t.Error("who was attached to a ring of another boot goes on")
	}
	w.wantCollected(rings, foreign)
}

// wantFates compares the rings, the directory and the problems of status with what
// was done to the files.
func (w *world) wantFates(rings []harmed, was map[string]client.Ring, foreign []string) {
	w.t.Helper()
	var status client.Status
	w.Object(&status, "status")
	problems := status.Problems
	var there []string
	for _, h := range rings {
		if h.fate != lost {
			there = append(there, h.ring)
			w.wantFate(h, was[h.ring])
		}
		if h.fate == adopted {
			continue
		}
		prefix := filepath.Join(w.Dir, ".quarantine-"+h.ring+"-2")
		i := slices.IndexFunc(problems, func(p string) bool { return strings.HasPrefix(p, prefix) })
		if i < 0 {
			w.t.Errorf("%s: no problem tells of it: %q", h.ring, problems)
			continue
		}
		for _, says := range h.says {
			if !strings.Contains(problems[i], says) {
				w.t.Errorf("%s: %q does not say %q", h.ring, problems[i], says)
			}
		}
		problems = slices.Delete(slices.Clone(problems), i, i+1)
	}
	for _, name := range foreign {
		text := filepath.Join(w.Dir, name) + " is no ring and was left alone: move it elsewhere"
		if !slices.Contains(problems, text) {
			w.t.Errorf("no problem says %q", text)
		}
	}
	if len(problems) != len(foreign) {
		w.t.Errorf("more problems than expected: %q", problems)
	}
	slices.Sort(there)
	w.wantNames(there...)
	want := slices.Concat([]string{".lock"}, there, foreign, status.Quarantined)
	if got := entries(w.t, w.Dir); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		w.t.Errorf("there are %q, want %q", got, want)
	}
}

// wantFate looks at a ring that is there.
func (w *world) wantFate(h harmed, was client.Ring) {
	w.t.Helper()
	now := w.describe(h.ring)
	records := uint64(0)
	if h.fate == adopted {
		records = 1
	}
	if (now.Ring.Epoch == was.Epoch) != (h.fate == adopted) || now.Stats.Sequence != records {
		w.t.Errorf("%s: %+v with %d records, before it was %+v", h.ring, now.Ring, now.Stats.Sequence, was)
	}
	if held := len(now.Attachments); held != int(records) {
		w.t.Errorf("%s: %d attachments", h.ring, held)
	}
	w.wantFiles(now.Ring)
	text, err := os.ReadFile(filepath.Join(w.Dir, h.ring, "meta.json"))
	if err != nil || !strings.Contains(string(text), `"boot"`) {
		w.t.Errorf("%s: %v, %s", h.ring, err, text)
	}
}

// wantCollected has everything deleted but what is no ring.
func (w *world) wantCollected(rings []harmed, foreign []string) {
	w.t.Helper()
	aside := slices.DeleteFunc(slices.Clone(rings), func(h harmed) bool { return h.fate == adopted })
	var out client.GarbageOut
	w.Object(&out, "gc")
	if len(out.Garbage) != len(aside)+len(foreign) {
		w.t.Errorf("gc: %+v", out)
	}
	for _, g := range out.Garbage {
		if g.Deleted == (g.Kind == client.GarbageForeign) {
			w.t.Errorf("gc: %+v", g)
		}
	}
	var status client.Status
	w.Object(&status, "status")
	if len(status.Problems) != len(foreign) || len(status.Quarantined) != 0 || status.QuarantinedBytes != 0 {
		w.t.Errorf("after gc: %+v", status)
	}
	text, err := os.ReadFile(filepath.Join(w.Dir, "folder", "data"))
	if err != nil || !strings.HasPrefix(string(text), "mine") {
		w.t.Errorf("what is somebody else's: %q, %v", text, err)
	}
}
