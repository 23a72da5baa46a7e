package soak

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

const (
	sampleEvery = time.Second
	// judgedMin is the least time whose second half shows a trend.
	judgedMin = 4 * time.Minute
)

// TestSoak runs the load for -for, and looks at both daemons once a second.
func TestSoak(t *testing.T) {
	origin, far := startSites(t)
	ctx, stop := context.WithCancelCause(t.Context())
	l := &load{ctx: ctx, stop: stop, origin: origin, far: far}
	l.run()
	begin := time.Now()
	var ofOrigin, ofFar []sample
	var rows strings.Builder
	rows.WriteString(csvHeader)
	for ctx.Err() == nil && time.Since(begin) < *soakFor {
		next := time.Now().Add(sampleEvery)
		ofOrigin, ofFar = append(ofOrigin, take(origin, begin)), append(ofFar, take(far, begin))
		rows.WriteString(ofOrigin[len(ofOrigin)-1].csv("origin") + ofFar[len(ofFar)-1].csv("mirror"))
		harness.Sleep(ctx, time.Until(next))
	}
	took := time.Since(begin)
	stop(errDone)
	if err := l.join(); err != nil {
		t.Errorf("the load: %v (seed %d)", err, *seed)
	}
	if *csvPath != "" {
		if err := os.WriteFile(*csvPath, []byte(rows.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, host := range []struct {
		name    string
		samples []sample
	}{{"origin", ofOrigin}, {"mirror", ofFar}} {
		verdicts, trends := judge(host.name, host.samples)
		if took >= judgedMin {
			fmt.Printf("soak: %s: in the second half, a minute: %s\n", host.name, trends)
			for _, v := range verdicts {
				t.Error(v)
			}
		}
	}
	for name, n := range map[string]uint64{
		"records": l.records.Load(), "received": l.received.Load(), "attachments": l.attached.Load(), "rings": l.created.Load(),
		"kills": l.killed.Load(), "remote clients": l.connected.Load(), "scrapes": l.scraped.Load(), "reloads": l.reloaded.Load(),
	} {
		if n == 0 {
			t.Errorf("the load did nothing of its part: %s", name)
		}
	}
	fmt.Printf("counts: soak: %v, seed %d: %d records, %d received, %d attachments, %d rings made and removed, %d kills, %d remote clients, %d reloads\n",
		took.Round(time.Second), *seed, l.records.Load(), l.received.Load(), l.attached.Load(), l.created.Load(), l.killed.Load(), l.connected.Load(), l.reloaded.Load())
}
