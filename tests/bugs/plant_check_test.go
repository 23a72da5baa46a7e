package bugs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Only the checker's own word counts.
func TestJudge(t *testing.T) {
	exit := exec.Command("false").Run()
	killed := exec.Command("sh", "-c", "kill -9 $$").Run()
	for _, s := range []struct {
		name, out string
		err       error
		want      verdict
	}{
		{"found", "    a_test.go:19: violated: R: record 3 again (5 states, 0.1s)\nFAIL", exit, found},
		{"passes", "ok  \tbrokerd/internal/shmring", nil, nothing},
		{"no such test", "ok  \tbrokerd/internal/shmring\t0.1s [no tests to run]", nil, unable},
		{"does not build", "./gate.go:7:2: undefined: x\nFAIL", exit, unable},
		{"panics", "    a_test.go:19: broken: P: panic: index out of range (5 states, 0.1s)\nFAIL", exit, unable},
		{"killed", "violated: late", killed, unable},
		{"no go", "", errors.New("no go"), unable},
	} {
		if got, what := modelOfRing().judge([]byte(s.out), s.err); got != s.want {
			t.Errorf("%s: %s (%s), want %s", s.name, got, what, s.want)
		}
	}
}

// A patch that does not fit the code is told by name, with what to do about it; so is
// one that does not say which test finds it.
func TestStalePatch(t *testing.T) {
	patch := filepath.Join(t.TempDir(), "old.patch")
	text := "--- a/go.mod\n+++ b/go.mod\n@@ -1,1 +1,1 @@\n-module elsewhere\n+module anywhere\n"
	if err := os.WriteFile(patch, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := checker{folder: "internal/shmring", parts: []string{"go.mod"}, verdict: modelOfRing().verdict, timeMax: time.Minute}
	if r := c.check(t.TempDir(), bug{name: "old", patch: patch, test: "TestX"}, true); r.verdict != stale {
		t.Errorf("%s: %s", r.verdict, r.what)
	}
	c.folder = "internal/link" // whose patches name no test
	if _, err := c.bugs(); err == nil || !strings.Contains(err.Error(), "which test finds it") {
		t.Errorf("patches without a test: %v", err)
	}
}

func TestPattern(t *testing.T) {
	b := bug{test: "TestModelSleep/sleepers, 0 records (a.b)"}
	if got, want := b.pattern(), `^TestModelSleep$/^sleepers,_0_records_\(a\.b\)$`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
