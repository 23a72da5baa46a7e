package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration file again",
		Long: `Have the daemon read its configuration file again, as SIGHUP does, and tell what
came of it: "changed" is in force now; "kept" is what the file asks for and only
a restart of the daemon, or a new ring, can give.

A file with an error in it changes nothing: every error is told, one a line, and
the exit code is 4. This is for root, the daemon's user and the group
control.admin_group. brokerd --config FILE --check judges a file before.`,
		Example: "  brokerctl reload\n  brokerctl reload -o json | jq -r .kept[]",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				out, err := conn.Reload(ctx)
				if errors.Is(err, client.ErrInvalidConfig) {
					return fmt.Errorf("nothing was changed:%s%w", separator(err), err)
				}
				if err != nil {
					return err
				}
				return c.print(out, func(t *table) { reloadRows(t, out) })
			})
		},
	}
}

// separator gives each of several errors a line of its own.
func separator(err error) string {
	if strings.Contains(err.Error(), "\n") {
		return "\n"
	}
	return " "
}

func reloadRows(t *table, out client.ReloadOut) {
	for _, what := range out.Changed {
		t.row("changed", what)
	}
	for _, what := range out.Kept {
		t.row("kept", what)
	}
	if len(out.Changed)+len(out.Kept) == 0 {
		t.row(fmt.Sprintf("%s says nothing new", fileName(out.File)))
	}
}

// fileName is that of a configuration file.
func fileName(file string) string {
	if file == "" {
		return "the built-in configuration"
	}
	return file
}
