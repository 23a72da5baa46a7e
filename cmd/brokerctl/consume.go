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
	// turnRecordsMax is how many records of one ring are written before the next
	// ring has its turn, and a signal is looked for.
	turnRecordsMax = 256
)

// consumption is what a consumer does: reading rings in turn into one output.
type consumption struct {
	*attachFlags
	c       *cli
	poller  *client.Poller
	sources []*source
	out     *bufio.Writer
	records uint64 // of all sources
}

// consume attaches to each ring as a consumer and writes records to the output
// until one of the ends that the help of attach lists. setup bounds the attaching.
func (c *cli) consume(ctx, setup context.Context, conn attacher, rings []string, f *attachFlags) error {
	g := &consumption{
		attachFlags: f, c: c, out: bufio.NewWriterSize(c.stdout, outputBufferBytes),
		poller: client.NewPoller(client.PollerOptions{WaitStrategy: client.WaitStrategy(f.waitStrategy.value)}),
	}
	if err := g.open(setup, conn, rings); err != nil {
		return c.timely(setup, err)
	}
	err := g.run(ctx)
	if flushed := g.out.Flush(); err == nil {
		err = flushed
	}
	if closedOutput(err) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	for _, s := range g.sources {
		err = errors.Join(err, s.close())
	}
	whole := err == nil // losses are worth an error where there is no other
	for _, s := range g.sources {
		if whole {
			err = errors.Join(err, s.loss())
		}
		err = errors.Join(err, c.printSummary(s.sum))
	}
	return err
}

// open attaches to all rings, or to none.
func (g *consumption) open(setup context.Context, conn attacher, rings []string) error {
	for _, ring := range rings {
		r, err := conn.Consumer(setup, ring, g.consumerOptions())
		if err == nil {
			s := newSource(ring, g.name, r, framing(g.framing.value), len(rings) > 1)
			g.sources = append(g.sources, s)
			err = g.poller.Add(r)
		}
		if err != nil {
			for _, s := range g.sources {
				err = errors.Join(err, s.close())
			}
			return err
		}
		if g.from.start.Resumes() {
			g.c.note("%s: %s", ring, began(r, g.name))
		}
	}
	return nil
}

// run gives each source its turn until there is nothing more to read. The output
// is flushed before it waits.
func (g *consumption) run(ctx context.Context) error {
	for {
		news, open := 0, 0
		for _, s := range g.sources {
			if s.ended {
				continue
			}
			n, err := g.turn(s)
			if err != nil || ctx.Err() != nil || g.enough() {
				return err
			}
			news += n
			open++
		}
		switch {
		case open == 0:
			return nil
		case news > 0:
			continue
		}
		if err := g.out.Flush(); err != nil {
			return err
		}
		if _, err := g.poller.Wait(ctx); err != nil {
			return err
		}
	}
}

// enough tells whether --count is reached.
func (g *consumption) enough() bool { return g.count != 0 && g.records >= g.count }

// turn writes what a source has, up to a limit, and returns how much it had to say.
func (g *consumption) turn(s *source) (news int, err error) {
	for news < turnRecordsMax && !g.enough() {
		record, err := s.r.TryReceive()
		switch {
		case err == nil:
			g.records++
			err = s.write(g.out, record)
		case errors.Is(err, client.ErrEmpty):
			return news, nil
		case errors.Is(err, client.ErrEndOfStream) && g.untilEnd:
			s.ended = true
			g.poller.Remove(s.r)
			return news + 1, s.close()
		case errors.Is(err, client.ErrEndOfStream):
			g.c.note("%s: end of stream after record %d, position %d; what comes next is waited for", s.ring, s.r.Sequence(), s.r.Position())
			err = nil
		case wrongChecksum(err):
			s.leaveOut(g.c, err)
			err = nil
		}
		if err != nil {
			return news, err
		}
		news++
	}
	return news, nil
}

// closedOutput tells whether a write failed because nobody reads any more.
func closedOutput(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed)
}
