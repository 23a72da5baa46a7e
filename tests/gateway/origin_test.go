package gateway

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// Of the rings that an evil origin lends, docs/MEMORY_LAYOUT.md, section "Record".
const (
	evilKey       = 0x5A5A_0000_1234_5670
	evilCapacity  = 64 << 10
	evilRecordMax = 1000
	evilEpoch     = 7
	recordBytes   = 48 // of a record of 17 to 32 bytes
)

// part is a record as it lies in a ring at a position.
func part(position uint64, text string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, (position|1)^evilKey)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text)))
	b = append(b, text...)
	return append(b, make([]byte, (16-len(b)%16)%16)...)
}

// evil is an origin by hand: it speaks the protocol of docs/PROTOCOL.md, "Between
// hosts", and lends two rings, of which it sends what a case wants.
type evil struct {
	t       *testing.T
	ln      net.Listener
	conn    net.Conn
	streams map[string]uint16 // of the present connection, by ring
	sent    map[string]uint64 // good records, by ring
}

func newEvil(t *testing.T) *evil {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &evil{t: t, ln: ln, sent: map[string]uint64{}}
}

// serve accepts a connection and opens both streams.
func (e *evil) serve() {
	e.t.Helper()
	_ = e.ln.(*net.TCPListener).SetDeadline(time.Now().Add(harness.Patience))
	conn, err := e.ln.Accept()
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	e.conn, e.streams = conn, map[string]uint16{}
	e.write(wire.LinkWelcomeFrame{Version: 1, StreamsMax: 64, Name: "evil", Agent: "test"}.Append(nil))
	for granted := 0; granted < 2; {
		kind, frame, err := readFrame(conn)
		if err != nil {
			e.t.Fatal(err)
		}
		switch kind {
		case wire.LinkOpen:
			o, err := wire.DecodeLinkOpen(frame)
			if err != nil {
				e.t.Fatal(err)
			}
			e.streams[o.Ring] = o.Stream
			e.write(wire.LinkOpenedFrame{Stream: o.Stream, Policy: 3, RecordMax: evilRecordMax, Capacity: evilCapacity, Key: evilKey,
				Epoch: evilEpoch, Position: e.sent[o.Ring] * recordBytes, Sequence: e.sent[o.Ring]}.Append(nil))
		case wire.LinkAck: // of a stream that was granted: its mirror is there
			granted++
		}
	}
}

func (e *evil) write(b []byte) {
	e.t.Helper()
	if _, err := e.conn.Write(b); err != nil {
		e.t.Fatal(err)
	}
}

// data is a frame of a ring's stream whose place is off by so much.
func (e *evil) data(ring string, off, records uint64, body []byte) []byte {
	n := e.sent[ring]
	f := wire.LinkDataFrame{Stream: e.streams[ring], Epoch: evilEpoch, Position: n*recordBytes + off, Sequence: n, Records: records}
	return append(f.Append(nil, body), body...)
}

// good sends a record, and waits until the mirror has it.
func (e *evil) good(h *host, ring string) {
	e.t.Helper()
	n := e.sent[ring]
	e.write(e.data(ring, 0, 1, part(n*recordBytes, fmt.Sprintf("record %012d", n))))
	e.sent[ring]++
	harness.Eventually(e.t, "a good record is there", func() bool { return harness.RingStats(e.t, h.client, ring).Sequence == n+1 })
}

// at is where the next record of the victim goes.
func (e *evil) at() uint64 { return e.sent["victim"] * recordBytes }

