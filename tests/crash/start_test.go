package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestStart kills a daemon before each step of its start over a directory with a bit
// of everything: half-made and half-removed rings, a ring with garbage in it, a ring
// with a cursor and a living reader, one with records of a producer that is gone.
func TestStart(t *testing.T) {
	t.Parallel()
	var names []string
	for step := 1; ; step++ {
		if step > stepsMax {
			t.Fatalf("the start has not come to its end after %d steps", stepsMax)
		}
		name := ""
		if !t.Run(fmt.Sprint(step), func(t *testing.T) { name = killStart(t, step) }) {
			t.Fatalf("wrong when killed at step %d, before %s (after %v)", step, name, names)
		}
		if name == "" {
			break
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		t.Fatal("no step was seen")
	}
	t.Log(strings.Join(names, " "))
	fmt.Printf("counts: crash: start: killed at %d steps, 0 wrong\n", len(names))
}

func killStart(t *testing.T, step int) (before string) {
	w := newWorld(t)
	w.must(w.attachProducer("md"), w.attachReader(client.ConsumerOptions{Name: "cursor"}))
	w.flows("read")
	w.must(w.reader.Close())
	w.must(w.attachReader(client.ConsumerOptions{}))
	spoilt := w.describe("many").Ring
	w.by.publish()
	w.d.Kill()
	w.spoil("many")
	for _, folder := range []string{".rm-x-1", ".new-y-1"} {
		dir := filepath.Join(w.Dir, folder)
		w.must(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "data"), []byte("x"), 0o600), os.WriteFile(filepath.Join(dir, "slots"), nil, 0o600))
	}

	// It waits until it is followed, and then becomes the daemon.
	gate, release, err := os.Pipe()
	w.must(err)
	cmd := exec.Command("sh", "-c", `read go; exec "$0" --config "$1"`, w.Binaries.Brokerd, w.Config)
	cmd.Stdin = gate
	w.d = &harness.Daemon{Process: harness.Launch(t, cmd), Place: w.Place}
	tr := w.traceProcess(w.d.PID(), step)
	_, err = release.WriteString("\n")
	w.must(err, release.Close(), gate.Close())

	harness.Eventually(t, "it is ready, or gone", func() bool { return !w.d.Running() || w.d.Logged("ready") != nil })
	if tr.Kill(); !w.d.Running() {
		_, before, _ = strings.Cut(strings.TrimSpace(tr.Stdout.String()), saidKilled)
		if before == "" {
			t.Fatalf("it was not the tracer that ended it: %v\n%s", w.d.Err, w.d.Stderr)
		}
		w.by.publish()
		w.d = w.Start()
	}
	w.wantNames("many", "md", "other")
	if now := w.describe("many").Ring; now.Epoch <= spoilt.Epoch {
		t.Errorf("%+v, before it was %+v", now, spoilt)
	}
	w.wantHolds("md", "md/c0.1 resumable", "md/c1.1 attached", "md/p0.1 attached")
	w.flows("on")
	w.by.publish()
	w.by.wantAll()
	w.wantWhole(1)
	return before
}
