package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"syscall"

	"brokerd/client"
)

const (
	// outputBufferBytes is how much output is gathered before it is written.
	outputBufferBytes = 64 << 10
	// stopCheckRecords is how many records pass between two looks for a signal
	// while there is always another record.
	stopCheckRecords = 256
)

// consume attaches as a consumer and writes records to the output until one of
// the ends that the help of attach lists. setup bounds the attaching.
func (c *cli) consume(ctx, setup context.Context, conn *client.Client, ring string, f *attachFlags) error {
	r, err := conn.Consumer(setup, ring, client.ConsumerOptions{
		Name: f.name, Policy: client.Policy(f.policy.value), From: f.from.start,
		WaitStrategy: client.WaitStrategy(f.waitStrategy.value),
	})
	if err != nil {
		return err
	}
	s := newSummary(ring, roleConsumer)
	out := bufio.NewWriterSize(c.stdout, outputBufferBytes)
	err = f.receive(ctx, r, out, s)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if closedOutput(err) {
		err = nil
	}
	stats := r.Stats()
	s.missed, s.missedBytes, s.gaps = stats.MissedRecords, stats.MissedBytes, stats.GapRecords
	lossless := r.Policy() == client.PolicyBlock || r.Policy() == client.PolicyDemote
	if err == nil && lossless && s.missed > 0 {
		err = &missedError{ring: ring, policy: r.Policy(), records: s.missed, demoted: r.Demoted()}
	}
	return c.finish(s, errors.Join(err, r.Close()))
}

func (f *attachFlags) receive(ctx context.Context, r *client.Consumer, out *bufio.Writer, s *summary) error {
	frames := framing(f.framing.value)
	for f.count == 0 || s.records < f.count {
		record, err := r.TryReceive()
		if errors.Is(err, client.ErrEmpty) {
			if err := out.Flush(); err != nil {
				return err
			}
			record, err = r.Receive(ctx)
		}
		switch {
		case err == nil:
		case errors.Is(err, client.ErrEndOfStream) && f.untilEnd:
			return nil
		case errors.Is(err, client.ErrEndOfStream):
			continue
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil
		default:
			return err
		}
		s.add(len(record.Payload), record.Timestamp)
		if err := frames.write(out, record.Payload); err != nil {
			return err
		}
		if s.records%stopCheckRecords == 0 && ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// closedOutput tells whether a write failed because nobody reads any more.
func closedOutput(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed)
}
