package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func sample() Snapshot {
	return Snapshot{
		Ready: true, MemoryBytes: 4096, MemoryBytesMax: 8192, RingsMax: 256, AttachmentsMax: 4096,
		Connections: 3, ConnectionsMax: 5, Adoptions: 6, Repairs: 7, Quarantined: 8, Problems: 9, QuarantinedBytes: 61, Retired: 62,
		Refused:   map[string]uint64{"limits.rings": 60, "open_files": 0},
		ReloadsOK: 3, ReloadsFailed: 4, LastReloadNanos: 1_700_000_000_500_000_000,
		Users: []User{
			{UID: 1001, MemoryBytes: 31, MemoryBytesMax: 32, Attachments: 33, AttachmentsMax: 34, Connections: 35, ConnectionsMax: 36},
			{UID: 4294967294, Attachments: 1},
		},
		Rings: []Ring{
			{Name: "md", Live: true, PublishedRecords: 10, PublishedBytes: 11, CapacityBytes: 12, OccupancyBytes: 13,
				Producers: 1, Consumers: 2, GapRecords: 14, HeldNanos: 1_500_000_000, DroppedRecords: 16, Demotions: 17},
			{Name: "bad"},
		},
		Attachments: []Attachment{
			{Ring: "md", Name: "top", Role: "consumer", Slot: 0, State: "attached", PositionBytes: 20, LagBytes: 21, MissedRecords: 22, MissedBytes: 23, ChecksumErrors: 25, Demoted: true},
			{Ring: "md", Role: "producer", Slot: 0, State: "detached", PositionBytes: 24},
			{Ring: "md", Name: "bottom", Role: "consumer", Slot: 1, State: "resumable"},
		},
		Links: []Link{
			{Peer: "b", Role: "mirror", Ring: "md-b", Origin: "md", State: "connected", SinceNanos: 1_500_000_000, PositionBytes: 40, LagBytes: 41,
				LagRecords: 42, RTTNanos: 250_000_000, Reconnects: 43, Gaps: 44, GapRecords: 45, BytesIn: 46, BytesOut: 47, CRCErrors: 48},
			{Peer: "c", Role: "export", Ring: "md", Origin: "md", State: "waiting"},
		},
		RemoteClients: []RemoteClients{{Ring: "md", Role: "reader", Count: 49}},
		Refusals:      []Refusal{{Reason: "identity", Count: 50}},
		Certificates:  []Certificate{{File: "a.pem", NotAfterNanos: 1_800_000_000_000_000_000}},
		Feeds: []Feed{
			{Name: "x", Ring: "md", Direction: "in", State: "listening", SinceNanos: 2_500_000_000, Connections: 51,
				Frames: 52, Bytes: 53, BadFrames: 54, Reconnects: 55, Dropped: 56},
			{Name: "y", Ring: "md", Direction: "out", State: "novel"},
		},
	}
}

