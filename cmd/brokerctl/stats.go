package main

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) statsCommand() *cobra.Command {
	watch := false
	cmd := &cobra.Command{
		Use:   "stats [RING]",
		Short: "Show what rings and their readers are doing",
		Long: `Show, for one ring or for all, records published, occupancy, lags and losses.

With --watch they are shown every second, with rates: on a terminal as one table
in place, until q or ^C; elsewhere as one table after the other, until ^C; with
-o json as one object a line. RECORDS and BYTES count since the ring was made;
bytes include headers and padding. HELD is how long producers waited for readers.`,
		Example:           "  brokerctl stats\n  brokerctl stats md --watch\n  brokerctl stats --watch -o json | jq .rings[0].sequence",
		Args:              args("[RING]"),
		ValidArgsFunction: c.completeRings(1),
		SuggestFor:        []string{"top", "watch"},
		RunE: func(cmd *cobra.Command, given []string) error {
			if watch {
				return c.watch(cmd.Context(), statsSamples(optional(given)))
			}
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				s, err := conn.Stats(ctx, optional(given))
				if err != nil {
					return err
				}
				return c.print(s, func(t *table) { statsRows(t, s, nil) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show them every second until q or ^C")
	return cmd
}

// statsSamples is a snapshot a second, with the rates since the one before.
func statsSamples(ring string) samples {
	return func(ctx context.Context, conn *client.Client) iter.Seq2[sample, error] {
		return func(yield func(sample, error) bool) {
			var before *client.Stats
			for s, err := range conn.WatchStats(ctx, ring, watchInterval) {
				since := before
				before = &s
				if !yield(sample{s.TimeNS, s, func(t *table) { statsRows(t, s, since) }}, err) {
					return
				}
			}
		}
	}
}

// statsRows prints a snapshot, with the rates since before unless that is nil.
func statsRows(t *table, s client.Stats, before *client.Stats) {
	since := client.Stats{}
	if before != nil {
		since = *before
	}
	seconds := float64(s.TimeNS-since.TimeNS) / 1e9
	t.row("RING", "STATE", "RECORDS", "RECORDS/S", "BYTES", "BYTES/S", "FULL", "PRODUCERS", "CONSUMERS",
		"GAPS", "HELD", "DROPPED", "DEMOTIONS")
	for _, r := range s.Rings {
		old := earlier(since.Rings, func(o client.RingStats) bool { return o.Name == r.Name && o.Epoch == r.Epoch })
		records, bytes := "", ""
		if old != nil {
			records, bytes = rate(r.Sequence, old.Sequence, seconds), rate(r.Position, old.Position, seconds)
		}
		t.row(r.Name, r.State, r.Sequence, records, r.Position, bytes, full(r), r.Producers, r.Consumers,
			r.GapRecords, span(int64(r.HeldNS)), r.DroppedRecords, r.Demotions)
	}
	if len(s.Attachments) == 0 {
		return
	}
	t.gap()
	t.row("ATTACHMENT", "NAME", "STATE", "POLICY", "RECORDS", "RECORDS/S", "LAG", "MISSED", "GAPS", "PID", "NOTE")
	for _, a := range s.Attachments {
		old := earlier(since.Attachments, func(o client.Attachment) bool { return o.ID == a.ID && o.Epoch == a.Epoch })
		records := ""
		if old != nil {
			records = rate(a.Sequence, old.Sequence, seconds)
		}
		t.row(a.ID, a.Name, a.State, policyNow(a), a.Sequence, records, a.LagBytes, a.MissedRecords, a.GapRecords, a.PID, noteOn(a))
	}
}

// full is how much of a ring holds what its slowest reader has yet to read.
func full(r client.RingStats) string {
	if r.Capacity == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100*float64(r.OccupancyBytes)/float64(r.Capacity))
}

// earlier is the element of a former list that same accepts, or nil.
func earlier[T any](list []T, same func(T) bool) *T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		return &list[i]
	}
	return nil
}

// rate is how fast a counter grew, "" when that cannot be told.
func rate(now, then uint64, seconds float64) string {
	if now < then || seconds <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", float64(now-then)/seconds)
}
