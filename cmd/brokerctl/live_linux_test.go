package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pty is a terminal of a test's own: what a program writes to slave can be read
// from out, what is typed reaches the program.
type pty struct {
	t             *testing.T
	master, slave *os.File
	out           buffer
}

func newPTY(t *testing.T, columns, rows int) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs a pseudo terminal: %v", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{t: t, master: master, slave: slave}
	p.resize(columns, rows)
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&p.out, master) }) // until the slave is closed
	t.Cleanup(func() {
		_ = slave.Close()
		reading.Wait()
		_ = master.Close()
	})
	t.Setenv("TERM", "xterm")
	return p
}

func (p *pty) resize(columns, rows int) {
	p.t.Helper()
	size := &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, size); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pty) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// settings are those of the terminal, to be compared.
func (p *pty) settings() unix.Termios {
	p.t.Helper()
	t, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *t
}

// frames are the pictures that were drawn, without what a terminal is told.
func (p *pty) frames() []string {
	var frames []string
	for _, f := range strings.Split(p.out.String(), ansiHome)[1:] {
		f, _, whole := strings.Cut(f, ansiClearBelow)
		if whole {
			frames = append(frames, strings.ReplaceAll(strings.ReplaceAll(f, ansiClearLine, ""), "\r\n", "\n"))
		}
	}
	return frames
}

func (p *pty) last() string {
	frames := p.frames()
	if len(frames) == 0 {
		return ""
	}
	return frames[len(frames)-1]
}

func TestLiveTable(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB}, {name: fills, capacity: 64KiB}]")
	p := newPTY(t, 200, 30)
	found := p.settings()
	r := h.start(p.slave, p.slave, "stats", "--watch")
	h.eventually("a table with rates", func() bool {
		return regexp.MustCompile(`(?m)^md +live +0 +0 `).MatchString(p.last())
	})
	if p.settings() == found || !strings.Contains(p.out.String(), strings.Repeat("\r\n", 30)+ansiHideCursor) {
		t.Errorf("the terminal was not taken: %q", p.out.String())
	}
	p.resize(30, 4)
	// A terminal that is not ours sends no signal of its own.
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	h.eventually("a table that fits", func() bool { return strings.Count(p.last(), "\n") == 3 })
	for line := range strings.Lines(p.last()) {
		if len(strings.TrimSuffix(line, "\n")) > 30 {
			t.Errorf("%q is too long", line)
		}
	}
	if !strings.HasSuffix(p.last(), "more lines: make the termin~\n") {
		t.Errorf("got\n%s", p.last())
	}
	p.press("xq")
	if code := r.wait(); code != exitDone || r.stderr.Len() > 0 {
		t.Errorf("exit code %d, %s", code, r.stderr.String())
	}
	h.eventually("the cursor is back", func() bool { return strings.HasSuffix(p.out.String(), ansiShowCursor) })
	if p.settings() != found {
		t.Error("the terminal is not as it was")
	}
}

// TestLiveTableEnds with a signal, and with the daemon.
func TestLiveTableEnds(t *testing.T) {
	h := newHost(t, oneRing)
	p := newPTY(t, 100, 30)
	found := p.settings()
	r := h.start(p.slave, p.slave, "stats", "md", "--watch")
	h.eventually("a table", func() bool { return strings.Contains(p.last(), "md ") })
	r.cancel()
	if code := r.wait(); code != exitDone || p.settings() != found {
		t.Errorf("after a signal: exit code %d", code)
	}
	shown := len(p.frames())
	r = h.start(p.slave, p.slave, "stats", "md", "--watch")
	h.eventually("a table", func() bool { return len(p.frames()) > shown })
	h.kill()
	if code := r.wait(); code != exitUnreachable || p.settings() != found {
		t.Errorf("after the daemon was killed: exit code %d, %s", code, r.stderr.String())
	}
	h.eventually("the cursor is back", func() bool { return strings.HasSuffix(p.out.String(), ansiShowCursor) })
}

// TestLiveTableAway is stopped with ^Z and comes back.
func TestLiveTableAway(t *testing.T) {
	p := newPTY(t, 100, 30)
	found := p.settings()
	l := &live{screen: &screen{out: p.slave, keys: newKeyboard(p.slave)}}
	if err := l.screen.enter(); err != nil {
		t.Fatal(err)
	}
	l.suspend = func() error { // as a shell finds the terminal
		if p.settings() != found {
			t.Error("the shell does not get the terminal as it was")
		}
		return nil
	}
	l.now.rows = func(*table) {}
	if err := l.react(syscall.SIGTSTP); err != nil || !l.away {
		t.Fatalf("^Z: %v", err)
	}
	if err := l.draw(); err != nil || len(p.frames()) != 0 {
		t.Errorf("it draws while it is away: %v", err)
	}
	if err := l.react(syscall.SIGCONT); err != nil || l.away || p.settings() == found {
		t.Errorf("fg: %v", err)
	}
	if err := l.screen.leave(); err != nil || p.settings() != found {
		t.Errorf("leave: %v", err)
	}
}

// TestDumbTerminal is written to like a file.
func TestDumbTerminal(t *testing.T) {
	p := newPTY(t, 33, 30)
	if columnsOf(p.slave) != 33 || !drawable(p.slave) {
		t.Errorf("a terminal: %d columns", columnsOf(p.slave))
	}
	t.Setenv("TERM", "dumb")
	if columnsOf(p.slave) != columnsDefault || drawable(p.slave) {
		t.Errorf("a dumb one: %d columns", columnsOf(p.slave))
	}
	if columnsOf(&buffer{}) != columnsDefault {
		t.Error("another output has a width")
	}
}

func TestFrame(t *testing.T) {
	for _, tc := range []struct {
		text          string
		columns, rows int
		want          string
	}{
		{"ab\ncd\n", 3, 3, "ab|cd|"},
		{"abcd\ne\n", 3, 3, "ab~|e|"},
		{"a\nb\nc\n", 50, 3, "a|2 more lines: make the terminal taller|"},
		{"a\nb\nc\n", 50, 1, "3 more lines: make the terminal taller|"},
		{"", 3, 3, "|"},
	} {
		want := ansiHome + strings.ReplaceAll(tc.want, "|", ansiClearLine+"\n") + ansiClearBelow
		if got := string(frame(tc.text, tc.columns, tc.rows)); got != want {
			t.Errorf("%q on %d by %d: got %q, want %q", tc.text, tc.columns, tc.rows, got, want)
		}
	}
}
