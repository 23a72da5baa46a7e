package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"time"

	"brokerd/client"
)

// watchInterval is the time between two tables of --watch.
const watchInterval = time.Second

// sample is one of a series of replies: as JSON, and as tables.
type sample struct {
	timeNS int64 // since 1970, UTC
	reply  any
	rows   func(t *table)
}

// samples is a series of them, until ctx ends; an error comes last.
type samples func(ctx context.Context, conn *client.Client) iter.Seq2[sample, error]

// watch shows one sample after the other: on a terminal in place, elsewhere one
// below the other, as JSON one a line.
func (c *cli) watch(ctx context.Context, series samples) error {
	dialed, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := client.Dial(dialed, client.Options{Socket: string(c.socket)})
	if err != nil {
		return c.timely(dialed, err)
	}
	if out, ok := c.stdout.(*os.File); ok && c.output.value == "table" && drawable(out) {
		err = c.watchLive(ctx, conn, series, out)
	} else {
		err = c.watchTables(series(ctx, conn))
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) || closedOutput(err) {
		err = nil // that is how watching ends
	}
	return errors.Join(err, conn.Close())
}

// watchTables prints one sample after the other.
func (c *cli) watchTables(series iter.Seq2[sample, error]) error {
	first := true
	for s, err := range series {
		if err == nil {
			err = c.printSample(s, first)
		}
		if err != nil {
			return err
		}
		first = false
	}
	return nil
}

func (c *cli) printSample(s sample, first bool) error {
	if c.output.value == "json" {
		return json.NewEncoder(c.stdout).Encode(s.reply)
	}
	return printTable(c.stdout, func(t *table) {
		if !first {
			t.gap()
		}
		t.row(clock(s.timeNS))
		s.rows(t)
	})
}
