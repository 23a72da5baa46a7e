package main

import (
	"cmp"
	"context"
	_ "embed" // for the help text
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"brokerd/internal/config"
	"brokerd/internal/daemon"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

//go:embed usage.txt
var usage string

// version is set at build time: -ldflags "-X main.version=...".
var version string

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return cmp.Or(info.Main.Version, "unknown")
	}
	return cmp.Or(version, "unknown")
}

type flags struct {
	config                            string // "" for the built-in configuration
	check, printConfig, version, help bool
}

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("brokerd", flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are reported by the caller, the help is usage.txt
	set.Func("config", "", func(file string) error {
		if file == "" { // an unset variable in a unit must not mean the built-in configuration
			return errors.New("the file's name is empty; leave --config out for the built-in configuration")
		}
		f.config = file
		return nil
	})
	set.BoolVar(&f.check, "check", false, "")
	set.BoolVar(&f.printConfig, "print-config", false, "")
	set.BoolVar(&f.version, "version", false, "")
	err := set.Parse(args)
	f.help = errors.Is(err, flag.ErrHelp)
	switch {
	case f.help:
		return f, nil
	case err != nil:
		return f, err
	case set.NArg() > 0:
		return f, fmt.Errorf("argument %q is not expected", set.Arg(0))
	case f.check && f.printConfig:
		return f, errors.New("--check and --print-config exclude each other")
	}
	return f, nil
}

// check prints what a start with cfg takes, or everything that is wrong.
func check(ctx context.Context, file string, cfg *config.Config) int {
	file = cmp.Or(file, "built-in configuration")
	plan, err := daemon.Check(ctx, file, cfg)
	if err != nil {
		return report(exitFailed, err)
	}
	fmt.Printf("%s: ok (%s)\n", file, plan)
	return exitOK
}

// printConfig prints cfg with the paths that this user's daemon would take.
func printConfig(cfg *config.Config) int {
	resolved, err := daemon.Resolve(cfg)
	if err != nil {
		return report(exitFailed, err)
	}
	text, err := resolved.YAML()
	if err != nil {
		return report(exitFailed, err)
	}
	if _, err := os.Stdout.Write(text); err != nil {
		return report(exitFailed, err)
	}
	return exitOK
}

// report prints each line of err and returns code.
func report(code int, err error) int {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(os.Stderr, "brokerd: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return code
}
