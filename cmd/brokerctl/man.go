package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// manCommand is for the installation.
func (c *cli) manCommand() *cobra.Command {
	dir := path("man")
	cmd := &cobra.Command{
		Use:     "man",
		Hidden:  true,
		Short:   "Write the man pages of brokerctl",
		Long:    "Write a man page for each verb into a folder, which is made if it is missing.",
		Example: "  brokerctl man --dir /usr/local/share/man/man1",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeManPages(cmd.Root(), string(dir), "brokerctl "+buildVersion(version, debug.ReadBuildInfo))
		},
	}
	cmd.Flags().Var(&dir, "dir", "the folder")
	return cmd
}

// writeManPages writes the pages of cmd and of what is below it.
func writeManPages(cmd *cobra.Command, dir, source string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, sub := range documented(cmd) {
		if err := writeManPages(sub, dir, source); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, manName(cmd)+".1"), []byte(manPage(cmd, source)), 0o644)
}

// documented are the verbs below cmd that have a page.
func documented(cmd *cobra.Command) (verbs []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			verbs = append(verbs, sub)
		}
	}
	return verbs
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manReference is how one page names another.
func manReference(cmd *cobra.Command) string { return boldRoff(manName(cmd)) + "(1)" }

// manPage is the page of one command.
func manPage(cmd *cobra.Command, source string) string {
	cmd.InitDefaultHelpFlag()
	p := &roff{}
	p.title(manName(cmd), source)
	p.section("NAME")
	p.line(manName(cmd) + " - " + cmd.Short)
	p.section("SYNOPSIS")
	p.bold(cmd.UseLine())
	p.section("DESCRIPTION")
	p.text(cmd.Long)
	if cmd.HasAvailableLocalFlags() {
		p.section("OPTIONS")
		p.flags(cmd.LocalFlags())
	}
	if cmd.HasAvailableInheritedFlags() {
		p.section("GLOBAL OPTIONS")
		p.flags(cmd.InheritedFlags())
	}
	if verbs := documented(cmd); len(verbs) > 0 {
		p.section("COMMANDS")
		for _, sub := range verbs {
			p.item(manReference(sub), sub.Short)
		}
	}
	p.section("EXAMPLES")
	p.text(cmd.Example)
	if cmd.HasParent() {
		p.section("SEE ALSO")
		p.WriteString(manReference(cmd.Parent()) + "\n")
	}
	return p.String()
}
