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

func TestWhatIsNotYetThereIsRefusedByName(t *testing.T) {
	p := newPlace(t, "[{name: a, producers: many}, {name: b, checksum: true}, {name: c, policy: latest}]")
	expectRefusal(t, p, "rings[0] (a)", "producers: many")
	code, _, stderr := runToEnd(t, "--config", p.config, "--check")
	for _, want := range []string{"producers: many", "checksum: true", "policy: latest"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("--check does not say %q: %d\n%s", want, code, stderr)
		}
	}
	if code != 1 {
		t.Errorf("--check: exit code %d, want 1", code)
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
	_, checked, _ := runToEnd(t, "--check", "--config", p.config) // FILE: ok (1 rings, N bytes)
	_, size, _ := strings.Cut(strings.TrimSuffix(checked, " bytes)\n"), "rings, ")
	if size == "" {
		t.Fatalf("--check says %q", checked)
	}
	expectRefusal(t, p, "rings[0] (big)", small, "full", size+" bytes wanted", "free")
}
