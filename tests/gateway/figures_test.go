package gateway

import (
	"fmt"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestMetricsOfLinks scrapes both ends of a link, and of one that is down.
func TestMetricsOfLinks(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]", peers: []string{"{name: b}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", silent: true, more: []string{"dead_after: 500ms"},
		peers: []string{a.asPeer("[{ring: md, as: md-a}]"), `{name: z, address: "127.0.0.1:1", mirror: [none]}`}})
	b.waitLink("a", client.LinkRoleMirror, "md-a", client.LinkConnected)
	const n = 50
	a.Publish("md", lines(0, n))
	b.waitCaughtUp("md-a", a, "md")
	position := float64(harness.RingStats(t, a.client, "md").Position)

	const mirror, export = "{origin=md,peer=a,ring=md-a,role=mirror%s}", "{origin=md,peer=b,ring=md,role=export%s}"
	for end, h := range map[string]*host{mirror: b, export: a} {
		plain := fmt.Sprintf(end, "")
		var got map[string]float64
		harness.Eventually(t, "the figures of "+plain+" settle", func() bool {
			got = h.Scrape()
			return got["brokerd_link_position_bytes"+plain] == position && got["brokerd_link_rtt_seconds"+plain] > 0
		})
		for series, want := range map[string]float64{
			"brokerd_link_state" + fmt.Sprintf(end, ",state=connected"): 1, "brokerd_link_state" + fmt.Sprintf(end, ",state=waiting"): 0,
			"brokerd_link_lag_bytes" + plain: 0, "brokerd_link_lag_records" + plain: 0, "brokerd_link_reconnects_total" + plain: 0,
			"brokerd_link_gaps_total" + plain: 0, "brokerd_link_gap_records_total" + plain: 0, "brokerd_link_crc_errors_total" + plain: 0,
		} {
			if value, there := got[series]; !there || value != want {
				t.Errorf("%s is %v (there: %v), want %v", series, value, there, want)
			}
		}
		moved := got["brokerd_link_received_bytes_total"+plain] + got["brokerd_link_sent_bytes_total"+plain]
		if moved < position || got["brokerd_link_state_since_timestamp_seconds"+plain] < 1.7e9 || got["brokerd_link_rtt_seconds"+plain] > 5 {
			t.Errorf("%s: %v bytes moved of %v, since %v, round trip %v", plain, moved, position,
				got["brokerd_link_state_since_timestamp_seconds"+plain], got["brokerd_link_rtt_seconds"+plain])
		}
	}
	if down := b.Scrape()["brokerd_link_state{origin=none,peer=z,ring=none,role=mirror,state=connected}"]; down != 0 {
		t.Errorf("a link to nobody is connected: %v", down)
	}

	a.Kill()
	harness.Eventually(t, "b notices that a is gone", func() bool {
		got := b.Scrape()
		state := func(s string) float64 { return got["brokerd_link_state"+fmt.Sprintf(mirror, ",state="+s)] }
		return state("connected") == 0 && state("connecting")+state("waiting") == 1
	})
}

// TestLinksVerb looks at what brokerctl links shows of both ends.
func TestLinksVerb(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]", peers: []string{"{name: b}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", silent: true, peers: []string{a.asPeer("[{ring: md, as: md-a}]")}})
	b.waitLink("a", client.LinkRoleMirror, "md-a", client.LinkConnected)
	wantIn(t, "brokerctl links of a", a.Output("links"), a.address, "export", "md", "b", "connected")
	wantIn(t, "brokerctl links of b", b.Output("links"), a.address, "mirror", "md -> md-a", "connected")
	var links client.Links
	b.Object(&links, "links")
	if len(links.Links) != 1 || links.Links[0].Local != "md-a" || links.Listen != "" {
		t.Errorf("brokerctl links -o json: %+v", links)
	}
	wantIn(t, "brokerctl ring list of b", b.Output("ring", "list"), "md-a", "mirror of md on a")
}

// TestPlainLinksAreWarnedAbout listens on every address without TLS.
func TestPlainLinksAreWarnedAbout(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", listen: "0.0.0.0:0"})
	const key = "gateway.listen 0.0.0.0:"
	problem := func() string {
		s, err := a.client.Status(harness.Bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(s.Problems, "\n")
	}
	wantIn(t, "the status", problem(), key, "tls: off", "loopback")
	warned := func() int { return strings.Count(a.Stderr.String(), key) }
	if warned() != 1 {
		t.Errorf("the log of the start has %d warnings, want 1:\n%s", warned(), a.Stderr)
	}
	if got := a.Scrape()["brokerd_problems{}"]; got != 1 {
		t.Errorf("brokerd_problems is %v", got)
	}
	a.reload()
	harness.Eventually(t, "the log has the reload", func() bool { return a.Logged("reloaded") != nil })
	if warned() != 2 {
		t.Errorf("the log after a reload has %d warnings, want 2:\n%s", warned(), a.Stderr)
	}
}

// TestDefaultHasNoGateway starts the shipped configuration.
func TestDefaultHasNoGateway(t *testing.T) {
	t.Parallel()
	d := harness.NewPlace(t, binaries, mdRing).Start()
	if fields := d.Logged("gateway listens"); fields != nil {
		t.Errorf("a daemon without a gateway listens: %v", fields)
	}
	links, err := d.Dial().Links(harness.Bounded(t))
	if err != nil || links.Listen != "" || len(links.Links)+len(links.Feeds)+len(links.Refusals) != 0 {
		t.Errorf("its links: %+v, %v", links, err)
	}
	wantIn(t, "brokerctl links", d.Output("links"), "no gateway")
}
