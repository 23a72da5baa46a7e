package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/config"
	"brokerd/internal/control"
	"brokerd/internal/gateway"
	"brokerd/internal/metrics"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// Options are what a daemon is started with.
type Options struct {
	File    string         // that Config was read from and a reload reads again; "" for the built-in one
	Config  *config.Config // not changed
	Log     *zap.Logger    // used until Run returns
	Level   zap.AtomicLevel
	Version string
}

// daemon is one run. Its fields are set by the steps of the start, in order.
type daemon struct {
	file     string                        // absolute; "" for the built-in configuration
	cfg      atomic.Pointer[config.Config] // in force, resolved; a reload puts another one in its place
	log      *zap.Logger
	level    zap.AtomicLevel
	version  string
	hup      chan os.Signal // room for one SIGHUP: a reload that is still to begin answers all of them
	notify   *notifier
	phase    phase
	beats    *beats
	requests *metrics.Requests
	handed   *unixconn.Listener // from the service manager; owned until the control server takes it, nil then
	inherits bool               // the control socket is the service manager's
	broker   *broker.Broker
	control  atomic.Pointer[control.Server]  // nil until it listens; a scrape can come first
	gateway  atomic.Pointer[gateway.Gateway] // nil until the rings are there
	reloads  reloads

	failed chan error     // a loop that ended by itself; room for one, further ones are consequences
	undo   []func() error // what close does, last first
}

// Run is the daemon: it starts, serves until ctx is done, and stops within
// some seconds. Rings and attachments outlive it. The error says what could
// not be started, which part failed while serving, or what did not stop well,
// a line for each problem; a ctx that is done, whenever that is, is no error.
//
// NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS are honoured.
func Run(ctx context.Context, o Options) error {
	resolved, err := Resolve(o.Config)
	if err != nil {
		return &linesError{"cannot start: ", err}
	}
	d := &daemon{
		log: o.Log, level: o.Level, version: o.Version,
		hup:      make(chan os.Signal, 1),
		beats:    newBeats(time.Now),
		requests: metrics.NewRequests(methods()),
		failed:   make(chan error, 1),
	}
	if o.File != "" {
		if d.file, err = filepath.Abs(o.File); err != nil {
			return fmt.Errorf("cannot start: where is %s: %w", o.File, err)
		}
	}
	d.cfg.Store(resolved)
	err = d.start(ctx)
	switch {
	case err == nil:
		err = d.wait(ctx)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		err = nil // told to stop before everything was there
	default:
		err = &linesError{"cannot start: ", err}
	}
	return errors.Join(err, d.stop(ctx, err))
}

// Resolve returns cfg with the paths that this user's daemon takes where cfg
// names none.
func Resolve(cfg *config.Config) (*config.Config, error) {
	resolved := *cfg
	if err := resolved.Resolve(config.ResolvePaths(os.Geteuid(), os.Getenv("XDG_RUNTIME_DIR"))); err != nil {
		return nil, err
	}
	return &resolved, nil
}

// start runs the steps until one fails. What they have started, stop ends.
func (d *daemon) start(ctx context.Context) error {
	steps := []struct {
		doing string
		do    func(context.Context) error
	}{
		{"listening to the service manager", d.startNotify},
		{"preparing the place of the control socket", d.prepareSocket},
		{"adopting rings", d.openBroker},
		{"opening the admin listener", d.startAdmin},
		{"opening the control socket", d.startControl},
		{"creating the configured rings", d.makeRings},
		{"opening the gateway", d.startGateway},
		{"listening to SIGHUP", d.startReloads},
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.log.Debug("starting", zap.String("step", s.doing))
		d.enter(wire.DaemonStarting, s.doing)
		if err := s.do(ctx); err != nil {
			return err
		}
	}
	d.enter(wire.DaemonReady, d.rings(), "READY=1")
	status, cfg := d.broker.Status(), d.cfg.Load()
	d.log.Info("ready", zap.String("socket", cfg.Control.Socket), zap.String("dir", cfg.Dir),
		zap.Int("rings", status.Rings), zap.Int("adopted", status.Adopted), zap.String("version", d.version))
	for _, problem := range slices.Concat(status.Problems, d.gatewayProblems()) {
		d.log.Warn("needs a look", zap.String("problem", problem))
	}
	return nil
}

