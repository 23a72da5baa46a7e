package linkbugs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Limits of one planted bug.
const (
	schedulesEach = "600" // of each kind
	timeMax       = 2 * time.Minute
	atOnce        = 2
)

// TestSimulatorFindsPlantedBugs applies each patch of internal/link/testdata/bugs
// to a copy of the code and demands that the simulator fails there, by its own
// verdict: a copy that does not build, or panics, counts as missed.
func TestSimulatorFindsPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the link anew for each planted bug")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	patches, err := filepath.Glob(filepath.Join(root, "internal/link/testdata/bugs/*.patch"))
	if err != nil || len(patches) < 6 {
		t.Fatalf("%d planted bugs (%v), want at least 6", len(patches), err)
	}
	if verdict, out := simulate(t, root, ""); verdict != passed {
		t.Fatalf("the code as it is: %s\n%s", verdict, out)
	}
	caught := make([]bool, len(patches))
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, patch := range patches {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			name := strings.TrimSuffix(filepath.Base(patch), ".patch")
			verdict, out := simulate(t, root, patch)
			if caught[i] = verdict == failed; !caught[i] {
				t.Errorf("%s: %s\n%s", name, verdict, out)
				return
			}
			t.Logf("%s: caught: %s", name, firstLine(out))
		})
	}
	all.Wait()
	n := 0
	for _, yes := range caught {
		if yes {
			n++
		}
	}
	fmt.Printf("caught / planted: %d / %d\n", n, len(patches))
}

// What the simulator says of a copy.
type verdict string

const (
	passed verdict = "the simulator found nothing"
	failed verdict = "the simulator found it"
	broken verdict = "the copy is broken"
)

// byItself is how the simulator reports, with the seed that shows it.
var byItself = regexp.MustCompile(`seed \d+ \(run it alone [^)]*\): (.*)`)

// simulate runs the simulator in a copy of the code, patched.
func simulate(t *testing.T, root, patch string) (verdict, string) {
	copied := t.TempDir()
	ctx, stop := context.WithTimeout(context.Background(), timeMax)
	defer stop()
	for _, part := range []string{"go.mod", "go.sum", "internal/link", "internal/wire", "internal/shmring"} {
		from, to := filepath.Join(root, part), filepath.Join(copied, part)
		info, err := os.Stat(from)
		if err == nil && info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else if err == nil {
			var b []byte
			if b, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(to, b, 0o600)
			}
		}
		if err != nil {
			return broken, err.Error()
		}
	}
	if patch != "" {
		if out, err := exec.CommandContext(ctx, "patch", "--batch", "--forward", "-p1", "-d", copied, "-i", patch).CombinedOutput(); err != nil {
			return broken, fmt.Sprintf("patch: %v\n%s", err, out)
		}
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-trimpath", "-vet=off", "-count=1", "-run=^(TestMirrorEqualsItsOrigin|TestEveryRecordIsPublishedOnce)$",
		"./internal/link", "-link.schedules="+schedulesEach)
	cmd.Dir = copied
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return passed, string(out)
	case byItself.Match(out):
		return failed, byItself.FindString(string(out))
	}
	return broken, string(out)
}

func firstLine(s string) string {
	if m := byItself.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return s
}
