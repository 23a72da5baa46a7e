package daemon

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// answerSIGHUP reads the configuration again whenever it is asked to.
func (d *daemon) answerSIGHUP(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.hup:
		}
		if _, err := d.reload(ctx); err != nil {
			LogLines(d.log, &linesError{"reload refused, nothing has changed: ", err})
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
