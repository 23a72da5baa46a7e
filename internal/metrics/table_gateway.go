package metrics

import "time"

// linkFamilies are of links that mirror; what remote clients have attached is
// among the attachments, one by one, and only counted here.
func linkFamilies() []family {
	link := []string{"peer", "role", "ring", "origin"}
	return []family{
		{"brokerd_link_state", gauge, "1 for the state that the link is in, 0 for the others: connecting, connected, waiting (to try again, or for the peer to come back) or refused.", append(link, "state"),
			func(v view, emit emitter) {
				for _, l := range v.Links {
					eachOf(linkStates(), l.State, func(value float64, state string) {
						emit(value, l.Peer, l.Role, l.Ring, l.Origin, state)
					})
				}
			}},
		{"brokerd_link_state_since_timestamp_seconds", gauge, "When the link came into its state, since 1970.", link,
			eachLink(func(l Link) float64 { return float64(l.SinceNanos) / float64(time.Second) })},
		{"brokerd_link_position_bytes", gauge, "Position that the mirror has reached.", link,
			eachLink(func(l Link) float64 { return float64(l.PositionBytes) })},
		{"brokerd_link_lag_bytes", gauge, "Bytes published at the origin that the mirror does not have yet.", link,
			eachLink(func(l Link) float64 { return float64(l.LagBytes) })},
		{"brokerd_link_lag_records", gauge, "Records published at the origin that the mirror does not have yet.", link,
			eachLink(func(l Link) float64 { return float64(l.LagRecords) })},
		{"brokerd_link_rtt_seconds", gauge, "Time of a heartbeat there and back; 0 before the first.", link,
			eachLink(func(l Link) float64 { return float64(l.RTTNanos) / float64(time.Second) })},
		{"brokerd_link_reconnects_total", counter, "Times that the link was there again after its connection broke.", link,
			eachLink(func(l Link) float64 { return float64(l.Reconnects) })},
		{"brokerd_link_gaps_total", counter, "Times that the origin no longer held what was to come next.", link,
			eachLink(func(l Link) float64 { return float64(l.Gaps) })},
		{"brokerd_link_gap_records_total", counter, "Records that the mirror lacks because of gaps.", link,
			eachLink(func(l Link) float64 { return float64(l.GapRecords) })},
		{"brokerd_link_received_bytes_total", counter, "Bytes received for the link.", link,
			eachLink(func(l Link) float64 { return float64(l.BytesIn) })},
		{"brokerd_link_sent_bytes_total", counter, "Bytes sent for the link.", link,
			eachLink(func(l Link) float64 { return float64(l.BytesOut) })},
		{"brokerd_link_crc_errors_total", counter, "Frames that arrived damaged; each ends its connection.", link,
			eachLink(func(l Link) float64 { return float64(l.CRCErrors) })},
		{"brokerd_remote_clients", gauge, "Readers and producers of other hosts that are attached without a brokerd of their own.", []string{"ring", "role"},
			func(v view, emit emitter) {
				for _, c := range v.RemoteClients {
					emit(float64(c.Count), c.Ring, c.Role)
				}
			}},
		{"brokerd_refused_handshakes_total", counter, "Connections of other hosts that were refused, by reason.", []string{"reason"},
			func(v view, emit emitter) {
				for _, r := range v.Refusals {
					emit(float64(r.Count), r.Reason)
				}
			}},
		{"brokerd_certificate_not_after_timestamp_seconds", gauge, "When the certificate in the file ends, since 1970; of several authorities the last one.", []string{"file"},
			func(v view, emit emitter) {
				for _, c := range v.Certificates {
					emit(float64(c.NotAfterNanos)/float64(time.Second), c.File)
				}
			}},
	}
}

func feedFamilies() []family {
	feed := []string{"feed", "ring", "direction"}
	return []family{
		{"brokerd_feed_state", gauge, "1 for the state that the feed is in, 0 for the others: connecting, connected, listening or waiting (to try again).", append(feed, "state"),
			func(v view, emit emitter) {
				for _, f := range v.Feeds {
					eachOf(feedStates(), f.State, func(value float64, state string) {
						emit(value, f.Name, f.Ring, f.Direction, state)
					})
				}
			}},
		{"brokerd_feed_state_since_timestamp_seconds", gauge, "When the feed came into its state, since 1970.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.SinceNanos) / float64(time.Second) })},
		{"brokerd_feed_connections", gauge, "Connections of the feed.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.Connections) })},
		{"brokerd_feed_frames_total", counter, "Frames that became records, or records that became frames.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.Frames) })},
		{"brokerd_feed_bytes_total", counter, "Payload bytes of these frames.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.Bytes) })},
		{"brokerd_feed_bad_frames_total", counter, "Frames that broke the framing, or were too long; each ends its connection.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.BadFrames) })},
		{"brokerd_feed_reconnects_total", counter, "Times that a feed that connects was connected again; 0 for one that listens.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.Reconnects) })},
		{"brokerd_feed_dropped_total", counter, "Records or frames that were given up.", feed,
			eachFeed(func(f Feed) float64 { return float64(f.Dropped) })},
	}
}

func linkStates() []string { return []string{"connecting", "connected", "waiting", "refused"} }

func feedStates() []string { return []string{"connecting", "connected", "listening", "waiting"} }

// eachOf emits 1 for the present state and 0 for the others, so that a query
// finds a zero and not nothing.
func eachOf(states []string, present string, emit func(value float64, state string)) {
	known := false
	for _, state := range states {
		known = known || state == present
		emit(truth(state == present), state)
	}
	if !known && present != "" {
		emit(1, present)
	}
}

func eachLink(value func(Link) float64) func(view, emitter) {
	return func(v view, emit emitter) {
		for _, l := range v.Links {
			emit(value(l), l.Peer, l.Role, l.Ring, l.Origin)
		}
	}
}

func eachFeed(value func(Feed) float64) func(view, emitter) {
	return func(v view, emit emitter) {
		for _, f := range v.Feeds {
			emit(value(f), f.Name, f.Ring, f.Direction)
		}
	}
}
