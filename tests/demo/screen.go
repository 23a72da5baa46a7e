package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"brokerd/client"
)

// screen writes lines of at most 80 columns; in colour on a terminal. A write
// that fails is no error: SIGPIPE ends the demo.
type screen struct {
	out    io.Writer
	colour bool
}

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: out, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// heading says what is about to be seen.
func (s *screen) heading(d *demo) {
	r := d.replay
	s.line("%s", s.paint(bold, "brokerd: one feed, three readers, and a daemon that is killed on the way"))
	s.line("feed     %d recorded BTC/USDT messages of %.1f s, at %g times their pace: %.0f s",
		len(r.feed.lines), r.feed.length().Seconds(), r.factor, r.duration().Seconds())
	s.line("brokerd  pid %d, in folders of its own:", d.daemon.pid())
	s.line("         %s", d.run)
	s.line("         %s", d.shm)
	s.line("ring     %s, %d KiB, small so that a slow reader soon holds the feed;", ringName, ringKiB)
	s.line("         demote_after %s, short so that it soon no longer may", demoteAfter)
	for _, a := range d.actors {
		s.line("%-8s pid %d, policy %s: %s", a.name, a.pid(), a.policy, a.does)
	}
	s.line("")
	s.line("%s", s.paint(bold, columns("time", "reader", "rec/s", "lag B", "p50", "p99", "missed", "bid / ask")))
}

func columns(at, name, rate, lag, p50, p99, missed, remark string) string {
	return fmt.Sprintf("%7s  %-6s %6s %8s %7s %7s %7s  %s", at, name, rate, lag, p50, p99, missed, remark)
}

func (s *screen) row(at, name, rate, lag, p50, p99, missed, remark string) {
	s.line("%s", columns(at, name, rate, lag, p50, p99, missed, remark))
}

func (s *screen) event(at time.Duration, text string) {
	s.line("%s", s.paint(yellow, fmt.Sprintf("%7s  * %s", clock(at), text)))
}

// attachments shows both lists beside each other.
func (s *screen) attachments(before, after []client.Attachment) {
	s.line("         %-14s %-7s %-8s %8s  %s", "attachment", "name", "pid", "position", "when it was killed")
	for _, a := range after {
		s.line("         %-14s %-7s %-8d %8d  %d", a.ID, a.Name, a.PID, a.Position, findAttachment(before, a.Name).Position)
	}
}

// finding shows the outcome of one check.
func (s *screen) finding(f finding) {
	mark := s.paint(green, "ok    ")
	if !f.ok {
		mark = s.paint(red, "FAILED")
	}
	for _, text := range f.text {
		s.line("%s %s", mark, text)
		mark = "      "
	}
}
