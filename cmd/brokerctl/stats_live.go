package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"brokerd/client"
)

// keyPause is the time between two looks at the keyboard.
const keyPause = 50 * time.Millisecond

// signalsMax is how many signals may wait to be looked at.
const signalsMax = 4

// snapshot is what WatchStats yields.
type snapshot struct {
	stats client.Stats
	err   error
}

// live is a table of statistics that is drawn again in place.
type live struct {
	screen *screen
	now    client.Stats
	before *client.Stats
	away   bool // between ^Z and fg the terminal is somebody else's

	suspend func() error // stops this process
}

// watchLive shows statistics on a terminal until ctx ends, somebody presses q, or
// the daemon goes away.
func (c *cli) watchLive(ctx context.Context, conn *client.Client, ring string, out *os.File) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	snapshots := make(chan snapshot)
	var feed sync.WaitGroup
	feed.Go(func() { feedSnapshots(ctx, conn, ring, snapshots) })
	defer feed.Wait()
	defer cancel()

	events := make(chan os.Signal, signalsMax)
	signal.Notify(events, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
	defer signal.Stop(events)

	l := &live{screen: &screen{out: out, keys: newKeyboard(c.stdin)}, suspend: suspend}
	err = l.screen.enter()
	defer func() { err = errors.Join(err, l.screen.leave()) }()
	look := time.NewTicker(keyPause)
	defer look.Stop()
	for err == nil {
		select {
		case s := <-snapshots:
			if err = s.err; err == nil {
				err = l.show(s.stats)
			}
		case event := <-events:
			err = l.react(event)
		case <-look.C:
			var keys string
			if keys, err = l.screen.keys.keys(); strings.ContainsAny(keys, "qQ") {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
	return err
}

// feedSnapshots hands over what the daemon sends until ctx ends.
func feedSnapshots(ctx context.Context, conn *client.Client, ring string, to chan<- snapshot) {
	for s, err := range conn.WatchStats(ctx, ring, watchInterval) {
		select {
		case to <- snapshot{s, err}:
		case <-ctx.Done():
			return
		}
	}
}

// react to a terminal of another size, to ^Z, and to the end of that.
func (l *live) react(event os.Signal) error {
	switch event {
	case syscall.SIGTSTP:
		l.away = true
		return errors.Join(l.screen.leave(), l.suspend())
	case syscall.SIGCONT:
		l.away = false
		return errors.Join(l.screen.enter(), l.draw())
	default:
		return l.draw()
	}
}

// show draws the next snapshot.
func (l *live) show(s client.Stats) error {
	if l.now.TimeNS != 0 {
		before := l.now
		l.before = &before
	}
	l.now = s
	return l.draw()
}

func (l *live) draw() error {
	if l.now.TimeNS == 0 || l.away {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s   every %v, q ends\n\n", clock(l.now.TimeNS), watchInterval)
	if err := printTable(&text, func(t *table) { statsRows(t, l.now, l.before) }); err != nil {
		return err
	}
	return l.screen.draw(text.String())
}
