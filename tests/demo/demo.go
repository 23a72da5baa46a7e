package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/client"
)

// demo is all that is running, and what was seen of it.
type demo struct {
	options
	place
	screen  *screen
	daemon  *process // nil while it is away
	client  *client.Client
	actors  []*actor // as cast lists them
	replay  *replay
	started time.Time // of the replay
	drawn   time.Time // when the last rows were
	facts   facts
}

// errNotHeld: a check at the end failed; the screen says which.
var errNotHeld = errors.New("not all that was promised holds")

// perform is the whole demo. It leaves nothing behind, whatever it returns.
func perform(ctx context.Context, o options, s *screen) error {
	recorded, err := loadFeed(o.feed)
	if err != nil {
		return err
	}
	p, err := newPlace()
	if err != nil {
		return err
	}
	d := &demo{options: o, place: p, screen: s, replay: &replay{feed: recorded, factor: o.factor}}
	err = d.show(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errNotHeld) {
		err = fmt.Errorf("%w\nthe log of its processes ends:\n%s", err, p.logTail())
	}
	closed := d.close()
	if err != nil {
		s.line("") // a terminal has put ^C where we are
	}
	s.finding(leftBehind(closed, p, o.keep))
	return errors.Join(err, closed)
}

// show sets the stage, plays, and checks what was seen.
func (d *demo) show(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	d.screen.heading(d)
	if err := d.play(ctx); err != nil {
		return err
	}
	if err := d.gather(ctx); err != nil {
		return err
	}
	d.screen.line("")
	held := true
	for _, f := range judge(d.facts) {
		d.screen.finding(f)
		held = held && f.ok
	}
	if !held {
		return errNotHeld
	}
	return nil
}

// open starts the daemon and the readers and attaches the producer. What it
// started is closed by close, also after an error.
func (d *demo) open(ctx context.Context) (err error) {
	if d.daemon, err = startDaemon(ctx, d.brokerd, d.place); err != nil {
		return err
	}
	if d.client, err = client.Dial(ctx, client.Options{Socket: d.socket()}); err != nil {
		return err
	}
	d.replay.producer, err = d.client.Producer(ctx, ringName, client.ProducerOptions{Name: "replay"})
	if err != nil {
		return err
	}
	for _, who := range cast() {
		a, err := startActor(who, d.place, d.feed)
		if err != nil {
			return err
		}
		d.actors = append(d.actors, a)
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	// An eighth of the pace that the feed has on average.
	perRecord := d.replay.duration() / time.Duration(len(d.replay.feed.lines))
	return d.actor(slowName).delay(8 * perRecord)
}

// close ends what open started, in reverse.
func (d *demo) close() error {
	var errs []error
	for _, a := range d.actors {
		errs = append(errs, a.stop())
	}
	if d.client != nil {
		errs = append(errs, d.client.Close())
	}
	if d.daemon != nil {
		errs = append(errs, stopDaemon(d.daemon))
	}
	if !d.keep {
		errs = append(errs, d.remove())
	}
	return errors.Join(errs...)
}

func (d *demo) actor(name string) *actor {
	for _, a := range d.actors {
		if a.name == name {
			return a
		}
	}
	panic("no reader is called " + name)
}

// gather collects what the checks need once all readers are through.
func (d *demo) gather(ctx context.Context) error {
	f := &d.facts
	f.recorded, f.sum = uint64(len(d.replay.feed.lines)), fmt.Sprintf("%x", d.replay.feed.sum)
	f.published = d.replay.progress()
	f.book, f.skip, f.slow = d.actor(bookName).now, d.actor(skipName).now, d.actor(slowName).now
	if f.slow.DemotedNS != 0 {
		f.demoted = time.Unix(0, f.slow.DemotedNS).Sub(d.started)
	}
	// Readers tell the ring their counts a moment after they tell us.
	ctx, cancel := context.WithTimeoutCause(ctx, answerWait, errors.New("brokerd shows a reader that is not at the end"))
	defer cancel()
	for {
		stats, err := d.client.Stats(ctx, ringName)
		if err != nil {
			return err
		}
		if f.stats = stats; caughtUp(stats.Attachments) {
			return nil
		}
		if err := sleep(ctx, pollPause); err != nil {
			return err
		}
	}
}

func caughtUp(attached []client.Attachment) bool {
	for _, a := range attached {
		if a.LagBytes != 0 {
			return false
		}
	}
	return true
}
