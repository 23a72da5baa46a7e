package results

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteReplacesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "r.json")
	for _, report := range []map[string]int{{"first": 1, "long": 1}, {"second": 2}} {
		if err := Write(path, report); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "{\n \"second\": 2\n}\n" {
		t.Errorf("file holds %q, error %v", text, err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("the folder holds %v, error %v", all, err)
	}
}

func TestWriteFailsWithoutTouchingTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	if err := Write(path, 1); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, func() {}); err == nil {
		t.Error("a function as JSON: accepted")
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, 2); err == nil {
		t.Error("a folder is in the way: accepted")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "1\n" {
		t.Errorf("file holds %q, error %v", text, err)
	}
	if err := Write(filepath.Join(path, "below"), 3); err == nil {
		t.Error("a file as folder: accepted")
	}
}

func TestFacts(t *testing.T) {
	if m := ThisMachine(); m.Kernel == unknown || m.Kernel == "" || m.Cores < 1 {
		t.Errorf("machine %+v", m)
	}
	if load := LoadAverage(); !strings.Contains(load, "/") {
		t.Errorf("load %q", load)
	}
	path := filepath.Join(t.TempDir(), "cpuinfo")
	if FirstLine(path) != unknown || cpuModel(path) != unknown {
		t.Error("a missing file is not unknown")
	}
	if err := os.WriteFile(path, []byte("processor\t: 0\nmodel name\t: One: two \nmodel name\t: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := FirstLine(path); got != "processor\t: 0" {
		t.Errorf("first line %q", got)
	}
	if got := cpuModel(path); got != "One: two" {
		t.Errorf("CPU %q", got)
	}
}