// TestEvilOrigin: an origin sends what no ring holds. What a chunk has wrong ends
// the mirror of that ring alone; what makes the frame one that is not to be
// trusted ends the connection, and both mirrors go on over the next one. The
// mirror of an honest peer is not touched.
func TestEvilOrigin(t *testing.T) {
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]"})
	e := newEvil(t)
	b := startHost(t, "[]", gatewayKeys{name: "b", silent: true, peers: []string{a.asPeer("[md]"),
		fmt.Sprintf("{name: evil, address: %q, mirror: [victim, other]}", e.ln.Addr())}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	chunks := []struct {
		name  string
		frame func() []byte
		says  string
	}{
		{"no record", func() []byte { return e.data("victim", 0, 1, make([]byte, 64)) }, "not where a part starts"},
		{"another key", func() []byte {
			p := part(e.at(), "text")
			p[2] ^= 1
			return e.data("victim", 0, 1, p)
		}, "not where a part starts"},
		{"longer than record_max", func() []byte { return e.data("victim", 0, 1, part(e.at(), strings.Repeat("x", evilRecordMax+1))) }, "record of 1001 bytes"},
		{"a length beyond the chunk", func() []byte {
			p := part(e.at(), "text")
			binary.LittleEndian.PutUint32(p[8:], 900)
			return e.data("victim", 0, 1, p)
		}, "beyond the chunk"},
		{"a length of 4 GiB", func() []byte {
			p := part(e.at(), "text")
			binary.LittleEndian.PutUint32(p[8:], 1<<32-16)
			return e.data("victim", 0, 1, p)
		}, "record of 4294967280 bytes"},
		{"reserved bits", func() []byte {
			p := part(e.at(), "text")
			p[14] = 1
			return e.data("victim", 0, 1, p)
		}, "reserved"},
		{"the second part is none", func() []byte { return e.data("victim", 0, 2, append(part(e.at(), "text"), make([]byte, 32)...)) }, "not where a part starts"},
		{"more records than there are", func() []byte { return e.data("victim", 0, 5, part(e.at(), "text")) }, "announced are 5"},
	}
	for _, c := range chunks {
		e.serve()
		e.good(b, "victim")
		e.good(b, "other")
		e.write(c.frame())
		l := b.waitLink("evil", client.LinkRoleMirror, "victim", client.LinkRefused)
		if !strings.Contains(l.Reason, c.says) || l.Sequence != e.sent["victim"] {
			t.Errorf("%s: the link says %q at record %d, want %q at %d", c.name, l.Reason, l.Sequence, c.says, e.sent["victim"])
		}
		e.good(b, "other") // on the same connection
		_ = e.conn.Close()
	}
	frames := []struct {
		name  string
		frame func() []byte
		code  wire.LinkCode
	}{
		{"a wrong checksum", func() []byte {
			f := e.data("victim", 0, 1, part(e.at(), "text"))
			f[len(f)-1] ^= 1
			return f
		}, wire.CodeChecksum},
		{"a jump forward", func() []byte { return e.data("victim", 4096, 1, part(e.at()+4096, "text")) }, wire.CodePosition},
		{"beyond the credit", func() []byte { return e.data("victim", 0, 1, make([]byte, 2*evilCapacity)) }, wire.CodeProtocol},
		{"a gap backwards", func() []byte {
			return wire.LinkGapFrame{Stream: e.streams["victim"], Epoch: evilEpoch, Position: e.at(), Sequence: e.sent["victim"], To: 0, Lost: 1}.Append(nil)
		}, wire.CodeProtocol},
		{"a gap that lost too much", func() []byte {
			return wire.LinkGapFrame{Stream: e.streams["victim"], Epoch: evilEpoch, Position: e.at(), Sequence: e.sent["victim"], To: e.at() + 4096, Lost: 1 << 40}.Append(nil)
		}, wire.CodePosition},
	}
	for _, c := range frames {
		e.serve()
		e.good(b, "victim")
		e.good(b, "other")
		_, _ = e.conn.Write(c.frame()) // the answer may come before the end of it
		for kind := wire.LinkKind(0); kind != wire.LinkClose; {
			var frame []byte
			var err error
			if kind, frame, err = readFrame(e.conn); err != nil {
				t.Errorf("%s: no word why it ends: %v", c.name, err)
				break
			}
			if end, err := wire.DecodeLinkClose(frame); kind == wire.LinkClose && (err != nil || end.Code != c.code) {
				t.Errorf("%s: the connection is closed with %+v, %v; want %s", c.name, end, err, c.code)
			}
		}
	}
	e.serve()
	e.good(b, "victim")
	e.good(b, "other")
	for _, ring := range []string{"victim", "other"} {
		var want strings.Builder
		for n := range e.sent[ring] {
			fmt.Fprintf(&want, "record %012d\n", n)
		}
		if got := b.read(ring, int(e.sent[ring])); got != want.String() {
			t.Errorf("the mirror %s reads\n%s", ring, got)
		}
	}
	if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS || now.Reconnects != 0 {
		t.Errorf("the link of the honest peer was %+v and is %+v", steady, now)
	}
	fmt.Printf("counts: hostile network: %d chunks and %d frames of an evil origin: each refused with its reason, no good record lost\n", len(chunks), len(frames))
}
