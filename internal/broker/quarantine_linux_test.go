package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

func TestForeignThingsAreLeftAlone(t *testing.T) {
	dir := tmpfsDir(t)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "folder"), 0o755),
		os.MkdirAll(filepath.Join(dir, ".hidden"), 0o755),
		os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o644),
		os.WriteFile(filepath.Join(dir, "folder", "inside"), nil, 0o644),
		os.Symlink("/etc", filepath.Join(dir, "link")),
	); err != nil {
		t.Fatal(err)
	}
	b, events := open(t, dir, generous)
	p := b.Status().Problems
	if len(p) != 4 || events.count(EventLeftAlone) != 4 || !strings.Contains(p[1], filepath.Join(dir, "file")+" is no ring") {
		t.Errorf("%q", p)
	}
	if _, err := os.Stat(filepath.Join(dir, "folder", "inside")); err != nil {
		t.Error(err)
	}
	if _, err := b.CreateRing(spec("folder"), 0); !errors.Is(err, wire.ErrRingExists) {
		t.Error(err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	dir := tmpfsDir(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * problemsMax {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := open(t, dir, generous)
	if p := b.Status().Problems; len(p) != problemsMax+1 || !strings.HasPrefix(p[problemsMax], "64 more things in ") {
		t.Errorf("%d problems", len(p))
	}
}

// A ring that cannot be used is moved away whole and told of. Where its description
// can be read it has a successor, else its name is free again. The others are adopted.
func TestQuarantine(t *testing.T) {
	for what, c := range map[string]struct {
		harm func(t *testing.T, ring string) error
		says string
	}{
		"no magic":         {overwrite("data", 0, []byte{0}), "not a ring"},
		"bad checksum":     {overwrite("data", 0x10, []byte{1}), "checksum"},
		"truncated":        {func(_ *testing.T, ring string) error { return os.Truncate(filepath.Join(ring, "data"), 5000) }, "data file has 5000 bytes"},
		"no data":          {func(_ *testing.T, ring string) error { return os.Remove(filepath.Join(ring, "data")) }, "data"},
		"no cursor page":   {func(_ *testing.T, ring string) error { return os.Remove(filepath.Join(ring, "c02")) }, "c02"},
		"no slot table":    {func(_ *testing.T, ring string) error { return os.Remove(filepath.Join(ring, slotsName)) }, slotsName},
		"short slot table": {func(_ *testing.T, ring string) error { return os.Truncate(filepath.Join(ring, slotsName), 512) }, "slot table of 512 bytes"},
		"bad slot record":  {overwrite(slotsName, 512, []byte("hello")), "consumer slot 1"},
		"slot past the ring": {overwrite(slotsName, 4*512, []byte(`{"state":"attached","role":"consumer","generation":1,"pid":1,"start":1}`)),
			"consumer slot 4 of 4"},
		"bad description": {overwrite(metaName, 0, []byte("[")), metaName},
		"renamed": {func(t *testing.T, ring string) error {
			text, err := os.ReadFile(filepath.Join(ring, metaName))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(ring, metaName), []byte(strings.Replace(string(text), `"bad"`, `"good"`, 1)), 0o600)
		}, `describes ring "good"`},
		"another geometry": {func(t *testing.T, ring string) error {
			text, err := os.ReadFile(filepath.Join(ring, metaName))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(ring, metaName), []byte(strings.Replace(string(text), `"record_max": 4096`, `"record_max": 4095`, 1)), 0o600)
		}, "the ring itself"},
		"state forged": {overwrite("data", 0x100, []byte{2}), "0x2"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := tmpfsDir(t)
			b, _ := open(t, dir, generous)
			mustCreate(t, b, spec("bad"))
			mustCreate(t, b, spec("good"))
			h := self(t)
			closeFiles(mustAttach(t, b, request(1, h, "bad", wire.RoleProducer)).Files)
			closeFiles(mustAttach(t, b, request(1, h, "bad", wire.RoleConsumer)).Files)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			before := openFDs(t)
			if err := c.harm(t, filepath.Join(dir, "bad")); err != nil {
				t.Fatal(err)
			}
			b, events := open(t, dir, generous)
			s := b.Status()
			rings := 2 // the successor
			if strings.Contains(c.says, metaName) || what == "renamed" {
				rings = 1
			}
			if s.Adopted != 1 || s.Rings != rings || s.Attachments != 0 || len(s.Quarantined) != 1 || len(s.Problems) != 1 || events.count(EventQuarantined) != 1 {
				t.Fatalf("%+v", s)
			}
			if !strings.HasPrefix(s.Quarantined[0], ".quarantine-bad-") || !strings.Contains(s.Problems[0], c.says) {
				t.Errorf("%q: %q", s.Quarantined, s.Problems)
			}
			if _, err := os.Stat(filepath.Join(dir, s.Quarantined[0])); err != nil {
				t.Error(err)
			}
			if rings == 1 {
				mustCreate(t, b, spec("bad"))
			}
			if used := b.Status(); used.MemoryBytes != 2*memoryBytes(b.rings["bad"].info)+used.QuarantinedBytes {
				t.Errorf("%d bytes in use, %d of them quarantined", used.MemoryBytes, used.QuarantinedBytes)
			}

			b, _ = restart(t, b)
			if s := b.Status(); s.Rings != 2 || len(s.Quarantined) != 1 || len(s.Problems) != 1 {
				t.Errorf("after another restart: %+v", s)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if after := openFDs(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func overwrite(file string, at int64, with []byte) func(*testing.T, string) error {
	return func(_ *testing.T, ring string) error {
		f, err := os.OpenFile(filepath.Join(ring, file), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(with, at)
		return errors.Join(err, f.Close())
	}
}
