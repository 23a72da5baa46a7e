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
)

// refused runs brokerd with a configuration and expects an end with 1 and one
// line with all of the words.
func (p place) refused(words ...string) {
	p.t.Helper()
	d := launch(p.t, exec.Command(binaries.brokerd, "--config", p.config))
	d.expect(1)
	for line := range strings.Lines(d.stderr.String()) {
		if containsWords(line, words) {
			return
		}
	}
	p.t.Errorf("no line with all of %q:\n%s", words, d.stderr)
}

// TestSecondDaemonIsRefused starts one on the same folder and one on the same
// socket. The first one does not notice.
func TestSecondDaemonIsRefused(t *testing.T) {
	p := newPlace(t, smallRing)
	first := p.start()
	reader := p.ctl("attach", "md", "--as", "consumer")
	waitAttached(t, p.dial(), "md", 1)
	pid := strconv.Itoa(first.pid())
	p.refused(pid)
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	sameDir, sameSocket := newPlace(t, "[]"), newPlace(t, "[]")
	sameDir.write(strings.Replace(string(text), p.socket, sameDir.socket, 1))
	sameDir.refused(p.dir, pid)
	sameSocket.write(strings.Replace(string(text), "dir: "+p.dir, "dir: "+sameSocket.dir, 1))
	sameSocket.refused(p.socket, pid)
	p.publish("md", "x\n")
	eventually(t, "the reader reads on", func() bool { return reader.stdout.String() == "x\n" })
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
		p.write(c.text)
		words := append([]string{p.config}, c.words...)
		p.refused(words...)
		check := launch(t, exec.Command(binaries.brokerd, "--config", p.config, "--check"))
		check.expect(1)
		if !containsWords(check.stderr.String(), words) {
			t.Errorf("--check does not say %q:\n%s", words, check.stderr)
		}
	}
}

// TestFullTmpfs fills a tmpfs of 8 MiB with rings.
func TestFullTmpfs(t *testing.T) {
	needRoot(t, "to mount a small tmpfs")
	p := newPlace(t, "[]")
	small := filepath.Join(p.root, "small")
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
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(small, "rings")
	p.write(strings.Replace(string(text), p.dir, dir, 1))
	p.dir = dir
	d := p.start()
	var made struct{ Ring client.Ring }
	p.object(&made, "ring", "create", "first", "--capacity", "4MiB")
	p.publish("first", "kept\n", "--end")

	var fs unix.Statfs_t
	if err := unix.Statfs(small, &fs); err != nil {
		t.Fatal(err)
	}
	free := fs.Bavail * uint64(fs.Bsize)
	second := p.ctl("ring", "create", "second", "--capacity", "4MiB")
	second.expect(4)
	said := second.stderr.String()
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
	if got := p.output("attach", "first", "--as", "consumer", "--from", "oldest", "--until-end"); got != "kept\n" {
		t.Errorf("the first ring holds %q", got)
	}
	// Also at a start: a ring of the configuration that does not fit.
	d.kill()
	p.write(strings.Replace(string(text), p.dir, dir, 1))
	full := p
	full.config = filepath.Join(p.root, "full.yaml")
	full.write(strings.NewReplacer(filepath.Join(p.root, "rings"), dir, "rings: []", "rings: [{name: big, capacity: 8MiB}]").Replace(string(text)))
	full.refused("big", dir, "full", "free")
	// Room again.
	p.write(strings.Replace(string(text), filepath.Join(p.root, "rings"), dir, 1))
	p.start()
	p.output("ring", "rm", "first")
	p.output("ring", "create", "second", "--capacity", "4MiB")
	p.publish("second", "fits\n")
	p.consistent()
}
