package crash

import (
	"fmt"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestSpoiltMirror writes garbage over a mirror: it is quarantined, and the gateway
// makes it anew from what the origin still holds, after a kill of its daemon as well.
func TestSpoiltMirror(t *testing.T) {
	t.Parallel()
	gateway := func(name, more string) string { return "gateway:\n  name: " + name + "\n  tls: off\n  " + more }
	origin := harness.NewPlace(t, binaries, "["+ringMD+"]", gateway("a", "listen: 127.0.0.1:0\n  export: [md]\n  peers: [{name: b}]")).Start()
	address := fmt.Sprint(origin.Logged("gateway listens")["address"])
	place := harness.NewPlace(t, binaries, "[]", gateway("b", fmt.Sprintf("peers: [{name: a, address: %q, mirror: [md]}]", address)))
	w := &world{t: t, Place: place}
	w.d = w.Start()
	w.c = w.Dial()
	const records = "one\ntwo\n"
	origin.Publish("md", records)
	read := func() string {
		w.must(w.c.WaitRing(harness.Bounded(t), "md"))
		return w.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "2", "--wait-for", "20s")
	}
	for aside, kill := range []bool{false, true} {
		if got := read(); got != records {
			t.Errorf("the mirror has %q", got)
		}
		if kill {
			w.d.Kill()
			w.spoil("md")
			w.d = w.Start()
		} else {
			w.spoil("md")
		}
		harness.Eventually(t, "the mirror is set aside and made anew", func() bool {
			s, err := w.c.Status(harness.Bounded(t))
			w.must(err)
			d, err := w.c.DescribeRing(harness.Bounded(t), "md")
			return err == nil && len(s.Quarantined) == aside+1 && d.Stats.State == client.StateLive && d.Ring.Mirror != nil
		})
		if got := read(); got != records {
			t.Errorf("made anew it has %q", got)
		}
	}
}
