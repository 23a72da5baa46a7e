package daemon

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"brokerd/internal/broker"
	"brokerd/internal/control"
	"brokerd/internal/metrics"
)

// startNotify comes first, so that SIGHUP never kills and the manager hears of
// every later step. A manager that cannot be reached does not stop the start.
func (d *daemon) startNotify(context.Context) error {
	signal.Notify(d.hup, syscall.SIGHUP)
	d.undo = append(d.undo, func() error { signal.Stop(d.hup); return nil })
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

// openBroker takes the ring directory over and adopts what it finds; from then
// on deaths of attached processes are noticed.
func (d *daemon) openBroker(context.Context) error {
	b, err := broker.Open(broker.Options{
		Dir:      d.cfg.Load().Dir,
		Limits:   brokerLimits(d.cfg.Load().Limits),
		OwnerUID: uint32(os.Geteuid()),
		Event:    func(e broker.Event) { logEvent(d.log.Named("broker"), e) },
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
	listen := d.cfg.Load().Admin.Listen
	if listen == "" {
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
	a, err := newAdmin(listen, adminHandler(&d.phase, d.beats.late, scrapes), d.log)
	if err != nil {
		return err
	}
	d.spawn("admin HTTP", a.serve)
	return nil
}

func (d *daemon) startControl(ctx context.Context) error {
	cfg := d.cfg.Load()
	adminGID, err := groupID(ctx, "control.admin_group", cfg.Control.AdminGroup)
	if err != nil {
		return err
	}
	listener, err := d.listen(ctx, cfg.Control)
	if err != nil {
		return err
	}
	beat, release := d.beats.join("control accept loop")
	server := control.New(control.Options{
		Broker:               d.broker,
		Log:                  d.log.Named("control"),
		OwnerUID:             uint32(os.Geteuid()),
		AdminGID:             adminGID,
		ConnectionsMax:       cfg.Limits.Connections,
		ConnectionsPerUIDMax: cfg.Limits.PerUID.Connections,
		Version:              d.version,
		State: func() string {
			state, _ := d.phase.get()
			return string(state)
		},
		Config:   d.configured,
		Reload:   d.reload,
		Links:    d.links,
		Problems: d.gatewayProblems,
		Observe:  d.requests.Count,
		Beat:     beat,
	})
	d.control.Store(server)
	d.spawnBeating("control accept loop", release, func(ctx context.Context) error { return server.Serve(ctx, listener) })
	return nil
}

// makeRings makes every configured ring, or none and says what is wrong with
// each. How the rings differ from the file is in the problems of the broker.
func (d *daemon) makeRings(context.Context) error {
	_, _, err := d.broker.Reconcile(ringSpecs(d.cfg.Load().Rings))
	if err != nil && d.file != "" {
		err = &linesError{d.file + ": ", err}
	}
	return err
}

// startReloads is the last step: a SIGHUP that came earlier has waited for it.
func (d *daemon) startReloads(context.Context) error {
	d.spawn("reload loop", d.answerSIGHUP)
	return nil
}
