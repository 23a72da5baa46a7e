package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	// answerMost is what the daemon may take to answer. It is held against the
	// median: the machine is shared, and those who attack use it up.
	answerMost = 50 * time.Millisecond
	// answerHung is more than a busy machine explains.
	answerHung = 2 * time.Second
	askEvery   = 20 * time.Millisecond
)

// delays are how long the daemon took each time.
type delays []time.Duration

func (d delays) median() time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func (d delays) over() (n int) {
	for _, one := range d {
		if one > answerMost {
			n++
		}
	}
	return n
}

func (d delays) String() string {
	if len(d) == 0 {
		return "no calls"
	}
	return fmt.Sprintf("%d calls, median %v, longest %v, %d over %v", len(d), d.median().Round(10*time.Microsecond), slices.Max(d).Round(10*time.Microsecond), d.over(), answerMost)
}

// callsMin is how many make a median.
const callsMin = 50

// judge fails a test whose daemon was slow.
func (d delays) judge(t testing.TB) {
	t.Helper()
	if len(d) < callsMin || d.median() > answerMost || slices.Max(d) > answerHung {
		t.Errorf("the daemon answered slowly: %v", d)
	}
}

// ask calls the daemon once in a while until ctx ends, and each time what else
// there is to do.
func ask(ctx context.Context, t testing.TB, c *client.Client, also func()) delays {
	t.Helper()
	var took delays
	for ctx.Err() == nil {
		begin := time.Now()
		if _, err := c.Rings(harness.Bounded(t)); err != nil {
			t.Errorf("the daemon does not answer: %v", err)
			break
		}
		took = append(took, time.Since(begin))
		also()
		time.Sleep(askEvery)
	}
	return took
}

// figures are what a daemon must not let grow.
type figures struct{ goroutines, fds, threads float64 }

func look(d *harness.Daemon) figures {
	values := d.Scrape()
	return figures{values["go_goroutines{}"], values["process_open_fds{}"], values["go_threads{}"]}
}

// Slack of figures: a scrape and a call under way, and threads that the runtime
// keeps.
const (
	goroutinesSlack = 4
	fdsSlack        = 4
	threadsSlack    = 12
)

// wantBack waits until a daemon has no more of anything than it had.
func wantBack(t testing.TB, d *harness.Daemon, before figures) {
	t.Helper()
	var now figures
	defer func() { t.Logf("daemon: %+v, was %+v", now, before) }()
	harness.EventuallyEvery(t, 50*time.Millisecond, "goroutines, descriptors and threads as before", func() bool {
		now = look(d)
		return now.goroutines <= before.goroutines+goroutinesSlack && now.fds <= before.fds+fdsSlack && now.threads <= before.threads+threadsSlack
	})
}

// wantUnhurt checks that a daemon runs and has not panicked.
func wantUnhurt(t testing.TB, d *harness.Daemon) {
	t.Helper()
	if !d.Running() {
		t.Fatalf("the daemon is gone: %v\n%s", d.Err, d.Stderr)
	}
	if text := d.Stderr.String(); strings.Contains(text, "panic") || strings.Contains(text, "goroutine ") {
		t.Errorf("the daemon panicked:\n%s", text)
	}
}

// lastLine decodes the last line that a role printed.
func lastLine(t testing.TB, p *harness.Process, out any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(p.Stdout.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), out); err != nil {
		t.Fatalf("%q printed %q: %v", p.Cmd.Args, p.Stdout, err)
	}
}

// idleShare: of the windows of 100 ms one in so many may have gone by without
// progress, while a shared machine did something else.
const idleShare = 5

// wantProgress reads what the reader of a good ring says.
func wantProgress(t testing.TB, reader *harness.Process) progress {
	t.Helper()
	var p progress
	lastLine(t, reader, &p)
	if p.Records == 0 || p.Windows == 0 || p.Idle*idleShare > p.Windows {
		t.Errorf("the ring beside it: %+v, want progress in each window of %v", p, windowLong)
	}
	return p
}

// wantSome is wantProgress where the time does not count.
func wantSome(t testing.TB, reader *harness.Process) {
	t.Helper()
	var p progress
	if lastLine(t, reader, &p); p.Records == 0 {
		t.Error("the reader got nothing")
	}
}
