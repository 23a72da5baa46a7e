package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of brokerctl",
		Long:    "Print the version of brokerctl itself. That of the daemon is in brokerctl status.",
		Example: "  brokerctl version\n  brokerctl version -o json",
		Args:    args(),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{buildVersion(version, debug.ReadBuildInfo), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return c.print(v, func(t *table) {
				t.row(fmt.Sprintf("brokerctl %s (%s, %s)", v.Version, v.Go, v.Platform))
			})
		},
	}
}

// buildVersion is what the linker set, else what the go command noted.
func buildVersion(linked string, read func() (*debug.BuildInfo, bool)) string {
	if linked != "" {
		return linked
	}
	info, ok := read()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (info.Main.Version == "" || info.Main.Version == "(devel)") {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	if info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
