package main

import (
	"regexp"
	"strings"
	"testing"

	"brokerd/client"
)

// TestLinksWithoutGateway asks a daemon that has none.
func TestLinksWithoutGateway(t *testing.T) {
	h := newHost(t, "[]")
	if got := h.good("links").stdout; got != "no links: the configuration of brokerd has no gateway and no feeds\n" {
		t.Errorf("got %q", got)
	}
	if got := strings.Join(strings.Fields(h.good("links", "-o", "json").stdout), ""); got != `{"listen":"","links":[],"feeds":[],"refusals":[],"certificates":[]}` {
		t.Errorf("got %s", got)
	}
	var table, lines buffer
	one, two := h.start(nil, &table, "links", "--watch"), h.start(nil, &lines, "links", "--watch", "-o", "json")
	h.eventually("two tables", func() bool { return strings.Count(table.String(), "no links") == 2 })
	h.eventually("two lines", func() bool { return strings.Count(lines.String(), "\n") == 2 })
	one.cancel()
	two.cancel()
	if a, b := one.wait(), two.wait(); a != exitDone || b != exitDone {
		t.Errorf("exit codes %d and %d", a, b)
	}
	for line := range strings.Lines(lines.String()) {
		decodeStrict(t, line, &client.Links{})
	}
	three := h.start(nil, &buffer{}, "links", "--watch")
	h.kill()
	if code := three.wait(); code != exitUnreachable {
		t.Errorf("the daemon was killed: exit code %d", code)
	}
}

// TestLinksTables looks at a gateway with everything that there can be.
func TestLinksTables(t *testing.T) {
	mirror := client.Link{
		Peer: "chicago", Role: client.LinkRoleMirror, Ring: "md", Local: "md.chi", Address: "10.0.0.1:9465", State: client.LinkConnected, TLS: true,
		SinceNS: 1, Epoch: 5, Position: 6400, Sequence: 100, LagBytes: 1536, LagRecords: 24, RTTNS: 123_456,
		Reconnects: 2, Gaps: 1, GapRecords: 130, BytesIn: 5 << 20, BytesOut: 512, CRCErrors: 3,
	}
	reader := client.Link{Peer: "desk", Label: "book", Role: client.LinkRoleReader, Ring: "md", Local: "md", State: client.LinkWaiting, Reason: "no answer for 3s"}
	feed := client.FeedStatus{Name: "itch", Ring: "md", Direction: "in", Framing: "u16be", Address: "[::]:9000", State: "listening", Connections: 1, Frames: 50, Bytes: 2048, BadFrames: 4}
	before := client.Links{Links: []client.Link{mirror}, Feeds: []client.FeedStatus{feed}}
	mirror.Sequence, feed.Frames = 300, 60
	now := client.Links{
		Listen: "[::]:9465", Links: []client.Link{mirror, reader}, Feeds: []client.FeedStatus{feed},
		Refusals: []client.LinkRefusal{{Reason: "identity", Count: 7, LastNS: 1, Last: "10.0.0.9:4000: no peer is called mallory"}},
	}
	const time = `\S+ \S+`
	for _, tc := range []struct {
		before  *client.Links
		seconds float64
		rows    []string
	}{
		{nil, 0, []string{
			`listening on \[::\]:9465`,
			`chicago +mirror +md -> md.chi +connected +` + time + ` +10.0.0.1:9465 +yes +6400 +300 +- +1.5KiB +24 +123.46µs +2 +1 +130 +5MiB +512B +3 +-`,
			`desk.book +reader +md +waiting +` + time + ` +- +no +0 +0 +- +0B +0 +- +0 +0 +0 +0B +0B +0 +no answer for 3s`,
			`itch +md +in +u16be +\[::\]:9000 +listening +` + time + ` +1 +60 +- +2KiB +4 +0 +0 +-`,
			`identity +7 +` + time + ` +10.0.0.9:4000: no peer is called mallory`,
		}},
		{&before, 2, []string{`chicago .* +6400 +300 +100 +1.5KiB .*`, `desk.book .* +0 +0 +- +0B .*`, `itch .* +1 +60 +5 +2KiB .*`}},
	} {
		var out strings.Builder
		if err := printTable(&out, func(t *table) { linksTables(t, now, tc.before, tc.seconds) }); err != nil {
			t.Fatal(err)
		}
		for _, row := range tc.rows {
			if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(out.String()) {
				t.Errorf("no row %q in\n%s", row, out.String())
			}
		}
	}
}

func TestPeerOf(t *testing.T) {
	for want, l := range map[string]client.Link{
		"": {}, "b": {Peer: "b"}, "x": {Label: "x"}, "b.x": {Peer: "b", Label: "x"},
	} {
		if got := peerOf(l); got != want {
			t.Errorf("%+v: got %q, want %q", l, got, want)
		}
	}
}

// TestRingOfAnotherHost shows what a ring mirrors, and what is wrong with it.
func TestRingOfAnotherHost(t *testing.T) {
	mirror := client.Ring{Name: "md.chi", Mirror: &client.MirrorOf{Peer: "chicago", Ring: "md"}}
	var out strings.Builder
	err := printTable(&out, func(t *table) {
		ringRows(t, []client.Ring{mirror})
		t.gap()
		detailRows(t, client.RingDetails{Ring: mirror, Problems: []string{"md.chi/p0.1 holds a claim"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{`md.chi .* mirror of md on chicago`, `config +mirror of md on chicago`, `problem +md.chi/p0.1 holds a claim`} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(out.String()) {
			t.Errorf("no row %q in\n%s", row, out.String())
		}
	}
}