// rings says what there is, in short.
func (d *daemon) rings() string {
	s := d.broker.Status()
	return fmt.Sprintf("%s of %d", Plan{Rings: s.Rings, MemoryBytes: s.MemoryBytes}, s.MemoryBytesMax)
}

// wait returns when the daemon should stop: nil because ctx is done, an error
// because a loop failed.
func (d *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.failed:
		return err
	}
}

// stop undoes the steps of the start, last first. Clients can read the state
// "draining" until their connections are closed.
func (d *daemon) stop(ctx context.Context, failure error) error {
	why := failure // the caller's to report
	if why == nil {
		why = context.Cause(ctx)
		d.log.Info("draining", zap.NamedError("cause", why))
	}
	d.enter(wire.DaemonDraining, why.Error(), "STOPPING=1")
	var errs []error
	for _, undo := range slices.Backward(d.undo) {
		errs = append(errs, undo())
	}
	err := errors.Join(errs...)
	if failure == nil && err == nil {
		d.log.Info("stopped; rings and attached processes go on")
	}
	return err
}

// enter sets the state and tells everybody who should know. A daemon that drains
// enters nothing else.
func (d *daemon) enter(state wire.DaemonState, doing string, extra ...string) {
	if !d.phase.set(state, doing) {
		return
	}
	oneLine := strings.ReplaceAll(doing, "\n", "; ") // a line break would begin another message
	d.tell(append(extra, fmt.Sprintf("STATUS=%s: %s", state, oneLine))...)
}

// tell passes lines to the service manager. It matters less than the work: a
// failure is logged.
func (d *daemon) tell(lines ...string) {
	if err := d.notify.send(lines...); err != nil {
		d.log.Warn("the service manager was not told", zap.Strings("lines", lines), zap.Error(err))
	}
}

// spawn runs a loop in a goroutine of its own until stop ends and joins it. A
// loop that returns before that brings the daemon down.
func (d *daemon) spawn(name string, loop func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := loop(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errUnasked
			}
			err = fmt.Errorf("%s ended: %w", name, err)
			select {
			case d.failed <- err:
				err = nil
			default:
			}
		}
		done <- err
	}()
	d.undo = append(d.undo, func() error {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		return nil
	})
}

// spawnBeating is spawn for a loop that beats. Once it has been told to end,
// which may take a while, nobody expects a beat.
func (d *daemon) spawnBeating(name string, release func(), loop func(context.Context) error) {
	d.spawn(name, func(ctx context.Context) error {
		context.AfterFunc(ctx, release)
		return loop(ctx)
	})
}

// errUnasked is the end of a loop that nobody had told to end.
var errUnasked = errors.New("it should have gone on until the daemon stops")

// methods are the calls that are counted one by one, as control.Options.Observe
// names them.
func methods() []string {
	names := []string{unknownMethod}
	for _, full := range []string{
		wire.MethodCreateRing, wire.MethodRemoveRing, wire.MethodListRings, wire.MethodDescribeRing,
		wire.MethodAttach, wire.MethodDetach, wire.MethodListAttachments, wire.MethodStats, wire.MethodGetStatus, wire.MethodListLinks,
		wire.MethodReload, wire.MethodCollectGarbage, wire.MethodGetInfo, wire.MethodGetInterfaceDescription,
	} {
		names = append(names, full[strings.LastIndexByte(full, '.')+1:])
	}
	return names
}

// unknownMethod is what the control server calls a method that does not exist.
const unknownMethod = "unknown"
