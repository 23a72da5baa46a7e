package daemon

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/internal/wire"
)

// socketUnit stands for systemd: it keeps the control socket open whether a
// daemon runs or not.
type socketUnit struct {
	t    *testing.T
	file *os.File
}

func newSocketUnit(t *testing.T, path string) *socketUnit {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	file, err := listener.File() // a duplicate; it is not accepted from here
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &socketUnit{t, file}
}

// command is a brokerd that is handed the files from descriptor 3 on. The shell
// knows the pid that it will have.
func command(p place, files ...*os.File) *exec.Cmd {
	cmd := exec.Command("sh", "-c", fmt.Sprintf("LISTEN_PID=$$ LISTEN_FDS=%d exec %s --config %s", len(files), binary, p.config))
	cmd.ExtraFiles = files
	return cmd
}

func TestClientsWaitForADaemonThatIsDown(t *testing.T) {
	p := newPlace(t, oneRing)
	unit := newSocketUnit(t, p.socket)
	var held wire.AttachOut
	for round, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
		early := dial(t, p.socket) // nobody runs
		early.send(wire.MethodGetStatus, wire.GetStatusIn{}, false)
		i := launch(t, command(p, unit.file))
		var s wire.GetStatusOut
		if _, err := early.receive(&s); err != nil {
			t.Fatalf("round %d: who connected before the start: %v", round, err)
		}
		if s.PID != i.cmd.Process.Pid {
			t.Errorf("round %d: answered by pid %d, brokerd is pid %d", round, s.PID, i.cmd.Process.Pid)
		}
		i.waitReady()
		late := dial(t, p.socket)
		if round == 0 {
			held = late.attach("top", "t1")
		} else if again := late.attach("top", "t1"); again.Attachment.ID != held.Attachment.ID {
			t.Errorf("round %d: attached as %s, before as %s", round, again.Attachment.ID, held.Attachment.ID)
		}
		i.signal(end)
		if code := i.wait(); end == syscall.SIGTERM && code != 0 {
			t.Errorf("round %d: exit code %d", round, code)
		}
		if info, err := os.Lstat(p.socket); err != nil || info.Mode().Type() != os.ModeSocket {
			t.Fatalf("round %d: the daemon took the path with it: %v", round, err)
		}
	}
}

// The socket unit decides who may connect; the file is not asked.
func TestInheritedSocketKeepsItsModeAndGroup(t *testing.T) {
	p := newPlace(t, oneRing)
	unit := newSocketUnit(t, p.socket)
	if err := os.Chmod(p.socket, 0o606); err != nil {
		t.Fatal(err)
	}
	p.edit(t, "control:\n", "control:\n  mode: 0600\n")
	i := launch(t, command(p, unit.file))
	i.waitReady()
	if info, err := os.Stat(p.socket); err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	i.waitLogged("its mode and group too")
	p.edit(t, "mode: 0600", "mode: 0666")
	out := dial(t, p.socket).reload()
	expectSentences(t, "kept", out.Kept, []string{"control.mode is not 0666", "socket unit"})
}

func TestForeignSocketsAreRefused(t *testing.T) {
	p := newPlace(t, oneRing)
	other := newPlace(t, oneRing)
	elsewhere := newSocketUnit(t, other.socket)
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.socket + ".d", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	datagrams, err := datagram.File()
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	for _, c := range []struct {
		files []*os.File
		words []string
	}{
		{[]*os.File{elsewhere.file}, []string{"socket activation", other.socket, "control.socket is " + p.socket, "ListenStream="}},
		{[]*os.File{elsewhere.file, elsewhere.file}, []string{"socket activation", "2 sockets", "expected one"}},
		{[]*os.File{datagrams}, []string{"socket activation", "stream"}},
	} {
		i := launch(t, command(p, c.files...))
		if code := i.wait(); code != 1 {
			t.Errorf("%q: exit code %d, want 1", c.words, code)
		}
		for _, w := range c.words {
			if !strings.Contains(i.log.String(), w) {
				t.Errorf("no %q in\n%s", w, i.log)
			}
		}
		if _, err := os.Lstat(p.dir); err == nil {
			t.Errorf("%q: the ring directory was touched", c.words)
		}
	}
	if _, err := os.Lstat(other.socket); err != nil {
		t.Errorf("the foreign socket is gone: %v", err)
	}
}

// What a parent of the daemon was handed is none of the daemon's business.
func TestDescriptorsForAnotherProcessAreLeftAlone(t *testing.T) {
	p := newPlace(t, oneRing)
	i := start(t, p, fmt.Sprintf("LISTEN_PID=%d", os.Getpid()), "LISTEN_FDS=1")
	if s := dial(t, p.socket).status(); s.State != wire.DaemonReady {
		t.Errorf("the daemon is %s", s.State)
	}
	i.signal(syscall.SIGTERM)
	i.wait()
	if _, err := os.Lstat(p.socket); err == nil {
		t.Error("its own socket is still there")
	}
}

// TestSystemdSocketActivate starts the daemon by a connection.
func TestSystemdSocketActivate(t *testing.T) {
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate not found: install the Debian package systemd")
	}
	p := newPlace(t, oneRing)
	i := launch(t, exec.Command(tool, "--listen="+p.socket, binary, "--config", p.config))
	eventually(t, "a socket", func() bool { _, err := os.Lstat(p.socket); return err == nil })
	if entries, err := os.ReadDir(filepath.Dir(p.dir)); err != nil || len(entries) != 0 {
		t.Fatalf("a daemon runs before anybody has connected: %v, %v", entries, err)
	}
	c := dial(t, p.socket)
	if s := c.status(); s.PID != i.cmd.Process.Pid {
		t.Errorf("answered by pid %d, it became brokerd as pid %d", s.PID, i.cmd.Process.Pid)
	}
	i.waitReady()
	if s := c.status(); s.State != wire.DaemonReady || s.Rings != 1 {
		t.Errorf("status: %+v", s)
	}
	begin := time.Now()
	i.signal(syscall.SIGTERM)
	if code := i.wait(); code != 0 || time.Since(begin) > 4*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(begin))
	}
	if _, err := os.Lstat(p.socket); err != nil {
		t.Errorf("the path is gone: %v", err)
	}
	// A daemon that is started without the service manager takes the dead path.
	start(t, p)
}
