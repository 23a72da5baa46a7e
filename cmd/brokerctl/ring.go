package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) ringCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ring",
		Short:   "Create, list, show and remove rings",
		Long:    "Create, list, show and remove rings. Rings of the daemon's configuration file are\nmade by the daemon itself.",
		Example: "  brokerctl ring create md --capacity 16MiB\n  brokerctl ring list\n  brokerctl ring rm md",
		Args:    verbOf,

		SuggestionsMinimumDistance: suggestionLetters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: name a verb; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		},
	}
	cmd.AddCommand(c.ringCreateCommand(), c.ringListCommand(), c.ringShowCommand(), c.ringRemoveCommand())
	return cmd
}

// verbOf refuses an unknown verb below cmd and suggests a similar one.
func verbOf(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	hint := ""
	if similar := cmd.SuggestionsFor(given[0]); len(similar) > 0 {
		hint = fmt.Sprintf(", did you mean %q?", similar[0])
	}
	return fmt.Errorf("unknown command %q for %q%s", given[0], cmd.CommandPath(), hint)
}
