// Command brokerd is the daemon: it owns shared-memory rings and lends them to
// the processes of this host.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"brokerd/internal/config"
	"brokerd/internal/daemon"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	f, err := parseFlags(args)
	if err != nil {
		return report(exitUsage, fmt.Errorf("%w; brokerd --help lists the flags", err))
	}
	switch {
	case f.help:
		fmt.Print(usage)
		return exitOK
	case f.version:
		fmt.Println("brokerd", buildVersion())
		return exitOK
	}
	// The first signal drains; from then on a signal has its default action.
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer restore()
	context.AfterFunc(ctx, restore)

	cfg, err := config.Load(f.config)
	switch {
	case err != nil:
		return report(exitFailed, err)
	case f.check:
		return check(ctx, f.config, cfg)
	case f.printConfig:
		return printConfig(cfg)
	}
	log, level, err := daemon.NewLogger(cfg.Log)
	if err != nil {
		return report(exitFailed, err)
	}
	err = daemon.Run(ctx, daemon.Options{File: f.config, Config: cfg, Log: log, Level: level, Version: buildVersion()})
	if err != nil {
		daemon.LogLines(log, err)
		return exitFailed
	}
	return exitOK
}
