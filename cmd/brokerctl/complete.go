package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brokerd/client"
)

// completionTimeMax is how long a shell's completion waits for the daemon.
const completionTimeMax = 500 * time.Millisecond

// noFiles tells the shell that these are all there are, and not to offer files.
const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeFlags completes the flags of cmd and below: those that take a choice
// with its words, those that take a path with files, others not at all. Arguments
// are completed by what their verb says, or not at all.
func completeFlags(cmd *cobra.Command) {
	complete := func(f *pflag.Flag) {
		words := cobra.NoFileCompletions
		switch value := f.Value.(type) {
		case *choice:
			words = cobra.FixedCompletions(value.words, noFiles)
		case *startFlag:
			words = cobra.FixedCompletions(startWords(), noFiles)
		case *path:
			return
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, words) // fails for unknown flags only
	}
	cmd.LocalNonPersistentFlags().VisitAll(complete)
	cmd.PersistentFlags().VisitAll(complete)
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}

// completeRings offers the names of rings for the first max arguments.
func (c *cli) completeRings(max int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) >= max {
			return nil, noFiles
		}
		return c.complete(cmd.Context(), func(ctx context.Context, conn *client.Client) (words []cobra.Completion) {
			rings, _ := conn.Rings(ctx)
			for _, r := range rings {
				if !slices.Contains(given, r.Name) {
					words = append(words, cobra.CompletionWithDesc(r.Name, fmt.Sprintf("%s, %s", formatSize(r.Capacity), r.Policy)))
				}
			}
			return words
		})
	}
}

// completeAttachments offers the ids of attachments for the first argument.
func (c *cli) completeAttachments(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, noFiles
	}
	return c.complete(cmd.Context(), func(ctx context.Context, conn *client.Client) (words []cobra.Completion) {
		list, _ := conn.Attachments(ctx, "")
		for _, a := range list {
			words = append(words, cobra.CompletionWithDesc(a.ID, fmt.Sprintf("%s, %s, pid %d", orDash(a.Name), a.Role, a.PID)))
		}
		return words
	})
}

// complete asks the daemon, which may be away: the shell's line is no place to say so.
// That of another host is not asked for its rings.
func (c *cli) complete(ctx context.Context, ask func(context.Context, *client.Client) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	if c.remote.address != "" {
		return nil, noFiles
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeMax)
	defer cancel()
	conn, err := client.Dial(ctx, client.Options{Socket: string(c.socket)})
	if err != nil {
		return nil, noFiles
	}
	defer conn.Close()
	return ask(ctx, conn), noFiles
}
