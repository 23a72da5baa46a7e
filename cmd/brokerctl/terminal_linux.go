package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// columnsDefault is the width of an output that is no terminal.
const columnsDefault = 80

// columnsOf is the width of a terminal, or columnsDefault for another output.
func columnsOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, ok := sizeOf(f); ok {
			return columns
		}
	}
	return columnsDefault
}

// drawable tells whether f is a terminal that can be drawn on.
func drawable(f *os.File) bool {
	_, _, ok := sizeOf(f)
	return ok
}

// sizeOf is the size of a terminal that can be drawn on; ok is false for any
// other file.
func sizeOf(f *os.File) (columns, rows int, ok bool) {
	if os.Getenv("TERM") == "dumb" {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

// keyboard is a terminal that is read key by key, as long as it is listening.
type keyboard struct {
	in    *os.File
	saved *unix.Termios // as the terminal was found
}

// newKeyboard returns nil for an input that is no terminal.
func newKeyboard(r io.Reader) *keyboard {
	f, ok := r.(*os.File)
	if !ok {
		return nil
	}
	saved, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil
	}
	return &keyboard{in: f, saved: saved}
}

// listen makes keys come at once and unseen. ^C and ^Z stay signals, but do not
// throw output away, which could be what restores the terminal.
func (k *keyboard) listen() error {
	if k == nil {
		return nil
	}
	t := *k.saved
	t.Lflag = t.Lflag&^(unix.ICANON|unix.ECHO) | unix.NOFLSH
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(k.in.Fd()), unix.TCSETS, &t)
}

// restore leaves the terminal as it was found.
func (k *keyboard) restore() error {
	if k == nil {
		return nil
	}
	return unix.IoctlSetTermios(int(k.in.Fd()), unix.TCSETS, k.saved)
}

// keys returns those that were pressed since the last call. It never waits, not
// even for a terminal that a shell has set to whole lines meanwhile.
func (k *keyboard) keys() (string, error) {
	if k == nil {
		return "", nil
	}
	ready := []unix.PollFd{{Fd: int32(k.in.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(ready, 0); n == 0 || errors.Is(err, unix.EINTR) {
		return "", nil
	}
	var pressed [64]byte
	n, err := k.in.Read(pressed[:])
	if errors.Is(err, io.EOF) { // ^D in whole lines
		err = nil
	}
	return string(pressed[:n]), err
}

// suspend stops this process, as ^Z would have. It may return before that comes
// about: SIGCONT tells when it is over.
func suspend() error { return unix.Kill(os.Getpid(), unix.SIGSTOP) }
