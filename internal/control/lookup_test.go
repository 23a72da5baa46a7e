package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseGetent(t *testing.T) {
	for out, want := range map[string]entry{
		"alice:x:1001:100:Alice:/home/alice:/bin/sh\n": {"alice", 1001, true},
		"trading:*:777:alice,bob\n":                    {"trading", 777, true},
		"a:x:1:\nb:x:2:\n":                             {"a", 1, true},
		"":                                             {},
		"alice:x\n":                                    {},
		":x:7:\n":                                      {},
		"alice:x:many:\n":                              {}, // a uid that is no number
	} {
		if got := parseGetent(out); got != want {
			t.Errorf("parseGetent(%q) = %+v, want %+v", out, got, want)
		}
	}
}

// fakeGetent puts a getent of our own in front of the PATH.
func fakeGetent(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestFindNameAsksGetent(t *testing.T) {
	fakeGetent(t, `case "$*" in
"-- passwd directory-user") echo "directory-user:*:70001:70001::/:/bin/sh";;
"-- group directory-group") echo "directory-group:*:70002:directory-user";;
"-- passwd 70001") echo "directory-user:*:70001:70001::/:/bin/sh";;
*broken*) exit 3;;
*) exit 2;; esac
`)
	for k, want := range map[nameKey]uint32{
		{users, "directory-user"}:   70001,
		{groups, "directory-group"}: 70002,
		{users, "70001"}:            70001,
		{users, "root"}:             0, // from the files, getent would have said no
	} {
		if e, err := findName(t.Context(), k); err != nil || !e.known || e.id != want || e.name == "" {
			t.Errorf("findName(%v) = %+v, %v, want %d", k, e, err, want)
		}
	}
	if e, err := findName(t.Context(), nameKey{groups, "directory-user"}); err != nil || e.known {
		t.Errorf("a user among the groups: %+v, %v", e, err)
	}
	if e, err := findName(t.Context(), nameKey{groups, "broken"}); err == nil || e.known {
		t.Errorf("a getent that fails: %+v, %v", e, err)
	}
}

func TestFindNameGivesUpOnASlowGetent(t *testing.T) {
	fakeGetent(t, "exec sleep 60\n")
	began := time.Now()
	if e, err := findName(t.Context(), nameKey{users, "directory-user"}); !errors.Is(err, context.DeadlineExceeded) || e.known {
		t.Errorf("%+v, %v, want no answer", e, err)
	}
	if took := time.Since(began); took > 3*getentMax {
		t.Errorf("gave up after %v, want about %v", took, getentMax)
	}
}

func TestWithoutGetentTheFilesAreAllThereIs(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if e, err := findName(t.Context(), nameKey{users, "directory-user"}); err != nil || e.known {
		t.Errorf("%+v, %v, want an unknown name", e, err)
	}
}

func TestGroupID(t *testing.T) {
	fakeGetent(t, `case "$*" in
"-- group directory-group") echo "directory-group:*:70002:directory-user";;
"-- group broken") exit 3;;
*) exit 2;; esac
`)
	for name, want := range map[string]int{"": -1, "0": 0, "4242": 4242, "root": 0, "directory-group": 70002} {
		if gid, err := GroupID(t.Context(), name); err != nil || gid != want {
			t.Errorf("%q: %d, %v, want %d", name, gid, err, want)
		}
	}
	for name, says := range map[string]string{"no-such-group": "create it", "-1": "create it", "4294967296": "create it", "broken": "try again"} {
		gid, err := GroupID(t.Context(), name)
		if gid != -1 || err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%q: %d, %v, want %q", name, gid, err, says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if gid, err := GroupID(ctx, "directory-group"); gid != -1 || !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %d, %v", gid, err)
	}
}
