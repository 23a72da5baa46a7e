package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) gcCommand() *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Delete quarantined rings and what is left of others",
		Long: `Delete what lies beside the rings and holds memory: quarantined rings, which could
not be used any more and were set aside for somebody to look at, and what is left of
rings that were being made or removed. With --dry-run nothing is deleted, only
listed. WHY says what was found in a ring, SINCE when.

What is no ring ("foreign") is listed and never touched: move it elsewhere. A ring
that is retired and waits for room gets its successor after this by itself.

Exit code 0 means that nothing is left to delete, 1 that something could not be
deleted. This is for root, the daemon's user and the group control.admin_group.`,
		Example: "  brokerctl gc --dry-run\n  brokerctl gc\n  brokerctl gc --dry-run -o json | jq -r '.garbage[] | select(.kind == \"quarantined\") | .path'",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				out, err := conn.CollectGarbage(ctx, dryRun)
				if err != nil {
					return err
				}
				if err := c.print(out, func(t *table) { gcRows(t, out) }); err != nil || dryRun {
					return err
				}
				return undeleted(out.Garbage)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only list what would be deleted")
	return cmd
}

func gcRows(t *table, out client.GarbageOut) {
	if len(out.Garbage) == 0 {
		t.row("there is nothing to delete")
		return
	}
	t.row("KIND", "PATH", "RING", "BYTES", "SINCE", "DELETED", "WHY", "ADVICE")
	for _, g := range out.Garbage {
		size := formatSize(g.Bytes)
		if g.Kind == client.GarbageForeign {
			size = ""
		}
		t.row(g.Kind, g.Path, g.Ring, size, clock(g.SinceNS), yesNo(g.Deleted), g.Why, g.Advice)
	}
	if out.More > 0 {
		t.lines([]string{fmt.Sprintf("and %d more things that are no rings", out.More)})
	}
}

// undeleted is the error of something that should have been deleted and was not.
func undeleted(garbage []client.Garbage) error {
	n := 0
	var first client.Garbage
	for _, g := range garbage {
		if g.Kind == client.GarbageForeign || g.Deleted {
			continue
		}
		if n++; n == 1 {
			first = g
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("gc: %d of %d not deleted, the first is %s: %s", n, len(garbage), first.Path, first.Advice)
}
