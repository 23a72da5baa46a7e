package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"brokerd/client"
)

// lazyMax is how long a lazy reader rests.
const lazyMax = 20 * time.Millisecond

// sink is a reader at work.
type sink struct {
	job
	r      *client.Consumer
	b      book
	w      *witness
	random *rand.Rand
}

func startAt(from string) client.Start {
	switch from {
	case "oldest":
		return client.FromOldest()
	case "resume":
		return client.FromResume()
	default:
		return client.FromLatest()
	}
}

// read receives, checks and notes until it is asked to finish, or killed.
func (j job) read(ctx context.Context, b book, h host) error {
	s := &sink{job: j, b: b, random: rand.New(rand.NewPCG(j.Seed, 2))}
	err := persistently(func() (err error) {
		s.r, err = h.Consumer(ctx, j.Ring, client.ConsumerOptions{Name: j.Name, Policy: j.Policy, From: startAt(j.From), WaitStrategy: j.Wait})
		return err
	})
	if err != nil {
		return err
	}
	// A reader that resumes and finds that some is gone is behind that already: it tells it with its first record.
	begin := s.r.Stats()
	start := s.r.Sequence() - begin.MissedRecords - begin.GapRecords
	b.set(wordStart, start)
	b.set(wordStartPosition, s.r.Position())
	b.set(wordEpoch, s.r.Epoch())
	if s.r.Resumed() {
		b.set(wordResumed, 1)
	}
	b.set(wordState, stateAttached)
	s.w = newWitness(start, s.r.Position())
	s.w.mirror = j.Mirror

	reading, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for b.get(wordOrder) == orderNone && reading.Err() == nil {
			time.Sleep(orderEvery)
		}
		stop()
	})
	err = s.until(reading)
	stop()
	watching.Wait()
	if err == nil {
		err = s.finish()
	}
	return errors.Join(err, s.r.Close())
}

// until reads until it is to stop.
func (s *sink) until(ctx context.Context) error {
	next := s.next
	if s.Views {
		next = s.view
	}
	for ctx.Err() == nil && s.w.runs+1 < runsMax {
		if err := next(ctx); err != nil && err != client.ErrEmpty && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// next waits for a record.
func (s *sink) next(ctx context.Context) error {
	rec, err := s.r.Receive(ctx)
	if err != nil {
		return err
	}
	return s.got(rec)
}

// view looks at a record where it lies. A lossless reader's counts as read when it has been looked at, so it is noted
// there; of another's the verdict comes afterwards.
func (s *sink) view(context.Context) error {
	var rec client.Record
	n, err := s.r.Poll(func(view client.Record) error {
		if s.Policy == client.PolicyBlock {
			return s.got(view)
		}
		rec = view
		rec.Payload = slices.Clone(view.Payload)
		return nil
	}, 1)
	var overrun *client.OverrunError
	switch {
	case errors.As(err, &overrun), err == nil && n == 0:
		time.Sleep(200 * time.Microsecond)
		return client.ErrEmpty
	case err != nil || s.Policy == client.PolicyBlock:
		return err
	}
	return s.got(rec)
}

// got checks and notes a record.
func (s *sink) got(rec client.Record) error {
	mayMiss := s.MayMiss || rec.Missed > 0 && s.Policy == client.PolicyDemote && s.r.Demoted()
	if _, err := s.w.see(rec, mayMiss); err != nil {
		return err
	}
	s.b.note(s.w.runs, s.w.at)
	if s.b.get(wordHold) != 0 && s.b.get(wordRelease) == 0 {
		s.b.set(wordHolding, 1)
		for s.b.get(wordRelease) == 0 {
			time.Sleep(orderEvery)
		}
		s.b.set(wordHolding, 0)
	}
	if s.Lazy > 0 && s.random.IntN(s.Lazy) == 0 {
		time.Sleep(time.Duration(s.random.Int64N(int64(lazyMax))))
	}
	return nil
}

// finish reads on to the target, 0 for none, and notes the statistics.
func (s *sink) finish() error {
	for target := s.b.get(wordTarget); s.r.Sequence() < target && s.w.runs+1 < runsMax; {
		rec, err := s.r.TryReceive()
		if err == client.ErrEmpty {
			time.Sleep(time.Millisecond)
			continue
		}
		if err == nil {
			err = s.got(rec)
		}
		if err != nil {
			return err
		}
	}
	if _, err := s.r.Poll(nil, 0); err != nil { // it hands out nothing; a block reader is done with its last record then
		return err
	}
	stats := s.r.Stats()
	s.b.set(wordDelivered, stats.Delivered)
	s.b.set(wordMissed, stats.MissedRecords)
	s.b.set(wordGaps, stats.GapRecords)
	s.b.set(wordEnd, stats.Sequence)
	if stats.Demoted {
		s.b.set(wordDemoted, 1)
	}
	return nil
}
