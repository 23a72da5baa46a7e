package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"brokerd/internal/broker"
	"brokerd/internal/config"
	"brokerd/internal/gateway"
	"brokerd/internal/wire"
)

// reloads are the reloads so far. It is safe for concurrent use.
type reloads struct {
	turn sync.Mutex // held by the one reload at a time

	mu         sync.Mutex
	ok, failed uint64
	last       time.Time // of the last one that took effect; zero for none
}

func (r *reloads) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed++
		return
	}
	r.ok++
	r.last = time.Now()
}

// counts returns figures that belong together: of the good reloads, of the
// refused ones, and when the last good one was, in nanoseconds since 1970; 0
// for never.
func (r *reloads) counts() (ok, failed uint64, lastNS int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() {
		lastNS = r.last.UnixNano()
	}
	return r.ok, r.failed, lastNS
}

// configured tells the control server which file is in force, and since which
// reload.
func (d *daemon) configured() (file string, reloadedNS int64) {
	_, _, reloadedNS = d.reloads.counts()
	return d.file, reloadedNS
}

// reload reads the configuration file again and puts it in force, for SIGHUP and
// for the control server. Refusals are *wire.Error, NotReady or InvalidConfig with
// a line for each problem; a shortage of descriptors is as it came. All change nothing.
func (d *daemon) reload(ctx context.Context) (wire.ReloadOut, error) {
	d.reloads.turn.Lock()
	defer d.reloads.turn.Unlock()
	if state, doing := d.phase.get(); state != wire.DaemonReady {
		return wire.ReloadOut{}, wire.NotReady(state, "brokerd is %s (%s): reload it when it is ready", state, doing)
	}
	announce, err := reloading()
	if err != nil {
		return wire.ReloadOut{}, err
	}
	d.enter(wire.DaemonReady, "reloading "+d.file, announce...)
	out, err := d.apply(ctx)
	d.reloads.count(err)
	if err != nil {
		first, rest, _ := strings.Cut(err.Error(), "\n")
		if rest != "" {
			first = fmt.Sprintf("%s (and %d more)", first, 1+strings.Count(rest, "\n"))
		}
		d.enter(wire.DaemonReady, d.rings()+"; reload refused: "+first, "READY=1")
		return wire.ReloadOut{}, err
	}
	d.enter(wire.DaemonReady, d.rings(), "READY=1")
	for _, text := range slices.Concat(out.Kept, d.gatewayProblems()) {
		d.log.Warn("reload: " + text)
	}
	d.log.Info("reloaded", zap.String("file", out.File), zap.Int("changed", len(out.Changed)), zap.Int("kept", len(out.Kept)))
	return out, nil
}

// apply judges the file before it changes anything, and lets the broker judge
// and make the rings before anything else changes.
func (d *daemon) apply(ctx context.Context) (wire.ReloadOut, error) {
	read, err := d.readAgain(ctx)
	if broker.NoOpenFiles(err) { // the file may be as good as it was
		return wire.ReloadOut{}, err
	}
	if err != nil {
		return wire.ReloadOut{}, wire.InvalidConfig(d.file, "%v", err)
	}
	old, next, server := d.cfg.Load(), read.cfg, d.control.Load()
	d.broker.SetLimits(brokerLimits(next.Limits)) // first: new rings may need them
	ringsChanged, ringsKept, err := d.broker.Reconcile(ringSpecs(next.Rings))
	if err != nil {
		d.broker.SetLimits(brokerLimits(old.Limits))
		return wire.ReloadOut{}, wire.InvalidConfig(d.file, "%v", &linesError{d.file + ": ", err})
	}
	links, linksKept := d.applyGateway(old, next, read.gateway)
	changed, kept := compare(keys(d.inherits), old, next)
	for _, text := range changed { // the broker, the gateway and the control server write down what becomes of theirs
		d.log.Info("reload: " + text)
	}
	d.level.SetLevel(read.level)
	server.SetLimits(next.Limits.Connections, next.Limits.PerUID.Connections)
	server.SetAdminGID(read.adminGID)
	d.cfg.Store(inForce(old, next))
	ended := server.Reauthorize()
	return wire.ReloadOut{
		File:    d.file,
		Changed: slices.Concat(changed, ringsChanged, links, ended),
		Kept:    slices.Concat(kept, ringsKept, linksKept),
	}, nil
}

// applyGateway lets the gateway work by s, as next says. It has been asked before;
// when it cannot after all, as with an address that is taken, the rings have changed
// already: then links stay as old has them, next too, and that is said.
func (d *daemon) applyGateway(old, next *config.Config, s gateway.Settings) (changed, kept []string) {
	changed, kept, err := d.gateway.Load().Apply(s)
	if err != nil {
		next.Gateway, next.Feeds = old.Gateway, old.Feeds
		return nil, []string{fmt.Sprintf("gateway and feeds stay as they were: %v", err)}
	}
	return changed, kept
}

// errNoFile is a reload of the built-in configuration.
var errNoFile = errors.New("brokerd runs on its built-in configuration, so there is no file to read again: start it with --config FILE")

// reading is a file that was found good, and what its names stand for.
type reading struct {
	cfg      *config.Config // resolved
	gateway  gateway.Settings
	adminGID int
	level    zapcore.Level
}

// readAgain returns what the file says now, if a start with it would succeed.
func (d *daemon) readAgain(ctx context.Context) (reading, error) {
	if d.file == "" {
		return reading{}, errNoFile
	}
	// A pipe, as of a shell's <(...), would read as a file without any ring.
	if info, err := os.Stat(d.file); err == nil && !info.Mode().IsRegular() {
		return reading{}, fmt.Errorf("%s: not a regular file, so it cannot be read again: restart brokerd", d.file)
	}
	cfg, err := config.Load(d.file)
	if err != nil {
		return reading{}, err
	}
	if _, err := Check(ctx, d.file, cfg); err != nil {
		return reading{}, err
	}
	var r reading
	if r.cfg, err = Resolve(cfg); err != nil {
		return reading{}, err
	}
	if r.gateway, err = gatewaySettings(cfg, os.Hostname); err != nil {
		return reading{}, err
	}
	if err := d.gateway.Load().Check(r.gateway); err != nil {
		return reading{}, &linesError{d.file + ": ", err}
	}
	if r.adminGID, err = groupID(ctx, "control.admin_group", cfg.Control.AdminGroup); err != nil {
		return reading{}, err
	}
	r.level, err = zapcore.ParseLevel(cfg.Log.Level)
	return r, err
}
