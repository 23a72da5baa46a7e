package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// start starts the daemon of h again, where it was.
func (h *host) start() {
	h.t.Helper()
	h.edit(h.rings, func(*gatewayKeys) {})
	h.Daemon = h.Place.Start()
	h.client = h.Dial()
}

// TestKilledDaemonsGoOn kills first the one and then the other end of a link.
// The ring holds all that is published meanwhile, so nothing may be missing.
func TestKilledDaemonsGoOn(t *testing.T) {
	secured(t, func(t *testing.T, keys func(string) string) {
		a := startHost(t, mdRing, gatewayKeys{name: "a", tls: keys("a"), export: "[md]", peers: []string{"{name: b}"}})
		b := startHost(t, "[]", gatewayKeys{name: "b", tls: keys("b"), silent: true, peers: []string{a.asPeer("[md]")}})
		b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
		const part = 200
		a.Publish("md", lines(0, part))
		b.waitCaughtUp("md", a, "md")

		a.Kill()
		a.start()
		a.Publish("md", lines(part, part))
		b.waitCaughtUp("md", a, "md")
		if l := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); l.Reconnects != 1 || l.Gaps != 0 {
			t.Errorf("after the origin was killed: %+v", l)
		}

		b.Kill()
		a.Publish("md", lines(2*part, part))
		b.start()
		b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
		b.waitCaughtUp("md", a, "md")
		a.Publish("md", lines(3*part, part))
		b.waitCaughtUp("md", a, "md")
		if got := b.read("md", 4*part); got != lines(0, 4*part) {
			t.Errorf("the mirror reads %d bytes, want the %d of the origin in their order", len(got), len(lines(0, 4*part)))
		}
		if l := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); l.Gaps != 0 || l.GapRecords != 0 {
			t.Errorf("nothing was lost, and the link says %+v", l)
		}
	})
}

// TestOutageBecomesAGap publishes more than the ring holds while the mirror is
// away. A reader of the mirror that was there all the time, and its link, count
// the same, and nothing else is missing.
func TestOutageBecomesAGap(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]", peers: []string{"{name: b}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", silent: true, peers: []string{a.asPeer("[{ring: md, policy: skip}]")}})
	b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	reader, err := b.client.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{From: client.FromOldest(), Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	const before, away, after = 100, 6000, 50
	var received []string
	catchUp := func() {
		t.Helper()
		harness.Eventually(t, "the reader has all of the origin", func() bool {
			received = append(received, drain(t, reader)...)
			return reader.Sequence() == harness.RingStats(t, a.client, "md").Sequence
		})
	}
	a.Publish("md", lines(0, before))
	catchUp()
	b.Kill()
	a.Publish("md", lines(before, away))
	b.start()
	catchUp()
	a.Publish("md", lines(before+away, after))
	catchUp()

	lost := before + away + after - len(received)
	want := append(strings.Split(lines(0, before), "\n")[:before], strings.Split(lines(before+lost, away+after-lost), "\n")...)
	if lost < away/2 || strings.Join(received, "\n")+"\n" != strings.Join(want, "\n") {
		t.Errorf("the reader got %d records, not all but one run of them", len(received))
	}
	l := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	if stats := reader.Stats(); l.Gaps != 1 || int(l.GapRecords) != lost || int(stats.GapRecords) != lost || stats.MissedRecords != 0 {
		t.Errorf("%d records are lost, the link says %d in %d gaps, the reader %+v", lost, l.GapRecords, l.Gaps, stats)
	}
	const series = "{origin=md,peer=a,ring=md,role=mirror}"
	got := b.Scrape()
	if got["brokerd_link_gaps_total"+series] != 1 || got["brokerd_link_gap_records_total"+series] != float64(lost) {
		t.Errorf("the metrics count %v gaps of %v records", got["brokerd_link_gaps_total"+series], got["brokerd_link_gap_records_total"+series])
	}
	wantIn(t, "the log", b.Stderr.String(), "gap", `"ring":"md"`, fmt.Sprint(lost))
}

// drain reads what is there.
func drain(t *testing.T, r *client.Consumer) (records []string) {
	t.Helper()
	for {
		record, err := r.TryReceive()
		if errors.Is(err, client.ErrEmpty) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, string(record.Payload))
	}
}

// TestRingMadeAnew removes the ring at the origin and makes it again: the mirror
// follows to the new epoch.
func TestRingMadeAnew(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]"})
	b := startHost(t, "[]", gatewayKeys{name: "b", silent: true, peers: []string{a.asPeer("[md]")}})
	b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	a.Publish("md", lines(0, 10))
	b.waitCaughtUp("md", a, "md")
	reader := b.Ctl("attach", "md", "--as", "consumer", "--from", "oldest")
	reader.WaitSaid("record 9")
	a.Output("ring", "rm", "md", "--force")
	a.reload() // makes it again
	harness.Eventually(t, "the mirror has the new epoch", func() bool {
		rings, err := b.client.Rings(harness.Bounded(t))
		return err == nil && len(rings) == 1 && rings[0].Epoch == ringOf(t, a, "md").Epoch
	})
	if code := reader.Wait(); code == 0 || !strings.Contains(reader.Stderr.String(), "md") {
		t.Errorf("a reader of the mirror ends with %d and says %q", code, reader.Stderr)
	}
	a.Publish("md", lines(100, 10))
	if got := b.read("md", 10); got != lines(100, 10) {
		t.Errorf("the mirror of the new ring reads\n%s", got)
	}
}
