package main

import (
	"fmt"
	"time"

	"brokerd/client"
)

// rows draws what each reader does, once a second.
func (d *demo) rows() error {
	published := d.replay.progress().Position // before the readers are asked: who is up to date lags 0
	for _, a := range d.actors {
		if err := a.ask(); err != nil {
			return err
		}
	}
	now := time.Now()
	d.demotion()
	for i, a := range d.actors {
		at := ""
		if i == 0 {
			at = clock(now.Sub(d.started))
		}
		lag := published - min(published, a.now.Position)
		rate := float64(a.now.Delivered-a.shown) / now.Sub(d.drawn).Seconds()
		a.shown = a.now.Delivered
		d.screen.row(at, a.name, fmt.Sprintf("%.0f", rate), fmt.Sprint(lag),
			brief(a.now.P50), brief(a.now.P99), fmt.Sprint(a.now.Missed), d.remark(a))
	}
	d.drawn = now
	return nil
}

// remark is the last column: what is special about a reader right now.
func (d *demo) remark(a *actor) string {
	switch {
	case a.name == bookName && a.now.Ask > 0:
		return fmt.Sprintf("%.2f / %.2f", a.now.Bid, a.now.Ask)
	case a.name == skipName && d.daemon == nil:
		return "(brokerd is dead)"
	case a.name == slowName && a.now.DemotedNS != 0:
		return "demoted"
	}
	return ""
}

// demotion says so, once, when slow has been demoted.
func (d *demo) demotion() {
	slow := d.actor(slowName)
	if slow.last.DemotedNS == 0 && slow.now.DemotedNS != 0 {
		at := time.Unix(0, slow.now.DemotedNS).Sub(d.started)
		d.screen.event(at, fmt.Sprintf("slow is demoted: it held the feed for %s; from now on it misses", demoteAfter))
	}
}

// event tells of something that happens now.
func (d *demo) event(format string, args ...any) {
	d.screen.event(time.Since(d.started), fmt.Sprintf(format, args...))
}

// clock is a time since the replay began, as the first column has it.
func clock(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// brief is a duration in at most six letters.
func brief(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// findAttachment returns the one with that name, or an empty one.
func findAttachment(all []client.Attachment, name string) client.Attachment {
	for _, a := range all {
		if a.Name == name {
			return a
		}
	}
	return client.Attachment{}
}
