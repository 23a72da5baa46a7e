package control

import (
	"errors"
	"fmt"
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
	down := false
	n.find = func(k nameKey) (entry, error) {
		asked[k.key]++
		if down {
			return entry{}, errors.New("planted")
		}
		return entry{"alice", 1001, k.key == "alice"}, nil
	}
	alice, nobody := nameKey{users, "alice"}, nameKey{users, "nosuch"}

	if n.recall(alice).known {
		t.Fatal("recall answered a name nobody resolved")
	}
	for range 3 {
		if a := n.resolve(alice); !a.known || a.id != 1001 {
			t.Fatalf("alice: %+v", a)
		}
		if a := n.resolve(nobody); a.known {
			t.Fatalf("nosuch: %+v", a)
		}
	}
	if asked["alice"] != 1 || asked["nosuch"] != 1 {
		t.Fatalf("asked %v, want each once", asked)
	}
	now = now.Add(nameAgeMax)
	if a := n.recall(alice); !a.known {
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
	// A directory that does not answer changes nothing, and is not asked again for
	// nameRetryMin.
	now, down = now.Add(nameAgeMax), true
	for range 2 {
		if a := n.resolve(alice); !a.known || a.id != 1001 {
			t.Errorf("alice, while the directory is down: %+v", a)
		}
		if a := n.resolve(nobody); a.known {
			t.Errorf("nosuch, while the directory is down: %+v", a)
		}
	}
	if asked["alice"] != 3 || logged.FilterMessageSnippet("could not be looked up").Len() != 2 {
		t.Errorf("asked %v, logged %v; want each once more", asked, logged.All())
	}
	now, down = now.Add(nameRetryMin), false
	for range 2 {
		n.resolve(alice)
	}
	if asked["alice"] != 4 {
		t.Errorf("asked %v, want alice once more when the directory is back", asked)
	}
}

func TestNamesAreBounded(t *testing.T) {
	n := newNames(zap.NewNop())
	n.find = func(k nameKey) (entry, error) { return entry{k.key, 1, true}, nil }
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
	if !n.recall(nameKey{groups, "one-more"}).known {
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
