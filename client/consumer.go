package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"brokerd/internal/shmring"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// Consumer receives the records of a ring. One goroutine at a time uses it.
//
// Every method that may wait looks at its context only when it has to wait, and
// notices its end within 100 ms. Two errors are about the stream, and reading
// goes on behind them: ErrEndOfStream and *ChecksumError. The others last:
// *RemovedError, ErrDetached, ErrLost, ErrCorrupt, ErrFault, ErrClosed. The
// context's own is returned as it is.
type Consumer struct {
	ring *shmring.Consumer
	wait waiting
	a    *attachment
}

// Consumer attaches to a ring as a consumer. Errors are the daemon's refusals
// (IsRefused), such as ErrRingNotFound, ErrAccessDenied, ErrSlotsExhausted or,
// with FromResume, ErrCursorInUse; ErrUnreachable; and *PositionError for a start
// that the ring does not hold.
//
// On a ring with resume_for a Consumer with a name leaves its cursor when it
// ends, however it ends; who attaches under that name without FromResume
// discards it.
func (c *Client) Consumer(ctx context.Context, ring string, o ConsumerOptions) (*Consumer, error) {
	wait, err := checkConsumer(o)
	if err != nil {
		return nil, err
	}
	r := &Consumer{}
	in := wire.AttachIn{Ring: ring, Role: wire.RoleConsumer, Name: o.Name, Policy: o.Policy,
		WaitStrategy: o.WaitStrategy, Resume: o.From.Resumes()}
	r.a, err = c.attach(ctx, in, func(a *attachment, files lent) (func() error, error) {
		policy, err := shmring.ParsePolicy(string(a.info.Policy))
		if err != nil || len(files.cursors) != 1 {
			unixconn.CloseFiles(append(files.cursors, files.data))
			return nil, fmt.Errorf("%w: attached with policy %q and %d cursor files", ErrProtocol, a.info.Policy, len(files.cursors))
		}
		from := o.From
		if from.Resumes() && !a.resumed {
			from = FromOldest()
		}
		opened, err := shmring.OpenConsumer(files.data, files.cursors[0], shmring.ConsumerOptions{
			Slot: a.info.Slot, Generation: a.info.Generation, Policy: policy, Wait: wait, From: from,
			Tags: slices.Clone(o.Tags), KeepCursor: o.Name != "" && a.ring.ResumeForNS > 0,
		})
		if err != nil {
			return nil, fmt.Errorf("open ring %s: %w", ring, err)
		}
		r.ring = opened
		return opened.Close, nil
	})
	if err != nil {
		return nil, err
	}
	r.wait = waiting{Context: context.Background(), a: r.a}
	return r, nil
}

// checkConsumer says what is wrong with the options, or how to wait.
func checkConsumer(o ConsumerOptions) (shmring.WaitStrategy, error) {
	if len(o.Tags) > TagsMax {
		return 0, fmt.Errorf("%d tags: want at most %d, or none for all records", len(o.Tags), TagsMax)
	}
	return waitStrategy(o.WaitStrategy)
}

// Receive returns the next record, waiting for it. Its Payload is valid until
// the next call on r: a view into the ring with PolicyBlock, a checked copy with
// the others. ErrEndOfStream says that a producer closed its stream on purpose;
// the next call waits for what comes after.
func (r *Consumer) Receive(ctx context.Context) (Record, error) {
	rec, err := r.ring.Receive(r.wait.with(ctx))
	return rec, r.a.explain(err)
}

// TryReceive returns the next record if it is there, or ErrEmpty.
func (r *Consumer) TryReceive() (Record, error) {
	rec, err := r.ring.TryReceive()
	if err == ErrEmpty {
		if lost := r.a.lost(); lost != nil {
			err = lost
		}
	}
	return rec, r.a.explain(err)
}

// Poll hands up to limit records that are there to fn without a copy, whatever
// the policy, and says how many. For readers that may be overrun an
// *OverrunError after fn says that the view was overwritten meanwhile and what
// fn saw must not be used. An error of fn ends Poll and is returned, and so do
// ErrEndOfStream and *ChecksumError. 0 and nil: nothing is there.
func (r *Consumer) Poll(fn func(Record) error, limit int) (int, error) {
	n, err := r.ring.Poll(fn, limit)
	if n == 0 && err == nil {
		err = r.a.lost()
	}
	return n, r.a.explain(err)
}

// Records yields records as they come. ErrEndOfStream and *ChecksumError are
// yielded in their place, with an empty record, and it goes on; any other error,
// such as that of ctx, is yielded last.
func (r *Consumer) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			rec, err := r.Receive(ctx)
			if !yield(rec, err) || err != nil && !goesOn(err) {
				return
			}
		}
	}
}

// goesOn tells whether there may be records behind err.
func goesOn(err error) bool {
	var checksum *ChecksumError
	return errors.Is(err, ErrEndOfStream) || errors.As(err, &checksum)
}

// Position is the position of the next record, in bytes.
func (r *Consumer) Position() uint64 { return r.ring.Position() }

// Sequence is how many records the ring had before the next one.
func (r *Consumer) Sequence() uint64 { return r.ring.Sequence() }

// Start is the position where this Consumer began.
func (r *Consumer) Start() uint64 { return r.ring.Start() }

// Resumed tells whether it went on at a cursor that an earlier Consumer of its
// name had left (FromResume). What the ring no longer held by then is told as
// missed by the first record.
func (r *Consumer) Resumed() bool { return r.ring.Resumed() || r.a.origin != nil && r.a.resumed }

// Epoch is the ring's: it changes when a ring of that name is made anew.
func (r *Consumer) Epoch() uint64 { return r.ring.Epoch() }

// Demoted tells whether this reader has been made a skip reader for holding the
// producer too long.
func (r *Consumer) Demoted() bool { return r.Stats().Demoted }

// Stats counts what this Consumer did.
func (r *Consumer) Stats() ConsumerStats {
	s := r.ring.Stats()
	if r.a.origin != nil {
		r.a.origin.correct(&s)
	}
	return s
}

// ID is the attachment's, as Attachments lists it and Detach takes it.
func (r *Consumer) ID() string { return r.a.id() }

// Policy is the one that was agreed on when attaching.
func (r *Consumer) Policy() Policy { return r.a.info.Policy }

// Ring is the ring as it was lent.
func (r *Consumer) Ring() Ring { return r.a.ring }

// Close detaches; from then on this reader holds nobody, unless it leaves its
// cursor (see Client.Consumer): that stands behind the last record that was
// given out, and goes on holding producers if the policy gates, for the ring's
// resume_for. Closing again does nothing. The error tells of an attachment that
// had ended before (ErrLost), or of a ring whose memory is gone; a daemon that is
// away is told later and is no error.
func (r *Consumer) Close() error { return r.a.close() }
