package prometheus

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestRecordsAndReaders asks what a ring has carried and how its readers are.
func TestRecordsAndReaders(t *testing.T) {
	t.Parallel()
	d := harness.NewPlace(t, binaries, "[{name: md, capacity: 64KiB}]").Start()
	s := watch(t, d)
	c := d.Dial()
	skip, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Name: "skip", Policy: client.PolicySkip})
	if err != nil {
		t.Fatal(err)
	}
	const most = 3000 // far more than the ring holds: skip is overrun
	feed := producer(t, c, "md")
	publish(t, feed, most)
	drain(t, skip)
	stopped := play(t, d.Role("reader", "md", "skip", "stopped"))
	harness.Eventually(t, "the reader has read all", func() bool { return lagOf(t, c, "stopped") == 0 })
	stopped.Stop()
	before := harness.RingStats(t, c, "md").Position
	const rest = 100 // all of them fit
	publish(t, feed, rest)
	behind := harness.RingStats(t, c, "md").Position - before
	if behind < rest*recordBytes || skip.Stats().MissedRecords == 0 {
		t.Fatalf("%d bytes were published, the skip reader missed %d records: that shows nothing", behind, skip.Stats().MissedRecords)
	}

	s.expect(`brokerd_ring_published_records_total{ring="md"}`, most+rest)
	s.expect(`brokerd_ring_published_bytes_total{ring="md"}`, float64(before+behind))
	s.expect(`brokerd_attachment_lag_bytes{ring="md", name="stopped", role="consumer"}`, float64(behind))
	s.expect(`brokerd_attachment_missed_records_total{ring="md", name="skip"}`, float64(skip.Stats().MissedRecords))
	s.expect(`brokerd_attachment_missed_records_total{ring="md", name="stopped"}`, 0)
	s.expect(`sum by (ring) (brokerd_ring_attachments{state="attached"})`, 3)
	s.expect(`brokerd_ring_producers`, 1)
	s.expect(`brokerd_build_info{version="`+harness.Version+`"}`, 1)

	// A rate needs two scrapes with something in between.
	s.expectThat(`rate(brokerd_ring_published_records_total{ring="md"}[10s])`, "above 0", func(v float64) bool {
		publish(t, feed, 1)
		return v > 0
	})
	stopped.Resume()
	s.expect(`brokerd_attachment_lag_bytes{ring="md", name="stopped", role="consumer"}`, 0)
	stopped.Kill()
	s.expect(`brokerd_ring_consumers{ring="md"}`, 1)
	d.Kill()
	s.expect(`up{job="brokerd"}`, 0)
}

func lagOf(t testing.TB, c *client.Client, name string) uint64 {
	t.Helper()
	for _, a := range harness.Attachments(t, c, "") {
		if a.Name == name {
			return a.LagBytes
		}
	}
	t.Fatalf("%s is not attached", name)
	return 0
}

// drain receives what is there.
func drain(t testing.TB, r *client.Consumer) {
	t.Helper()
	for {
		switch _, err := r.TryReceive(); {
		case errors.Is(err, client.ErrEmpty):
			return
		case err != nil:
			t.Fatal(err)
		}
	}
}

// TestWhatWentWrong makes a gap, a damaged record, a kept cursor and a demotion,
// and looks for each, and for the alerts about them.
func TestWhatWentWrong(t *testing.T) {
	t.Parallel()
	d := harness.NewPlace(t, binaries, `
- {name: many, capacity: 64KiB, producers: many}
- {name: checked, capacity: 64KiB, checksum: true}
- {name: kept, capacity: 64KiB, resume_for: 1m}
- {name: slow, capacity: 64KiB, demote_after: 20ms}`).Start()
	s := watch(t, d)
	c := d.Dial()
	s.expect(`sum(brokerd_ring_gap_records_total)`, 0) // the counters have been seen at rest: an increase is one

	play(t, d.Role("unfinished record", "many")).Kill()
	damaged(t, d.Place, c)
	play(t, d.Role("reader", "kept", "demote", "risk")).Kill()
	if _, err := c.Consumer(harness.Bounded(t), "slow", client.ConsumerOptions{Name: "asleep"}); err != nil {
		t.Fatal(err)
	}
	publish(t, producer(t, c, "slow"), 3000)

	s.expect(`brokerd_ring_gap_records_total{ring="many"}`, 1)
	s.expect(`brokerd_repairs_total`, 1)
	s.expect(`brokerd_attachment_checksum_errors_total{ring="checked", name="checker"}`, 1)
	s.expect(`brokerd_ring_attachments{ring="kept", role="consumer", state="resumable"}`, 1)
	s.expect(`brokerd_ring_attachments{ring="kept", role="consumer", state="attached"}`, 0)
	s.expect(`sum(brokerd_ring_attachments{state="resumable"})`, 1)
	s.expect(`brokerd_ring_demotions_total{ring="slow"}`, 1)
	s.expect(`brokerd_attachment_demotions_total{ring="slow", name="asleep"}`, 1)
	s.expectThat(`brokerd_ring_held_seconds_total{ring="slow"}`, "at least demote_after", func(v float64) bool { return v >= 0.02 })

	s.expect(`ALERTS{alertname="BrokerdGaps", alertstate="firing", ring="many", severity="warning"}`, 1)
	s.expect(`ALERTS{alertname="BrokerdChecksumErrors", alertstate="firing", ring="checked", severity="critical"}`, 1)
	s.expect(`ALERTS{alertname="BrokerdReaderDemoted", alertstate="firing", ring="slow"}`, 1)
}

