package main

import (
	"github.com/spf13/cobra"
)

// helpCommand is cobra's, but for a verb that there is not: that is a wrong
// command line, as it is everywhere else.
func (c *cli) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB]",
		Short:   "Explain brokerctl, or one of its verbs",
		Long:    "Explain brokerctl, or one of its verbs, as --help does.",
		Example: "  brokerctl help ring create",
		ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
			group, err := verbAt(cmd.Root(), given)
			if err != nil {
				return nil, noFiles
			}
			for _, sub := range documented(group) {
				words = append(words, cobra.CompletionWithDesc(sub.Name(), sub.Short))
			}
			return words, noFiles
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			about, err := verbAt(cmd.Root(), given)
			if err != nil {
				return &usageError{err}
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// verbAt is the verb that words name below cmd: "ring", "create".
func verbAt(cmd *cobra.Command, words []string) (*cobra.Command, error) {
	for len(words) > 0 {
		sub, rest, err := cmd.Find(words[:1])
		if err != nil || len(rest) > 0 || sub == cmd {
			return nil, verbOf(cmd, words)
		}
		cmd, words = sub, words[1:]
	}
	return cmd, nil
}
