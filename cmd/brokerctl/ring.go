package main

import "github.com/spf13/cobra"

func (c *cli) ringCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ring",
		Short:   "Create, list, show and remove rings",
		Long:    "Create, list, show and remove rings. Rings of the daemon's configuration file are\nmade by the daemon itself.",
		Example: "  brokerctl ring create md --capacity 16MiB\n  brokerctl ring list\n  brokerctl ring rm md",
		Args:    verbOf,

		SuggestionsMinimumDistance: suggestionLetters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: name a verb; see %s --help", verb(cmd), cmd.CommandPath())
		},
	}
	cmd.AddCommand(c.ringCreateCommand(), c.ringListCommand(), c.ringShowCommand(), c.ringRemoveCommand())
	return cmd
}
