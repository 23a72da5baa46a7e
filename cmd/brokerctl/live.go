package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// arrival is a sample, or why there is none.
type arrival struct {
	sample sample
	err    error
}

// live is a series of samples that are drawn in place.
type live struct {
	screen *screen
	now    sample // the zero value until there is one
	away   bool   // between ^Z and fg the terminal is somebody else's

	suspend func() error // stops this process
}

// watchLive shows samples on a terminal until ctx ends, somebody presses q, or the
// daemon goes away.
func (c *cli) watchLive(ctx context.Context, conn *client.Client, series samples, out *os.File) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	arrivals := make(chan arrival)
	var feed sync.WaitGroup
	feed.Go(func() { hand(ctx, series(ctx, conn), arrivals) })
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
		case a := <-arrivals:
			if err = a.err; err == nil {
				l.now = a.sample
				err = l.draw()
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

// hand hands over a series until ctx ends.
func hand(ctx context.Context, series iter.Seq2[sample, error], to chan<- arrival) {
	for s, err := range series {
		select {
		case to <- arrival{s, err}:
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

func (l *live) draw() error {
	if l.now.rows == nil || l.away {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s   every %v, q ends\n\n", clock(l.now.timeNS), watchInterval)
	if err := printTable(&text, l.now.rows); err != nil {
		return err
	}
	return l.screen.draw(text.String())
}
