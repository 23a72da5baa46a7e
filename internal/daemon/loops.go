package daemon

import (
	"context"
	"os"
	"time"

	"go.uber.org/zap"
)

// answerReloads keeps SIGHUP from ending the daemon.
func (d *daemon) answerReloads(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hup:
			d.log.Warn("SIGHUP: reload is not yet available; restart the daemon to apply a new configuration, attached processes go on meanwhile")
		}
	}
}

// feedWatchdog tells the service manager twice in each of its intervals that
// the daemon is well, for as long as that is true.
func (d *daemon) feedWatchdog(ctx context.Context) error {
	tick := time.NewTicker(d.notify.watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if late := d.beats.late(); len(late) > 0 {
			d.log.Error("the watchdog is not fed", zap.Strings("late", late))
			continue
		}
		d.tell("WATCHDOG=1")
	}
}
