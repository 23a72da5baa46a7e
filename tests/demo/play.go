package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"brokerd/client"
)

const (
	// rowPause lies between two looks at the readers.
	rowPause = time.Second
	// sameWait is how long attachments may take to be as before.
	sameWait = 5 * time.Second
	// drainWait is how long readers may take to read what is left.
	drainWait = 10 * time.Second
	// lookAway is longer than any demo.
	lookAway = time.Hour
)

// cue is something that happens at a share of the replay's time.
type cue struct {
	at  float64
	act func(context.Context) error
}

func (d *demo) script() []cue {
	return []cue{
		{0.45, d.killDaemon},
		{0.56, d.restartDaemon},
		{0.66, func(context.Context) error {
			d.event("skip looks away; nobody waits for it")
			return d.actor(skipName).delay(lookAway)
		}},
		{0.85, func(context.Context) error {
			d.event("skip looks again")
			return d.actor(skipName).delay(0)
		}},
	}
}

// play replays the feed, acts out the script and draws rows, until all readers
// have read everything.
func (d *demo) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var replaying sync.WaitGroup
	defer replaying.Wait()
	defer cancel()
	d.started = time.Now()
	d.drawn = d.started
	ended := make(chan error, 1)
	replaying.Go(func() { ended <- d.replay.run(ctx) })

	script := d.script()
	row := time.NewTicker(rowPause)
	defer row.Stop()
	next := time.NewTimer(d.until(script[0]))
	defer next.Stop()
	for feeding := true; feeding; {
		var err error
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-d.daemonEnded():
			err = fmt.Errorf("brokerd has ended by itself: %v", d.daemon.err)
		case err = <-ended:
			feeding = false
		case <-row.C:
			err = d.rows()
		case <-next.C:
			err = script[0].act(ctx)
			if script = script[1:]; len(script) > 0 {
				next.Reset(d.until(script[0]))
			}
		}
		if err != nil {
			return err
		}
	}
	for _, left := range script { // on a machine that was late with everything
		if err := left.act(ctx); err != nil {
			return err
		}
	}
	return d.drain(ctx)
}

func (d *demo) until(c cue) time.Duration {
	at := time.Duration(c.at * float64(d.replay.duration()))
	return time.Until(d.started.Add(at))
}

// daemonEnded is closed when the daemon ends; nil while it is away on purpose.
func (d *demo) daemonEnded() <-chan struct{} {
	if d.daemon == nil {
		return nil
	}
	return d.daemon.ended
}

func (d *demo) killDaemon(ctx context.Context) (err error) {
	if d.facts.before, err = d.client.Attachments(ctx, ringName); err != nil {
		return err
	}
	d.facts.killed = time.Since(d.started)
	d.event("kill -9 brokerd (pid %d)", d.daemon.pid())
	if err := d.daemon.kill(); err != nil {
		return err
	}
	d.daemon = nil
	if err := d.actor(bookName).ask(); err != nil {
		return err
	}
	d.facts.bookAtKill = d.actor(bookName).now.Delivered
	return nil
}

// restartDaemon starts another daemon and waits until everybody is registered
// with it as before.
func (d *demo) restartDaemon(ctx context.Context) (err error) {
	f := &d.facts
	if err := d.actor(bookName).ask(); err != nil {
		return err
	}
	f.bookAtStart = d.actor(bookName).now.Delivered
	d.event("without a daemon book got %d records; now brokerd is started again", f.bookAtStart-f.bookAtKill)
	f.away = time.Since(d.started) - f.killed
	start := time.Now()
	if d.daemon, err = startDaemon(ctx, d.brokerd, d.place); err != nil {
		return err
	}
	patient, cancel := context.WithTimeoutCause(ctx, sameWait, errLate)
	defer cancel()
	for !sameAttachments(f.before, f.after) {
		if f.after, err = d.client.Attachments(patient, ringName); err == nil {
			err = sleep(patient, pollPause)
		}
		if err != nil && ctx.Err() == nil && context.Cause(patient) == errLate {
			break // the checks at the end say what is different
		}
		if err != nil {
			return err
		}
	}
	f.back = time.Since(start)
	d.event("brokerd (pid %d) is back; %v after its start it shows:", d.daemon.pid(), f.back.Round(time.Millisecond))
	d.screen.attachments(f.before, f.after)
	return nil
}

var errLate = errors.New("not as before in time")

// sameAttachments says whether everybody is attached as before, and further on.
func sameAttachments(before, after []client.Attachment) bool {
	if len(before) != len(after) {
		return false
	}
	for i := range before {
		if lasting(before[i]) != lasting(after[i]) || after[i].Position < before[i].Position {
			return false
		}
	}
	return true
}

// lasting is what may not change about an attachment while it is held.
func lasting(a client.Attachment) client.Attachment {
	a.Position, a.Sequence, a.LagBytes = 0, 0, 0
	a.MissedRecords, a.MissedBytes, a.GapRecords, a.Demoted = 0, 0, 0, false
	return a
}

// drain lets the readers read what is left and waits until all are through.
func (d *demo) drain(ctx context.Context) error {
	d.event("the feed has ended; slow stops being slow")
	if err := d.actor(slowName).delay(0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, drainWait, fmt.Errorf("a reader has not read everything after %v", drainWait))
	defer cancel()
	for {
		done := true
		for _, a := range d.actors {
			if !a.now.Done {
				if err := a.ask(); err != nil {
					return err
				}
			}
			done = done && a.now.Done
		}
		if done {
			return nil
		}
		if err := sleep(ctx, pollPause); err != nil {
			return err
		}
	}
}
