package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"brokerd/internal/broker"
	"brokerd/internal/control"
	"brokerd/internal/metrics"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// startNotify comes first, so that SIGHUP never kills and the manager hears of
// every later step. A manager that cannot be reached does not stop the start.
func (d *daemon) startNotify(context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	d.spawn("reload loop", func(ctx context.Context) error {
		defer signal.Stop(hup)
		return d.answerReloads(ctx, hup)
	})
	notify, err := newNotifier(os.Getenv, os.Getpid())
	if err != nil {
		d.log.Warn("the service manager cannot be told anything", zap.Error(err))
		return nil
	}
	if notify == nil {
		return nil
	}
	d.notify = notify
	d.undo = append(d.undo, notify.close)
	if notify.watchdog > 0 {
		d.spawn("watchdog loop", d.feedWatchdog)
	}
	return nil
}

func (d *daemon) prepareFolder(context.Context) error {
	return prepareFolder(filepath.Dir(d.cfg.Control.Socket), os.Geteuid())
}

// openBroker takes the ring directory over and adopts what it finds; from then
// on deaths of attached processes are noticed.
func (d *daemon) openBroker(context.Context) error {
	b, err := broker.Open(broker.Options{
		Dir: d.cfg.Dir,
		Limits: broker.Limits{
			MemoryBytes: uint64(d.cfg.Limits.Memory),
			Rings:       d.cfg.Limits.Rings,
			Attachments: d.cfg.Limits.Attachments,
		},
		Event: func(e broker.Event) { logEvent(d.log.Named("broker"), e) },
	})
	if err != nil {
		return err
	}
	d.broker = b
	d.undo = append(d.undo, b.Close)
	beat, release := d.beats.join("broker loop")
	d.spawnBeating("broker loop", release, func(ctx context.Context) error { return b.Run(ctx, beat) })
	return nil
}

// startAdmin precedes the control socket so that /readyz answers while the
// control socket drains.
func (d *daemon) startAdmin(context.Context) error {
	if d.cfg.Admin.Listen == "" {
		return nil
	}
	scrapeLog, err := zap.NewStdLogAt(d.log.Named("metrics"), zapcore.ErrorLevel)
	if err != nil {
		return err
	}
	scrapes, err := metrics.Handler(metrics.Options{
		Version: d.version, Source: d.snapshot, Requests: d.requests, ErrorLog: scrapeLog,
	})
	if err != nil {
		return err
	}
	a, err := newAdmin(d.cfg.Admin.Listen, adminHandler(&d.phase, d.beats.late, scrapes), d.log)
	if err != nil {
		return err
	}
	d.spawn("admin HTTP", a.serve)
	return nil
}

func (d *daemon) startControl(ctx context.Context) error {
	c := d.cfg.Control
	gid, err := groupID(ctx, "control.group", c.Group)
	if err != nil {
		return err
	}
	adminGID, err := groupID(ctx, "control.admin_group", c.AdminGroup)
	if err != nil {
		return err
	}
	listener, err := unixconn.Listen(c.Socket, c.Mode, gid)
	if err != nil {
		return err
	}
	beat, release := d.beats.join("control accept loop")
	server := control.New(control.Options{
		Broker:         d.broker,
		Log:            d.log.Named("control"),
		OwnerUID:       uint32(os.Geteuid()),
		AdminGID:       adminGID,
		ConnectionsMax: d.cfg.Limits.Connections,
		Version:        d.version,
		State: func() string {
			state, _ := d.phase.get()
			return string(state)
		},
		Observe: d.requests.Count,
		Beat:    beat,
	})
	d.control.Store(server)
	d.spawnBeating("control accept loop", release, func(ctx context.Context) error { return server.Serve(ctx, listener) })
	return nil
}

// ensureRings reports every ring that cannot be made, not the first one only.
func (d *daemon) ensureRings(ctx context.Context) error {
	var errs []error
	for i, r := range d.cfg.Rings {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.enter(wire.DaemonStarting, "creating ring "+r.Name)
		if err := d.broker.EnsureRing(ringSpec(r)); err != nil {
			errs = append(errs, fmt.Errorf("rings[%d] (%s): %w", i, r.Name, err))
		}
	}
	return errors.Join(errs...)
}