// damaged publishes a record into the ring checked, changes a byte of it behind
// everybody's back, as the daemon's user can, and has a reader find it.
func damaged(t *testing.T, p harness.Place, c *client.Client) {
	t.Helper()
	r, err := c.Consumer(harness.Bounded(t), "checked", client.ConsumerOptions{Name: "checker"})
	if err != nil {
		t.Fatal(err)
	}
	w := producer(t, c, "checked")
	publish(t, w, 1)
	path := filepath.Join(p.Dir, "checked", "data")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte(strings.Repeat("x", recordBytes)))
	if at < 0 {
		t.Fatalf("the record is not in %s", path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("y"), int64(at)); err != nil {
		t.Fatal(err)
	}
	var wrong *client.ChecksumError
	if _, err := r.Receive(harness.Bounded(t)); !errors.As(err, &wrong) {
		t.Fatalf("got %v, want an error of the checksum", err)
	}
	publish(t, w, 1)
	drain(t, r) // it tells its counters when nothing is left
}

// TestUsersAndQuotas has one user at its quota, and root, which has none.
func TestUsersAndQuotas(t *testing.T) {
	t.Parallel()
	harness.NeedRoot(t, "to act as another user")
	const uid = 1001
	d := harness.NewPlace(t, binaries, `[{name: md, capacity: 64KiB, allow: {consume: {users: ["1001"]}}}]`,
		"limits: {per_uid: {memory: 1MiB, attachments: 1, connections: 4}}").Start()
	s := watch(t, d)
	c := d.Dial()
	producer(t, c, "md")
	as := func(name string) *harness.Process {
		return harness.Launch(t, harness.AsUser(d.Role("reader", "md", "skip", name), uid, uid))
	}
	as("one").WaitSaid(sayReady)
	as("second").Expect(1)
	status, err := c.Status(harness.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}

	s.expect(`brokerd_uid_attachments / brokerd_uid_attachments_limit`, 1)
	s.expect(`brokerd_uid_attachments{uid="1001"}`, 1)
	s.expect(`brokerd_uid_connections{uid="1001"}`, 1)
	s.expect(`brokerd_uid_connections_limit{uid="1001"}`, 4)
	s.expect(`brokerd_uid_memory_limit_bytes{uid="1001"}`, 1<<20)
	s.expect(`brokerd_uid_memory_bytes{uid="0"}`, float64(status.MemoryBytes))
	s.expect(`count(brokerd_uid_memory_limit_bytes{uid="0"}) or vector(0)`, 0)
	s.expect(`brokerd_control_requests_total{method="Attach", result="LimitExceeded"}`, 1)
}

// TestReloads reloads a good file and a bad one.
func TestReloads(t *testing.T) {
	t.Parallel()
	const ring = "[{name: md, capacity: 64KiB}]"
	d := harness.NewPlace(t, binaries, ring).Start()
	s := watch(t, d)
	s.expect(`sum(brokerd_config_reloads_total)`, 0)
	s.expect(`brokerd_config_last_reload_success_timestamp_seconds`, 0)
	s.expect(`brokerd_rings`, 1)

	d.Configure("[{name: md, capacity: 64KiB}, {name: more, capacity: 64KiB}]")
	before := float64(time.Now().UnixNano()) / float64(time.Second)
	d.Signal(syscall.SIGHUP)
	s.expect(`brokerd_config_reloads_total{result="ok"}`, 1)
	s.expect(`brokerd_rings`, 2)
	s.expectThat(`brokerd_config_last_reload_success_timestamp_seconds`, "a moment ago", func(v float64) bool {
		return v >= before-0.001 && v <= float64(time.Now().UnixNano())/float64(time.Second)
	})

	d.Configure(ring, "limts: {}")
	d.Signal(syscall.SIGHUP)
	s.expect(`brokerd_config_reloads_total{result="failed"}`, 1)
	s.expect(`brokerd_config_reloads_total{result="ok"}`, 1)
	s.expect(`brokerd_rings`, 2)
	s.expect(`ALERTS{alertname="BrokerdReloadFailed", alertstate="firing"}`, 1)
}
