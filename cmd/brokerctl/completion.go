package main

import (
	"bytes"
	"io"

	"github.com/spf13/cobra"
)

const completionLong = `Print a script that makes a shell complete the verbs, flags and words of brokerctl,
and the names of rings and attachments, which it asks the daemon for. A daemon
that does not answer within half a second is left out in silence.

  bash  source it, or put it into ~/.local/share/bash-completion/completions/brokerctl
        (the package bash-completion loads it from there and must be installed)
  zsh   put it as _brokerctl into a folder of $fpath, and start a new shell
  fish  put it into ~/.config/fish/completions/brokerctl.fish`

func (c *cli) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "Print a completion script for a shell",
		Long:      completionLong,
		Example:   "  source <(brokerctl completion bash)\n  brokerctl completion fish > ~/.config/fish/completions/brokerctl.fish",
		Args:      args("SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, given []string) error {
			var script bytes.Buffer // what fails then is the output and nothing else
			err := completionScript(cmd.Root(), given[0], &script)
			if err == nil {
				_, err = script.WriteTo(c.stdout)
			}
			return err
		},
	}
}

func completionScript(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	}
	return usagef("completion: no script for %q: expected bash, zsh or fish", shell)
}
