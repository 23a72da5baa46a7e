package gateway

import (
	"fmt"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// secured runs a test on plain links and on links with certificates. keys gives
// a host its value of gateway.tls.
func secured(t *testing.T, test func(t *testing.T, keys func(name string) string)) {
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		test(t, func(string) string { return "off" })
	})
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		pki := harness.NewAuthority(t, binaries)
		test(t, func(name string) string { return pki.Issue(name) })
	})
}

// TestMirrorIsItsOrigin mirrors one ring to two hosts, under its own and under
// another name.
func TestMirrorIsItsOrigin(t *testing.T) {
	secured(t, func(t *testing.T, keys func(string) string) {
		a := startHost(t, mdRing, gatewayKeys{name: "a", tls: keys("a"), export: "[md]", peers: []string{"{name: b}", "{name: c}"}})
		const before, after = 300, 500
		a.Publish("md", lines(0, before))
		b := startHost(t, "[]", gatewayKeys{name: "b", tls: keys("b"), silent: true, peers: []string{a.asPeer("[md]")}})
		c := startHost(t, "[]", gatewayKeys{name: "c", tls: keys("c"), silent: true, peers: []string{a.asPeer("[{ring: md, as: md-a, consumers_max: 3}]")}})
		b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
		c.waitLink("a", client.LinkRoleMirror, "md-a", client.LinkConnected)
		c.waitCaughtUp("md-a", a, "md") // or some of these records would come to the reader
		reader := c.Ctl("attach", "md-a", "--as", "consumer", "--count", fmt.Sprint(after))
		harness.WaitAttached(t, c.client, "md-a", 1)
		a.Publish("md", lines(before, after))
		b.waitCaughtUp("md", a, "md")
		c.waitCaughtUp("md-a", a, "md")

		reader.Expect(0)
		if got := reader.Stdout.String(); got != lines(before, after) {
			t.Errorf("a reader of the mirror that was there before the records got %d bytes, want %d", len(got), len(lines(before, after)))
		}
		for ring, h := range map[string]*host{"md": b, "md-a": c} {
			mirror := ringOf(t, h, ring)
			origin := ringOf(t, a, "md")
			if mirror.Mirror == nil || mirror.Mirror.Peer != "a" || mirror.Mirror.Ring != "md" {
				t.Errorf("%s of %s: mirror of %+v", ring, h.keys.name, mirror.Mirror)
			}
			if mirror.Epoch != origin.Epoch || mirror.Capacity != origin.Capacity || mirror.RecordMax != origin.RecordMax ||
				mirror.Timestamps != origin.Timestamps || mirror.Checksum != origin.Checksum {
				t.Errorf("the mirror is %+v, its origin %+v", mirror, origin)
			}
		}
		if n := ringOf(t, c, "md-a").ConsumersMax; n != 3 {
			t.Errorf("the mirror takes %d consumers, want 3", n)
		}
		checkFigures(t, a, b, c, before+after, a.keys.tls != "off")
	})
}

// checkFigures looks at both ends of the links from a to b and c.
func checkFigures(t *testing.T, a, b, c *host, records uint64, secure bool) {
	t.Helper()
	for _, end := range []struct {
		h     *host
		peer  string
		role  client.LinkRole
		local string
	}{
		{b, "a", client.LinkRoleMirror, "md"}, {c, "a", client.LinkRoleMirror, "md-a"},
		{a, "b", client.LinkRoleExport, "md"}, {a, "c", client.LinkRoleExport, "md"},
	} {
		var l client.Link
		harness.Eventually(t, "the figures of a link settle", func() bool {
			l = end.h.waitLink(end.peer, end.role, end.local, client.LinkConnected)
			return l.Sequence == records && l.LagBytes == 0 && l.RTTNS > 0
		})
		if l.Ring != "md" || l.TLS != secure || l.Address == "" || l.SinceNS == 0 || l.LagRecords != 0 || l.Gaps+l.GapRecords+l.CRCErrors != 0 ||
			l.BytesIn+l.BytesOut < l.Position {
			t.Errorf("%s of %s: %+v", end.role, end.h.keys.name, l)
		}
	}
}

func ringOf(t *testing.T, h *host, name string) client.Ring {
	t.Helper()
	rings, err := h.client.Rings(harness.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rings {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("%s has no ring %s", h.keys.name, name)
	return client.Ring{}
}

// TestHostsMirrorEachOther also reads with brokerctl, which knows what a mirror
// is and refuses to produce into it.
func TestHostsMirrorEachOther(t *testing.T) {
	secured(t, func(t *testing.T, keys func(string) string) {
		a := startHost(t, mdRing, gatewayKeys{name: "a", tls: keys("a"), export: "[md]", peers: []string{"{name: b}"}})
		b := startHost(t, "[{name: fills, capacity: 64KiB}]", gatewayKeys{name: "b", tls: keys("b"), export: "[fills]", peers: []string{a.asPeer("[md]")}})
		a.edit(a.rings, func(g *gatewayKeys) { g.peers = []string{b.asPeer("[fills]")} })
		a.reload()
		b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
		a.waitLink("b", client.LinkRoleMirror, "fills", client.LinkConnected)
		const n = 100
		a.Publish("md", lines(0, n))
		b.Publish("fills", lines(1000, n))
		if got := b.read("md", n); got != lines(0, n) {
			t.Errorf("b reads of md:\n%s", got)
		}
		if got := a.read("fills", n); got != lines(1000, n) {
			t.Errorf("a reads of fills:\n%s", got)
		}
		refused := b.Feed("no\n", "attach", "md", "--as", "producer")
		if code := refused.Wait(); code == 0 {
			t.Error("a local producer attaches to a mirror")
		}
		for _, word := range []string{"mirror", "md", " a"} {
			wantIn(t, "the refusal of a local producer", refused.Stderr.String(), word)
		}
	})
}
