package daemon

import (
	"reflect"
	"testing"

	"brokerd/internal/metrics"
	"brokerd/internal/wire"
)

func TestLinksInASnapshot(t *testing.T) {
	export := wire.Link{Peer: "c", Role: wire.LinkRoleExport, Ring: "md", Local: "md", State: wire.LinkConnected, SinceNS: 5,
		Position: 10, LagBytes: 1, LagRecords: 2, RTTNS: 3, Reconnects: 1, Gaps: 1, GapRecords: 1, BytesIn: 1, BytesOut: 1, CRCErrors: 1}
	second := export
	second.State, second.SinceNS, second.Position, second.LagBytes = wire.LinkWaiting, 7, 4, 9
	reader := wire.Link{Peer: "tool", Role: wire.LinkRoleReader, Ring: "md", Local: "md", Label: "risk"}
	var s metrics.Snapshot
	addLinks(&s, wire.ListLinksOut{
		Links: []wire.Link{
			{Peer: "b", Role: wire.LinkRoleMirror, Ring: "md", Local: "md-b", State: wire.LinkConnected, SinceNS: 1, Position: 2, LagBytes: 3,
				LagRecords: 4, RTTNS: 5, Reconnects: 6, Gaps: 7, GapRecords: 8, BytesIn: 9, BytesOut: 10, CRCErrors: 11},
			export, reader, second, reader,
		},
		Refusals: []wire.LinkRefusal{{Reason: "identity", Count: 3}},
		Feeds: []wire.FeedStatus{{Name: "f", Ring: "md", Direction: "in", State: "listening", SinceNS: 1, Connections: 2, Frames: 3,
			Bytes: 4, BadFrames: 5, Reconnects: 6, Dropped: 7}},
	})
	want := metrics.Snapshot{
		Links: []metrics.Link{
			{Peer: "b", Role: "mirror", Ring: "md-b", Origin: "md", State: "connected", SinceNanos: 1, PositionBytes: 2, LagBytes: 3,
				LagRecords: 4, RTTNanos: 5, Reconnects: 6, Gaps: 7, GapRecords: 8, BytesIn: 9, BytesOut: 10, CRCErrors: 11},
			{Peer: "c", Role: "export", Ring: "md", Origin: "md", State: "waiting", SinceNanos: 7, PositionBytes: 4, LagBytes: 9,
				LagRecords: 2, RTTNanos: 3, Reconnects: 2, Gaps: 2, GapRecords: 2, BytesIn: 2, BytesOut: 2, CRCErrors: 2},
		},
		RemoteClients: []metrics.RemoteClients{{Ring: "md", Role: "reader", Count: 2}},
		Refusals:      []metrics.Refusal{{Reason: "identity", Count: 3}},
		Feeds: []metrics.Feed{{Name: "f", Ring: "md", Direction: "in", State: "listening", SinceNanos: 1, Connections: 2, Frames: 3,
			Bytes: 4, BadFrames: 5, Reconnects: 6, Dropped: 7}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	for name, zero := range zeroFields(reflect.ValueOf(s.Links[0])) {
		if zero {
			t.Errorf("metrics.Link.%s is not filled", name)
		}
	}
}
