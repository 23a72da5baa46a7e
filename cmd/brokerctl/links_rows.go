package main

import (
	"fmt"
	"strings"
	"time"

	"brokerd/client"
)

// linksTables prints what the gateway does, with the rates of the seconds since
// before unless that is nil.
func linksTables(t *table, now client.Links, before *client.Links, seconds float64) {
	since := client.Links{}
	if before != nil {
		since = *before
	}
	switch {
	case now.Listen != "":
		t.lines([]string{"listening on " + now.Listen})
	case len(now.Links)+len(now.Feeds) == 0:
		t.lines([]string{"no links: the configuration of brokerd has no gateway and no feeds"})
	}
	if len(now.Links) > 0 {
		linkRows(t, now.Links, since.Links, seconds)
	}
	if len(now.Feeds) > 0 {
		t.gap()
		feedRows(t, now.Feeds, since.Feeds, seconds)
	}
	if len(now.Certificates) > 0 {
		t.gap()
		t.row("CERTIFICATE", "NAMES", "VALID_UNTIL", "DAYS_LEFT")
		for _, c := range now.Certificates {
			t.row(c.File, strings.Join(c.Names, ","), clock(c.NotAfterNS), daysLeft(c.NotAfterNS, time.Now()))
		}
	}
	if len(now.Refusals) > 0 {
		t.gap()
		t.row("REFUSED", "HANDSHAKES", "LAST", "WHY")
		for _, r := range now.Refusals {
			t.row(r.Reason, r.Count, clock(r.LastNS), r.Last)
		}
	}
}

// daysLeft is how many whole days lie before a time, negative behind it.
func daysLeft(ns int64, now time.Time) int { return int(time.Unix(0, ns).Sub(now) / (24 * time.Hour)) }

func linkRows(t *table, links, since []client.Link, seconds float64) {
	t.row("PEER", "ROLE", "RING", "STATE", "SINCE", "ADDRESS", "TLS", "POSITION", "RECORDS", "RECORDS/S", "LAG", "LAG_RECORDS",
		"RTT", "RECONNECTS", "GAPS", "LOST", "IN", "OUT", "CRC_ERRORS", "NOTE")
	for _, l := range links {
		old := earlier(since, func(o client.Link) bool {
			return o.Peer == l.Peer && o.Role == l.Role && o.Local == l.Local && o.ID == l.ID && o.Epoch == l.Epoch
		})
		records := ""
		if old != nil {
			records = rate(l.Sequence, old.Sequence, seconds)
		}
		t.row(peerOf(l), l.Role, ringOf(l), l.State, clock(l.SinceNS), l.Address, yesNo(l.TLS), l.Position, l.Sequence, records,
			roughSize(l.LagBytes), l.LagRecords, rtt(l), l.Reconnects, l.Gaps, l.GapRecords,
			roughSize(l.BytesIn), roughSize(l.BytesOut), l.CRCErrors, l.Reason)
	}
}

// peerOf is the other side: a peer, or a client of that peer.
func peerOf(l client.Link) string {
	if l.Label == "" || l.Peer == "" {
		return l.Peer + l.Label
	}
	return l.Peer + "." + l.Label
}

// ringOf is a ring, and what it is called here where that differs.
func ringOf(l client.Link) string {
	if l.Local == "" || l.Local == l.Ring {
		return l.Ring
	}
	return fmt.Sprintf("%s -> %s", l.Ring, l.Local)
}

// rtt is the round trip time, nothing while it was not measured.
func rtt(l client.Link) string {
	if l.RTTNS == 0 {
		return ""
	}
	return span(l.RTTNS)
}

func feedRows(t *table, feeds, since []client.FeedStatus, seconds float64) {
	t.row("FEED", "RING", "DIRECTION", "FRAMING", "ADDRESS", "STATE", "SINCE", "CONNECTIONS", "FRAMES", "FRAMES/S", "BYTES",
		"BAD_FRAMES", "RECONNECTS", "DROPPED", "NOTE")
	for _, f := range feeds {
		old := earlier(since, func(o client.FeedStatus) bool { return o.Name == f.Name })
		frames := ""
		if old != nil {
			frames = rate(f.Frames, old.Frames, seconds)
		}
		t.row(f.Name, f.Ring, f.Direction, f.Framing, f.Address, f.State, clock(f.SinceNS), f.Connections, f.Frames, frames,
			roughSize(f.Bytes), f.BadFrames, f.Reconnects, f.Dropped, f.Reason)
	}
}
