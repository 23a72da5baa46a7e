package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"

	"brokerd/internal/broker"
	"brokerd/internal/config"
	"brokerd/internal/gateway"
)

// Plan is what a start with a configuration takes.
type Plan struct {
	Rings       int
	MemoryBytes uint64 // as the broker counts it: all files of the configured rings
}

// String gives rings and memory, such as "1 ring, 1134592 bytes".
func (p Plan) String() string {
	rings := "rings"
	if p.Rings == 1 {
		rings = "ring"
	}
	return fmt.Sprintf("%d %s, %d bytes", p.Rings, rings, p.MemoryBytes)
}

// Check looks for whatever would make a start with cfg, read from file, fail
// and can be told without changing anything. The error has a line for each thing
// that was found, which begins with file.
func Check(ctx context.Context, file string, cfg *config.Config) (Plan, error) {
	plan := Plan{Rings: len(cfg.Rings)}
	var errs []error
	bad := func(err error) {
		if err != nil {
			errs = append(errs, &config.FileError{File: file, Err: err})
		}
	}
	resolved, err := Resolve(cfg)
	bad(err)
	if err == nil {
		bad(broker.CheckDir(resolved.Dir))
	}
	_, err = groupID(ctx, "control.group", cfg.Control.Group)
	bad(err)
	_, err = groupID(ctx, "control.admin_group", cfg.Control.AdminGroup)
	bad(err)
	settings, err := gatewaySettings(cfg, os.Hostname)
	bad(err)
	if err := gateway.CheckFiles(settings); err != nil {
		errs = append(errs, &linesError{file + ": ", err})
	}
	for i, r := range cfg.Rings {
		bytes, err := broker.Plan(ringSpec(r))
		if err != nil {
			bad(fmt.Errorf("rings[%d] (%s): %w", i, r.Name, err))
		}
		plan.MemoryBytes += bytes
	}
	if most := uint64(cfg.Limits.Memory); plan.MemoryBytes > most {
		bad(fmt.Errorf("limits.memory: the rings take %d bytes with their cursor pages and slot tables, %d more than %v; raise it or make rings smaller",
			plan.MemoryBytes, plan.MemoryBytes-most, cfg.Limits.Memory))
	}
	return plan, errors.Join(errs...)
}
