package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"brokerd/internal/wire"
)

// expectRefusal runs the daemon at p, which must fail with one line that
// contains each of the words.
func expectRefusal(t *testing.T, p place, words ...string) {
	t.Helper()
	code, _, stderr := runToEnd(t, "--config", p.config)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for line := range strings.Lines(stderr) {
		missing := 0
		for _, w := range words {
			if !strings.Contains(line, w) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	t.Errorf("no line with all of %q:\n%s", words, stderr)
}

func TestSecondDaemonOfADirectoryIsRefused(t *testing.T) {
	p := newPlace(t, oneRing)
	first := start(t, p)
	other := newPlace(t, oneRing)
	text, err := os.ReadFile(other.config)
	if err != nil {
		t.Fatal(err)
	}
	other.write(t, strings.ReplaceAll(string(text), other.dir, p.dir))
	expectRefusal(t, other, p.dir, "pid "+strconv.Itoa(first.cmd.Process.Pid))
	if s := dial(t, p.socket).status(); s.State != wire.DaemonReady {
		t.Errorf("the first daemon is %s", s.State)
	}
}

func TestSecondDaemonOfASocketIsRefused(t *testing.T) {
	p := newPlace(t, oneRing)
	first := start(t, p)
	other := newPlace(t, oneRing)
	text, err := os.ReadFile(other.config)
	if err != nil {
		t.Fatal(err)
	}
	other.write(t, strings.ReplaceAll(string(text), other.socket, p.socket))
	expectRefusal(t, other, p.socket, strconv.Itoa(first.cmd.Process.Pid))
	if s := dial(t, p.socket).status(); s.State != wire.DaemonReady {
		t.Errorf("the first daemon is %s", s.State)
	}
}

func TestDirectoryNotOnTmpfsIsRefused(t *testing.T) {
	const tmpfsMagic = 0x01021994
	for _, dir := range []string{t.TempDir(), "/var/tmp", "/root", "/"} {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil || fs.Type == tmpfsMagic {
			continue
		}
		p := newPlace(t, oneRing)
		text, err := os.ReadFile(p.config)
		if err != nil {
			t.Fatal(err)
		}
		rings := filepath.Join(dir, "brokerd-test-no-tmpfs")
		p.write(t, strings.Replace(string(text), p.dir, rings, 1))
		expectRefusal(t, p, rings, "not tmpfs")
		if code, _, stderr := runToEnd(t, "--check", "--config", p.config); code != 1 || !strings.Contains(stderr, "not tmpfs") {
			t.Errorf("--check: exit code %d:\n%s", code, stderr)
		}
		if _, err := os.Lstat(rings); err == nil {
			t.Errorf("%s was created", rings)
			os.RemoveAll(rings)
		}
		return
	}
	t.Skip("every folder that was tried is on tmpfs")
}

func TestBadConfigurationIsRefused(t *testing.T) {
	long := "/" + strings.Repeat("s", 107)
	for _, c := range []struct {
		name, text string
		words      []string
	}{
		{"unknown key", "colour: red\n", []string{":1:", "colour"}},
		{"bad size", "limits:\n  memory: 16MB!\n", []string{":2:", "limits.memory", "16MB!"}},
		{"long socket", "control:\n  socket: " + long + "\n", []string{":2:", "108 bytes", "107"}},
		{"unknown group", "control:\n  group: no-such-group\n", []string{"control.group", "no-such-group"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, "[]")
			base, err := os.ReadFile(p.config)
			if err != nil {
				t.Fatal(err)
			}
			text := c.text
			if c.name == "unknown group" { // found at the start only, so the rest must be right
				text = strings.Replace(string(base), "control:\n", c.text, 1)
			}
			p.write(t, text)
			expectRefusal(t, p, c.words...)
		})
	}
}

// Each problem has a log line of its own, with the file in it, so that none is lost between line breaks.
func TestEveryProblemOfAStartHasItsLine(t *testing.T) {
	p := newPlace(t, "[{name: a, capacity: 64KiB}, {name: b, capacity: 64KiB}, {name: c, capacity: 64KiB}]")
	for _, name := range []string{"a", "c"} { // no rings, and in their way
		if err := os.MkdirAll(filepath.Join(p.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := runToEnd(t, "--config", p.config)
	var errors []string
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, `"level":"error"`) {
			errors = append(errors, line)
		}
	}
	if code != 1 || len(errors) != 2 {
		t.Fatalf("exit code %d, %d errors in\n%s", code, len(errors), stderr)
	}
	for i, ring := range []string{"rings[0] (a)", "rings[2] (c)"} {
		if want := `"msg":"cannot start: ` + p.config + ": " + ring; !strings.Contains(errors[i], want) {
			t.Errorf("no %s in %s", want, errors[i])
		}
	}
	if _, err := os.Lstat(filepath.Join(p.dir, "b")); err == nil {
		t.Error("the good ring was made all the same")
	}
}

func TestTakenAdminAddressIsRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := newPlace(t, oneRing)
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	p.write(t, strings.Replace(string(text), "127.0.0.1:0", address, 1))
	expectRefusal(t, p, "admin.listen "+address, "in use")
}

func TestFullTmpfsIsRefusedWithNumbers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=512k,mode=0755"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	}()
	p := newPlace(t, "[{name: big, capacity: 1MiB}]")
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, strings.Replace(string(text), p.dir, small, 1))
	_, checked, _ := runToEnd(t, "--check", "--config", p.config) // FILE: ok (1 ring, N bytes)
	_, size, _ := strings.Cut(strings.TrimSuffix(checked, " bytes)\n"), "ring, ")
	if size == "" {
		t.Fatalf("--check says %q", checked)
	}
	expectRefusal(t, p, "rings[0] (big)", small, "full", size+" bytes wanted", "free")
}