func testHandler(t *testing.T, source Source, logged io.Writer) (http.Handler, *Requests) {
	t.Helper()
	requests := NewRequests([]string{"Attach"})
	h, err := Handler(Options{Version: "v1.2.3", Source: source, Requests: requests, ErrorLog: log.New(logged, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	return h, requests
}

// scrape returns the values of one scrape by the text of its series.
func scrape(t *testing.T, h http.Handler) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: status %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatalf("scrape does not parse: %v", err)
	}
	values := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			labels := make([]string, 0, len(m.Label))
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%s", l.GetName(), l.GetValue()))
			}
			values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestScrapeShowsTheSnapshot(t *testing.T) {
	h, requests := testHandler(t, func() (Snapshot, error) { return sample(), nil }, io.Discard)
	requests.Count("Attach", "ok")
	requests.Count("Attach", "ok")
	requests.Count("invented", "MethodNotFound")
	const top, producer = "{name=top,ring=md,role=consumer,slot=0}", "{name=,ring=md,role=producer,slot=0}"
	const link, feed = "{origin=md,peer=b,ring=md-b,role=mirror}", "{direction=in,feed=x,ring=md}"
	want := map[string]float64{
		"brokerd_build_info{version=v1.2.3}": 1, "brokerd_ready{}": 1,
		"brokerd_memory_bytes{}": 4096, "brokerd_memory_limit_bytes{}": 8192,
		"brokerd_rings{}": 2, "brokerd_rings_limit{}": 256,
		"brokerd_attachments{}": 3, "brokerd_attachments_limit{}": 4096,
		"brokerd_connections{}": 3, "brokerd_connections_limit{}": 5,
		"brokerd_control_requests_total{method=Attach,result=ok}":            2,
		"brokerd_control_requests_total{method=other,result=MethodNotFound}": 1,
		"brokerd_adoptions_total{}":                                          6, "brokerd_repairs_total{}": 7,
		"brokerd_refusals_total{limit=limits.rings}": 60, "brokerd_refusals_total{limit=open_files}": 0,
		"brokerd_quarantined_rings{}": 8, "brokerd_quarantined_bytes{}": 61, "brokerd_rings_retired_total{}": 62, "brokerd_problems{}": 9,
		"brokerd_config_reloads_total{result=ok}": 3, "brokerd_config_reloads_total{result=failed}": 4,
		"brokerd_config_last_reload_success_timestamp_seconds{}": 1_700_000_000.5,
		"brokerd_uid_memory_bytes{uid=1001}":                     31, "brokerd_uid_memory_limit_bytes{uid=1001}": 32,
		"brokerd_uid_attachments{uid=1001}": 33, "brokerd_uid_attachments_limit{uid=1001}": 34,
		"brokerd_uid_connections{uid=1001}": 35, "brokerd_uid_connections_limit{uid=1001}": 36,
		"brokerd_uid_memory_bytes{uid=4294967294}": 0, "brokerd_uid_attachments{uid=4294967294}": 1,
		"brokerd_ring_live{ring=md}": 1, "brokerd_ring_live{ring=bad}": 0,
		"brokerd_ring_published_records_total{ring=md}": 10, "brokerd_ring_published_bytes_total{ring=md}": 11,
		"brokerd_ring_capacity_bytes{ring=md}": 12, "brokerd_ring_occupancy_bytes{ring=md}": 13,
		"brokerd_ring_producers{ring=md}": 1, "brokerd_ring_consumers{ring=md}": 2,
		"brokerd_ring_attachments{ring=md,role=consumer,state=attached}": 1, "brokerd_ring_attachments{ring=md,role=consumer,state=detached}": 0,
		"brokerd_ring_attachments{ring=md,role=consumer,state=resumable}": 1, "brokerd_ring_attachments{ring=md,role=producer,state=detached}": 1,
		"brokerd_ring_attachments{ring=bad,role=consumer,state=resumable}": 0,
		"brokerd_ring_gap_records_total{ring=md}":                          14, "brokerd_ring_held_seconds_total{ring=md}": 1.5,
		"brokerd_ring_dropped_records_total{ring=md}": 16, "brokerd_ring_demotions_total{ring=md}": 17,
		"brokerd_attachment_position_bytes" + top: 20, "brokerd_attachment_position_bytes" + producer: 24,
		"brokerd_attachment_lag_bytes" + top: 21, "brokerd_attachment_missed_records_total" + top: 22,
		"brokerd_attachment_checksum_errors_total" + top: 25, "brokerd_attachment_missed_bytes_total" + top: 23, "brokerd_attachment_demotions_total" + top: 1,
		"brokerd_attachment_demotions_total" + producer: 0,

		"brokerd_link_state{origin=md,peer=b,ring=md-b,role=mirror,state=connected}": 1, "brokerd_link_state{origin=md,peer=b,ring=md-b,role=mirror,state=waiting}": 0,
		"brokerd_link_state{origin=md,peer=c,ring=md,role=export,state=connected}": 0, "brokerd_link_state{origin=md,peer=c,ring=md,role=export,state=waiting}": 1,
		"brokerd_link_state_since_timestamp_seconds" + link: 1.5, "brokerd_link_position_bytes" + link: 40,
		"brokerd_link_lag_bytes" + link: 41, "brokerd_link_lag_records" + link: 42, "brokerd_link_rtt_seconds" + link: 0.25,
		"brokerd_link_reconnects_total" + link: 43, "brokerd_link_gaps_total" + link: 44, "brokerd_link_gap_records_total" + link: 45,
		"brokerd_link_received_bytes_total" + link: 46, "brokerd_link_sent_bytes_total" + link: 47, "brokerd_link_crc_errors_total" + link: 48,
		"brokerd_remote_clients{ring=md,role=reader}": 49, "brokerd_refused_handshakes_total{reason=identity}": 50,
		"brokerd_certificate_not_after_timestamp_seconds{file=a.pem}":     1_800_000_000,
		"brokerd_feed_state{direction=in,feed=x,ring=md,state=listening}": 1, "brokerd_feed_state{direction=in,feed=x,ring=md,state=connected}": 0,
		"brokerd_feed_state{direction=out,feed=y,ring=md,state=novel}": 1, "brokerd_feed_state{direction=out,feed=y,ring=md,state=listening}": 0,
		"brokerd_feed_state_since_timestamp_seconds" + feed: 2.5, "brokerd_feed_connections" + feed: 51, "brokerd_feed_frames_total" + feed: 52,
		"brokerd_feed_bytes_total" + feed: 53, "brokerd_feed_bad_frames_total" + feed: 54, "brokerd_feed_reconnects_total" + feed: 55,
		"brokerd_feed_dropped_total" + feed: 56,
	}
	got := scrape(t, h)
	for series, value := range want {
		if g, there := got[series]; !there || g != value {
			t.Errorf("%s: got %v (there: %v), want %v", series, g, there, value)
		}
	}
	for _, limit := range []string{"memory_limit_bytes", "attachments_limit", "connections_limit"} {
		if v, there := got["brokerd_uid_"+limit+"{uid=4294967294}"]; there {
			t.Errorf("a user without a quota has brokerd_uid_%s %v", limit, v)
		}
	}
	for _, f := range table() { // a new row without an expectation above fails
		covered := false
		for series := range want {
			covered = covered || strings.HasPrefix(series, f.name+"{")
		}
		if !covered {
			t.Errorf("%s is not tested", f.name)
		}
	}
	if _, there := got["go_goroutines{}"]; !there {
		t.Error("no metrics of the Go runtime")
	}
	if _, there := got["process_open_fds{}"]; !there {
		t.Error("no metrics of the process")
	}
}

func TestNamesAndTypesPassPromlint(t *testing.T) {
	requests := NewRequests(nil)
	requests.Count("x", "ok")
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(Options{Source: func() (Snapshot, error) { return sample(), nil }, Requests: requests}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(table()) {
		t.Errorf("%d families gathered, the table has %d", len(families), len(table()))
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range table() {
		if !strings.HasPrefix(f.name, "brokerd_") {
			t.Errorf("%s: no prefix brokerd_", f.name)
		}
	}
}

func TestFailedSourceShowsNoFigures(t *testing.T) {
	var logged bytes.Buffer
	h, _ := testHandler(t, func() (Snapshot, error) { return Snapshot{}, errors.New("broker is closed") }, &logged)
	got := scrape(t, h)
	for series := range got {
		if strings.HasPrefix(series, "brokerd_") {
			t.Errorf("%s is shown though the source failed", series)
		}
	}
	if _, there := got["go_goroutines{}"]; !there {
		t.Error("the rest of the scrape is missing")
	}
	if !strings.Contains(logged.String(), "broker is closed") {
		t.Errorf("the log does not say why: %q", logged.String())
	}
}

func TestBadLabelCostsOneSeriesOnly(t *testing.T) {
	s := sample()
	s.Rings[1].Name = "\xff"
	h, _ := testHandler(t, func() (Snapshot, error) { return s, nil }, io.Discard)
	if got := scrape(t, h); got["brokerd_ring_live{ring=md}"] != 1 {
		t.Error("a bad name of one ring hides another ring")
	}
}

func TestRequestsAtAndPastTheLimit(t *testing.T) {
	r := NewRequests([]string{"m"})
	for i := range resultsMax + 2 {
		r.Count("m", fmt.Sprint("result", i))
	}
	r.Count("m", "result0") // known results go on after the limit
	series, inOther := 0, 0.0
	r.each(func(v float64, labels ...string) {
		series++
		if labels[1] == other {
			inOther = v
		}
		if labels[1] == "result0" && v != 2 {
			t.Errorf("result0 counted %v times, want 2", v)
		}
	})
	if series != resultsMax+1 || inOther != 2 {
		t.Errorf("%d series with %v in other, want %d with 2", series, inOther, resultsMax+1)
	}
}

func TestScrapesAtAndPastTheLimit(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h, _ := testHandler(t, func() (Snapshot, error) {
		entered <- struct{}{}
		<-release
		return sample(), nil
	}, io.Discard)
	codes := make(chan int, scrapesMax)
	get := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	var scrapes sync.WaitGroup
	for range scrapesMax {
		scrapes.Go(func() { codes <- get() })
		<-entered
	}
	if code := get(); code != http.StatusServiceUnavailable {
		t.Errorf("scrape %d: status %d, want 503", scrapesMax+1, code)
	}
	close(release)
	scrapes.Wait()
	for range scrapesMax {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a scrape within the limit: status %d", code)
		}
	}
}
