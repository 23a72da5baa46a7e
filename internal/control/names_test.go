package control

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestNamesRememberAndForget(t *testing.T) {
	core, logged := observer.New(zapcore.WarnLevel)
	asked := map[string]int{}
	now := time.Unix(1000, 0)
	n := newNames(zap.New(core))
	n.now = func() time.Time { return now }
	n.find = func(k nameKey) (string, uint32, bool) {
		asked[k.key]++
		return "alice", 1001, k.key == "alice"
	}
	alice, nobody := nameKey{users, "alice"}, nameKey{users, "nosuch"}

	if n.recall(alice).found {
		t.Fatal("recall answered a name nobody resolved")
	}
	for range 3 {
		if a := n.resolve(alice); !a.found || a.id != 1001 {
			t.Fatalf("alice: %+v", a)
		}
		if a := n.resolve(nobody); a.found {
			t.Fatalf("nosuch: %+v", a)
		}
	}
	if asked["alice"] != 1 || asked["nosuch"] != 1 {
		t.Fatalf("asked %v, want each once", asked)
	}
	now = now.Add(nameAgeMax)
	if a := n.recall(alice); !a.found {
		t.Fatal("recall forgot an old answer")
	}
	n.resolve(alice)
	n.resolve(nobody)
	if asked["alice"] != 2 || asked["nosuch"] != 2 {
		t.Fatalf("asked %v after a minute, want each twice", asked)
	}
	if got := logged.Len(); got != 1 {
		t.Fatalf("%d log lines about the unknown name, want 1", got)
	}
}

func TestNamesAreBounded(t *testing.T) {
	n := newNames(zap.NewNop())
	n.find = func(k nameKey) (string, uint32, bool) { return k.key, 1, true }
	for i := range namesMax {
		n.resolve(nameKey{users, fmt.Sprint("u", i)})
	}
	if len(n.answers) != namesMax {
		t.Fatalf("%d answers kept at the limit, want %d", len(n.answers), namesMax)
	}
	n.resolve(nameKey{groups, "one-more"})
	if len(n.answers) > namesMax {
		t.Fatalf("%d answers kept past the limit of %d", len(n.answers), namesMax)
	}
	if !n.recall(nameKey{groups, "one-more"}).found {
		t.Fatal("the newest answer was not kept")
	}
}

func TestDecimal(t *testing.T) {
	for s, want := range map[string]bool{
		"0": true, "1001": true, "4294967295": true,
		"": false, "+1": false, "-1": false, "4294967296": false, "0x10": false, "alice": false, "1 ": false,
	} {
		if _, ok := decimal(s); ok != want {
			t.Errorf("decimal(%q) = %v, want %v", s, ok, want)
		}
	}
}

func TestParseGetent(t *testing.T) {
	for out, want := range map[string]nameAnswer{
		"alice:x:1001:100:Alice:/home/alice:/bin/sh\n": {name: "alice", id: 1001, found: true},
		"trading:*:777:alice,bob\n":                    {name: "trading", id: 777, found: true},
		"a:x:1:\nb:x:2:\n":                             {name: "a", id: 1, found: true},
		"":                                             {},
		"alice:x\n":                                    {},
		":x:7:\n":                                      {},
	} {
		name, id, found := parseGetent(out)
		if got := (nameAnswer{name: name, id: id, found: found}); got != want {
			t.Errorf("parseGetent(%q) = %+v, want %+v", out, got, want)
		}
	}
	if _, _, found := parseGetent("alice:x:many:\n"); found {
		t.Error("a uid that is no number was believed")
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
*) exit 2;; esac
`)
	for k, want := range map[nameKey]uint32{
		{users, "directory-user"}:   70001,
		{groups, "directory-group"}: 70002,
		{users, "70001"}:            70001,
		{users, "root"}:             0, // from the files, getent would have said no
	} {
		if name, id, found := findName(k); !found || id != want || name == "" {
			t.Errorf("findName(%v) = %q %d %v, want %d", k, name, id, found, want)
		}
	}
	if _, _, found := findName(nameKey{groups, "directory-user"}); found {
		t.Error("a user was found among the groups")
	}
}

func TestFindNameGivesUpOnASlowGetent(t *testing.T) {
	fakeGetent(t, "exec sleep 60\n")
	began := time.Now()
	if _, _, found := findName(nameKey{users, "directory-user"}); found {
		t.Error("found a user nobody named")
	}
	if took := time.Since(began); took > 3*getentMax {
		t.Errorf("gave up after %v, want about %v", took, getentMax)
	}
}
