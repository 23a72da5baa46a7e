package feeds

import (
	"bytes"
	"fmt"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// small is a ring that every framing fills many times: feeds hold back, and are
// held back, with nothing lost.
const small = "[{name: md, capacity: 1MiB, policy: block}]"

// TestWholeFeed has the recorded feed come in and go out again, in every framing,
// from and to those who connect and those who are connected to.
func TestWholeFeed(t *testing.T) {
	all := harness.Feed(t)
	for _, framing := range []string{"line", "u16be", "u32be", "fix"} {
		for _, dials := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/dials=%v", framing, dials), func(t *testing.T) {
				source, sink := newExchange(t), newExchange(t)
				at := func(e exchange) string {
					if dials {
						return "connect: " + e.address()
					}
					return `listen: "127.0.0.1:0"`
				}
				d := start(t, small, fmt.Sprintf("[{name: in, ring: md, %s, direction: in, framing: %s}, {name: out, ring: md, %s, direction: out, framing: %[2]s}]",
					at(source), framing, at(sink)))
				stream := framed(framing, all)
				var sent <-chan error
				if dials {
					out := sink.accept()
					sent = send(source.accept(), stream)
					wantStream(t, "what goes out", out, stream)
				} else {
					out := knock(t, d, "out")
					sent = send(knock(t, d, "in"), stream)
					wantStream(t, "what goes out", out, stream)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				for _, name := range []string{"in", "out"} {
					if f := feed(t, d, name); f.Frames != harness.FeedRecords || f.BadFrames+f.Dropped != 0 {
						t.Errorf("%+v", f)
					}
				}
			})
		}
	}
}

// TestTwoHosts: in at one host, through its ring and the mirror of another, and
// out there, in another framing, byte for byte.
func TestTwoHosts(t *testing.T) {
	all := harness.Feed(t)
	a := start(t, "[{name: md, capacity: 64MiB}]", `[{name: in, ring: md, listen: "127.0.0.1:0", direction: in, framing: line}]`,
		`gateway: {name: a, listen: "127.0.0.1:0", tls: off, export: [md], peers: [{name: b}]}`)
	b := start(t, "[]", `[{name: out, ring: md-a, listen: "127.0.0.1:0", direction: out, framing: u32be}]`,
		fmt.Sprintf(`gateway: {name: b, tls: off, peers: [{name: a, address: %q, mirror: [{ring: md, as: md-a}]}]}`, a.Logged("gateway listens")["address"]))
	harness.Eventually(t, "the mirror is there", func() bool {
		links, err := b.Dial().Links(harness.Bounded(t))
		return err == nil && len(links.Links) == 1 && links.Links[0].State == client.LinkConnected
	})
	out := knock(t, b, "out")
	sent := send(knock(t, a, "in"), all)
	wantStream(t, "what b sends", out, framed("u32be", all))
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if got := b.Output("attach", "md-a", "--as", "consumer", "--from", "oldest", "--count", fmt.Sprint(harness.FeedRecords)); !bytes.Equal([]byte(got), all) {
		t.Errorf("the mirror holds %d bytes of %d, or others", len(got), len(all))
	}
}
