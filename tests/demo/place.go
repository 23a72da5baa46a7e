package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// place is where one demo lives: two folders of the same name that nobody else
// uses.
type place struct {
	run string // socket, configuration, log
	shm string // rings
}

// The ring. Two seconds of the feed fill it, so that a slow reader comes to
// hold the producer soon.
const (
	ringName    = "feed"
	ringKiB     = 256
	demoteAfter = "500ms"
)

func newPlace() (place, error) {
	run, err := os.MkdirTemp("", "brokerd-demo-")
	if err != nil {
		return place{}, err
	}
	shm := filepath.Join("/dev/shm", filepath.Base(run))
	if err := os.Mkdir(shm, 0o700); err != nil {
		return place{}, errors.Join(err, os.RemoveAll(run))
	}
	p := place{run: run, shm: shm}
	if err := os.WriteFile(p.config(), []byte(p.configText()), 0o600); err != nil {
		return place{}, errors.Join(err, p.remove())
	}
	return p, nil
}

func (p place) socket() string { return filepath.Join(p.run, "control.sock") }
func (p place) config() string { return filepath.Join(p.run, "brokerd.yaml") }
func (p place) log() string    { return filepath.Join(p.run, "log") }

func (p place) configText() string {
	return fmt.Sprintf(`dir: %q
control:
  socket: %q
rings:
  - name: %s
    capacity: %dKiB
    record_max: 30KiB
    consumers_max: %d
    demote_after: %s
`, p.shm, p.socket(), ringName, ringKiB, len(cast()), demoteAfter)
}

// openLog opens the file that all processes complain into. The caller closes it.
func (p place) openLog() (*os.File, error) {
	return os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// logTail is the end of the log, for the report of a failure.
func (p place) logTail() string {
	const linesMax = 8
	text, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-linesMax):], "\n")
}

// remove takes both folders away and makes sure that they are gone.
func (p place) remove() error {
	var errs []error
	for _, dir := range []string{p.run, p.shm} {
		errs = append(errs, os.RemoveAll(dir))
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s is still there", dir))
		}
	}
	return errors.Join(errs...)
}
