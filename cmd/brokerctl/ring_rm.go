package main

import (
	"context"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) ringRemoveCommand() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a ring and what it holds",
		Long: `Remove a ring, its files and the records in it. This is refused while anybody is
attached. With --force it is done all the same, and whoever is attached learns
that the ring is gone.`,
		Example:           "  brokerctl ring rm md\n  brokerctl ring rm md --force",
		Args:              args("NAME"),
		ValidArgsFunction: c.completeRings(1),
		SuggestFor:        []string{"remove", "delete", "del"},
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				if err := conn.RemoveRing(ctx, given[0], force); err != nil {
					return err
				}
				return c.print(struct{}{}, func(t *table) { t.row(given[0] + " removed") })
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove it even while somebody is attached")
	return cmd
}
