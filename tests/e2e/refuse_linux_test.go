package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// refused runs brokerd with a configuration and expects an end with 1 and one
// line with all of the words.
func (p place) refused(words ...string) {
	p.T.Helper()
	d := harness.Launch(p.T, exec.Command(binaries.Brokerd, "--config", p.Config))
	d.Expect(1)
	for line := range strings.Lines(d.Stderr.String()) {
		if containsWords(line, words) {
			return
		}
	}
	p.T.Errorf("no line with all of %q:\n%s", words, d.Stderr)
}

// TestSecondDaemonIsRefused starts one on the same folder and one on the same
// socket. The first one does not notice.
func TestSecondDaemonIsRefused(t *testing.T) {
	p := newPlace(t, smallRing)
	first := p.Start()
	reader := p.Ctl("attach", "md", "--as", "consumer")
	harness.WaitAttached(t, p.Dial(), "md", 1)
	pid := strconv.Itoa(first.PID())
	p.refused(pid)
	text, err := os.ReadFile(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	sameDir, sameSocket := newPlace(t, "[]"), newPlace(t, "[]")
	sameDir.Write(strings.Replace(string(text), p.Socket, sameDir.Socket, 1))
	sameDir.refused(p.Dir, pid)
	sameSocket.Write(strings.Replace(string(text), "dir: "+p.Dir, "dir: "+sameSocket.Dir, 1))
	sameSocket.refused(p.Socket, pid)
	p.Publish("md", "x\n")
	harness.Eventually(t, "the reader reads on", func() bool { return reader.Stdout.String() == "x\n" })
}

// TestConfigurationErrors name the file, the line, the key and what was
// expected, both on --check and on a start.
func TestConfigurationErrors(t *testing.T) {
	for _, c := range []struct {
		text  string
		words []string
	}{
		{"colour: red\n", []string{":1:", "colour"}},
		{"limits:\n  memory: 16MB!\n", []string{":2:", "limits.memory", "16MB!", "1GiB"}},
		{"rings:\n  - name: ../x\n    capacity: 64KiB\n", []string{":2:", "name", "../x"}},
		{"rings:\n  - name: md\n    capacity: 3MiB\n", []string{":3:", "capacity", "power of two"}},
		{"rings:\n  - name: md\n    capacity: 64KiB\n    record_max: 1MiB\n", []string{":4:", "record_max"}},
		{"control:\n  socket: /" + strings.Repeat("s", 107) + "\n", []string{":2:", "108 bytes", "107"}},
	} {
		p := newPlace(t, "[]")
		p.Write(c.text)
		words := append([]string{p.Config}, c.words...)
		p.refused(words...)
		check := harness.Launch(t, exec.Command(binaries.Brokerd, "--config", p.Config, "--check"))
		check.Expect(1)
		if !containsWords(check.Stderr.String(), words) {
			t.Errorf("--check does not say %q:\n%s", words, check.Stderr)
		}
	}
}

// TestFullTmpfs fills a tmpfs of 8 MiB with rings.
func TestFullTmpfs(t *testing.T) {
	harness.NeedRoot(t, "to mount a small tmpfs")
	p := newPlace(t, "[]")
	small := filepath.Join(p.Root, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8m,mode=0755"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(small, "rings")
	p.Write(strings.Replace(string(text), p.Dir, dir, 1))
	p.Dir = dir
	d := p.Start()
	var made struct{ Ring client.Ring }
	p.Object(&made, "ring", "create", "first", "--capacity", "4MiB")
	p.Publish("first", "kept\n", "--end")

	var fs unix.Statfs_t
	if err := unix.Statfs(small, &fs); err != nil {
		t.Fatal(err)
	}
	free := fs.Bavail * uint64(fs.Bsize)
	second := p.Ctl("ring", "create", "second", "--capacity", "4MiB")
	second.Expect(4)
	said := second.Stderr.String()
	for _, word := range []string{dir, "full", fmt.Sprintf("%d bytes wanted", made.Ring.MemoryBytes), fmt.Sprintf("%d free", free), "remount,size="} {
		if !strings.Contains(said, word) {
			t.Errorf("%q is not in: %s", word, said)
		}
	}
	t.Logf("refused: %s", strings.TrimSpace(said))
	if err := unix.Statfs(small, &fs); err != nil {
		t.Fatal(err)
	}
	if now := fs.Bavail * uint64(fs.Bsize); now != free {
		t.Errorf("%d bytes are free after the refusal, %d were before", now, free)
	}
	if got := p.Output("attach", "first", "--as", "consumer", "--from", "oldest", "--until-end"); got != "kept\n" {
		t.Errorf("the first ring holds %q", got)
	}
	// Also at a start: a ring of the configuration that does not fit.
	d.Kill()
	p.Write(strings.Replace(string(text), p.Dir, dir, 1))
	full := p
	full.Config = filepath.Join(p.Root, "full.yaml")
	full.Write(strings.NewReplacer(filepath.Join(p.Root, "rings"), dir, "rings: []", "rings: [{name: big, capacity: 8MiB}]").Replace(string(text)))
	full.refused("big", dir, "full", "free")
	// Room again.
	p.Write(strings.Replace(string(text), filepath.Join(p.Root, "rings"), dir, 1))
	p.Start()
	p.Output("ring", "rm", "first")
	p.Output("ring", "create", "second", "--capacity", "4MiB")
	p.Publish("second", "fits\n")
	p.consistent()
}
