package daemon

import (
	"context"
	"errors"
	"fmt"

	"brokerd/internal/config"
	"brokerd/internal/shmring"
)

// slotTableBytes is what the broker keeps of each ring beside its shared files.
const slotTableBytes = 64 << 10

// Plan is what a start with a configuration takes.
type Plan struct {
	Rings       int
	MemoryBytes uint64 // as the broker counts it: all files of the configured rings
}

// Check looks for whatever would make a start with cfg, read from file, fail
// and can be told without changing anything. The error joins one
// *config.FileError for each thing that was found.
func Check(ctx context.Context, file string, cfg *config.Config) (Plan, error) {
	plan := Plan{Rings: len(cfg.Rings)}
	var errs []error
	bad := func(err error) {
		if err != nil {
			errs = append(errs, &config.FileError{File: file, Err: err})
		}
	}
	_, err := Resolve(cfg)
	bad(err)
	_, err = groupID(ctx, "control.group", cfg.Control.Group)
	bad(err)
	_, err = groupID(ctx, "control.admin_group", cfg.Control.AdminGroup)
	bad(err)
	for i, r := range cfg.Rings {
		for _, err := range notYet(i, r) {
			bad(err)
		}
		plan.MemoryBytes += shmring.Config{
			Capacity: uint64(r.Capacity), RecordMax: uint32(r.RecordMax), ConsumersMax: r.ConsumersMax,
			Timestamps: r.Timestamps,
		}.MemoryBytes() + slotTableBytes
	}
	if most := uint64(cfg.Limits.Memory); plan.MemoryBytes > most {
		bad(fmt.Errorf("limits.memory: the rings take %d bytes with their cursor pages and slot tables, %d more than %v; raise it or make rings smaller",
			plan.MemoryBytes, plan.MemoryBytes-most, cfg.Limits.Memory))
	}
	return plan, errors.Join(errs...)
}

// notYet names what a configuration may say and this version does not do.
func notYet(i int, r config.Ring) []error {
	var errs []error
	for _, feature := range []struct {
		asked bool
		text  string
	}{
		{r.Producers == config.ProducersMany, "producers: many"},
		{r.Checksum, "checksum: true"},
		{r.Policy == config.PolicyLatest, "policy: latest"},
	} {
		if feature.asked {
			errs = append(errs, fmt.Errorf("rings[%d] (%s): %s is not yet available", i, r.Name, feature.text))
		}
	}
	return errs
}
