package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestMetricsTellWhatHappened makes a ring have a bit of everything.
func TestMetricsTellWhatHappened(t *testing.T) {
	p := newPlace(t, "[{name: md, capacity: 64KiB, demote_after: 20ms}]")
	d := p.Start()
	c := p.Dial()
	reader := func(name string, policy client.Policy) *client.Consumer {
		r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Name: name, Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	skip, slow := reader("skip", client.PolicySkip), reader("slow", client.PolicyDemote)
	p.Publish("md", numberedLines(3000)) // far more than the ring holds: slow is demoted
	lagging := reader("lagging", client.PolicyBlock)
	p.Publish("md", numberedLines(100))
	dropper := p.Feed(numberedLines(3000), "attach", "md", "--as", "producer", "--on-full", "drop", "-o", "json")
	dropper.Expect(0)
	dropped := summaryOf(dropper).Dropped
	for _, r := range []*client.Consumer{skip, slow} {
		drain(t, r)
	}
	var now client.Stats
	p.Object(&now, "stats", "md")
	ring := now.Rings[0]
	records := 3100 + 3000 - dropped
	if ring.Sequence != records || dropped == 0 || skip.Stats().Delivered+skip.Stats().MissedRecords != records {
		t.Fatalf("the ring tells %+v, the skip reader %+v; want %d records", ring, skip.Stats(), records)
	}
	values := d.Scrape()
	label := func(r *client.Consumer, name string) string {
		var slot, generation int
		if _, err := fmt.Sscanf(r.ID(), "md/c%d.%d", &slot, &generation); err != nil {
			t.Fatalf("id %q: %v", r.ID(), err)
		}
		return fmt.Sprintf("{name=%s,ring=md,role=consumer,slot=%d}", name, slot)
	}
	want := map[string]float64{
		"brokerd_build_info{version=" + harness.Version + "}": 1,
		"brokerd_ready{}":                                          1,
		"brokerd_rings{}":                                          1,
		"brokerd_attachments{}":                                    3,
		"brokerd_ring_published_records_total{ring=md}":            float64(records),
		"brokerd_ring_published_bytes_total{ring=md}":              float64(ring.Position),
		"brokerd_ring_capacity_bytes{ring=md}":                     64 << 10,
		"brokerd_ring_producers{ring=md}":                          0,
		"brokerd_ring_consumers{ring=md}":                          3,
		"brokerd_ring_dropped_records_total{ring=md}":              float64(dropped),
		"brokerd_ring_demotions_total{ring=md}":                    1,
		"brokerd_ring_gap_records_total{ring=md}":                  0,
		"brokerd_ring_occupancy_bytes{ring=md}":                    float64(ring.Position - lagging.Position()),
		"brokerd_control_requests_total{method=Attach,result=ok}":  6,
		"brokerd_attachment_position_bytes" + label(skip, "skip"):  float64(ring.Position),
		"brokerd_attachment_lag_bytes" + label(skip, "skip"):       0,
		"brokerd_attachment_lag_bytes" + label(lagging, "lagging"): float64(ring.Position - lagging.Position()),
		"brokerd_attachment_demotions_total" + label(slow, "slow"): 1,
		"brokerd_attachment_demotions_total" + label(skip, "skip"): 0,
	}
	for r, name := range map[*client.Consumer]string{skip: "skip", slow: "slow", lagging: "lagging"} {
		want["brokerd_attachment_missed_records_total"+label(r, name)] = float64(r.Stats().MissedRecords)
		want["brokerd_attachment_missed_bytes_total"+label(r, name)] = float64(r.Stats().MissedBytes)
	}
	for series, value := range want {
		if got, there := values[series]; !there || got != value {
			t.Errorf("%s: %v (there: %v), want %v", series, got, there, value)
		}
	}
	held := values["brokerd_ring_held_seconds_total{ring=md}"]
	if held < 0.02 || held != float64(ring.HeldNS)/float64(time.Second) {
		t.Errorf("held for %v s, stats say %v; at least demote_after, 20 ms, is expected", held, time.Duration(ring.HeldNS))
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := d.Get(path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// drain receives what is there, and waits a moment for more, as that is when a
// reader tells the others where it is.
func drain(t *testing.T, r *client.Consumer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for {
		_, err := r.Receive(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
