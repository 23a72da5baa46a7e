package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"brokerd/client"
)

const (
	burstRecordsMax = 30
	batchRecordsMax = 4
	restMax         = 40 * time.Millisecond // between two bursts
)

// source is a producer at work.
type source struct {
	job
	p      *client.Producer
	b      book
	random *rand.Rand
	n      uint64 // of the last record
}

// produce publishes until it is asked to finish, or killed.
func (j job) produce(ctx context.Context, b book, h host) error {
	s := &source{job: j, b: b, random: rand.New(rand.NewPCG(j.Seed, 1))}
	err := persistently(func() (err error) {
		s.p, err = h.Producer(ctx, j.Ring, client.ProducerOptions{Name: j.Name, WaitStrategy: j.Wait})
		return err
	})
	if err != nil {
		return err
	}
	b.set(wordEpoch, s.p.Epoch())
	b.set(wordState, stateAttached)
	for b.get(wordOrder) == orderNone {
		for range 1 + s.random.IntN(burstRecordsMax) {
			if err := s.one(ctx); err != nil {
				return err
			}
		}
		if err := s.acknowledged(ctx); err != nil {
			return err
		}
		if b.get(wordHold) != 0 && b.get(wordRelease) == 0 {
			if err := s.hold(ctx); err != nil {
				return err
			}
		}
		time.Sleep(time.Duration(s.random.Int64N(int64(restMax))))
	}
	return s.p.Close()
}

// acknowledged notes what is in the ring for sure.
func (s *source) acknowledged(ctx context.Context) error {
	if s.Remote != nil {
		if err := s.p.Flush(ctx); err != nil {
			return err
		}
	}
	s.b.set(wordCommitted, s.n)
	return nil
}

// one publishes the next record, or some, or reserves one and gives it up.
func (s *source) one(ctx context.Context) (err error) {
	done := uint64(1)
	switch way := s.random.IntN(100); {
	case way < 5:
		return s.giveUp(ctx)
	case way < 10:
		done, err = s.batch(ctx)
	case way < 50:
		buf := s.begin(1)[0]
		err = s.p.Send(ctx, buf)
	case way < 60:
		buf := s.begin(1)[0]
		for err = client.ErrFull; err == client.ErrFull; {
			if err = s.p.TrySend(buf); err == client.ErrFull {
				time.Sleep(100 * time.Microsecond)
			}
		}
	default:
		s.b.set(wordBegun, s.n+1)
		var buf []byte
		if buf, err = s.p.Reserve(ctx, randomBytes(s.random, s.RecordMax)); err == nil {
			stamp{life: s.life(), n: s.n + 1}.fill(buf)
			err = s.p.Commit()
		}
	}
	if err != nil {
		return err
	}
	s.n += done
	if s.Remote == nil {
		s.b.set(wordCommitted, s.n)
	}
	return nil
}

// begin notes the next k records and makes their payloads.
func (s *source) begin(k uint64) (payloads [][]byte) {
	for i := range k {
		buf := make([]byte, randomBytes(s.random, s.RecordMax))
		stamp{life: s.life(), n: s.n + 1 + i}.fill(buf)
		payloads = append(payloads, buf)
	}
	s.b.set(wordBegun, s.n+k)
	return payloads
}

func (s *source) batch(ctx context.Context) (done uint64, err error) {
	payloads := s.begin(1 + s.random.Uint64N(batchRecordsMax))
	n, err := s.p.SendBatch(ctx, payloads)
	if err == nil && n != len(payloads) {
		err = errors.New("SendBatch published fewer than all, and gives no error")
	}
	return uint64(n), err
}

// giveUp reserves, fills with what nobody may see, and gives up.
func (s *source) giveUp(ctx context.Context) error {
	buf, err := s.p.Reserve(ctx, randomBytes(s.random, s.RecordMax))
	if err != nil {
		return err
	}
	stamp{life: s.life(), n: s.n + 1, flags: flagGivenUp}.fill(buf)
	s.b.set(wordGivingUp, 1)
	if err := s.p.Abort(); err != nil {
		return err
	}
	s.b.set(wordGivenUp, s.b.get(wordGivenUp)+1)
	s.b.set(wordGivingUp, 0)
	return nil
}

// hold reserves, and does not commit until it is let go.
func (s *source) hold(ctx context.Context) error {
	s.b.set(wordBegun, s.n+1)
	buf, err := s.p.Reserve(ctx, randomBytes(s.random, s.RecordMax))
	if err != nil {
		return err
	}
	stamp{life: s.life(), n: s.n + 1}.fill(buf)
	s.b.set(wordHolding, 1)
	for s.b.get(wordRelease) == 0 {
		time.Sleep(orderEvery)
	}
	if err := s.p.Commit(); err != nil {
		return err
	}
	s.n++
	s.b.set(wordCommitted, s.n)
	s.b.set(wordHolding, 0)
	return nil
}
