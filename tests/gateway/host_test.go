package gateway

import (
	"fmt"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// rings that most hosts here have.
const mdRing = "[{name: md, capacity: 64KiB}]"

// gatewayKeys are the gateway section of a host.
type gatewayKeys struct {
	name   string
	listen string // "" for a free port of the loopback
	silent bool   // no listener
	tls    string // "" for off
	export string // as a list of YAML
	peers  []string
	more   []string // further keys of the section
	below  string   // further sections
}

func (g gatewayKeys) yaml() string {
	lines := []string{"gateway:", "  name: " + g.name, "  tls: " + or(g.tls, "off")}
	if !g.silent {
		lines = append(lines, fmt.Sprintf("  listen: %q", or(g.listen, "127.0.0.1:0")))
	}
	if g.export != "" {
		lines = append(lines, "  export: "+g.export)
	}
	for _, m := range g.more {
		lines = append(lines, "  "+m)
	}
	if len(g.peers) > 0 {
		lines = append(lines, "  peers:")
		for _, p := range g.peers {
			lines = append(lines, "  - "+p)
		}
	}
	return strings.Join(append(lines, g.below), "\n")
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// host is a running daemon with a gateway.
type host struct {
	*harness.Daemon
	t       testing.TB
	rings   string
	keys    gatewayKeys
	address string // of the gateway, "" without a listener
	client  *client.Client
}

// startHost starts a daemon.
func startHost(t testing.TB, rings string, keys gatewayKeys) *host {
	t.Helper()
	h := &host{t: t, rings: rings, keys: keys}
	h.Daemon = harness.NewPlace(t, binaries, rings, keys.yaml()).Start()
	if !keys.silent {
		fields := h.Logged("gateway listens")
		if fields == nil {
			t.Fatalf("the log of %s does not say where the gateway listens", keys.name)
		}
		h.address = fmt.Sprint(fields["address"])
	}
	h.client = h.Dial()
	return h
}

// asPeer is what others write under peers to dial h.
func (h *host) asPeer(mirrors string, more ...string) string {
	parts := append([]string{"name: " + h.keys.name, fmt.Sprintf("address: %q", h.address)}, more...)
	if mirrors != "" {
		parts = append(parts, "mirror: "+mirrors)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// edit replaces the configuration, which listens where it listens now.
func (h *host) edit(rings string, change func(*gatewayKeys)) {
	h.t.Helper()
	h.rings = rings
	h.keys.listen = h.address
	change(&h.keys)
	h.Configure(rings, h.keys.yaml())
}

// reload asks for a reload, which must succeed.
func (h *host) reload() client.ReloadOut {
	h.t.Helper()
	out, err := h.client.Reload(harness.Bounded(h.t))
	if err != nil {
		h.t.Fatalf("reload %s: %v", h.keys.name, err)
	}
	return out
}

func (h *host) links() client.Links {
	h.t.Helper()
	out, err := h.client.Links(harness.Bounded(h.t))
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// link is the first link of that peer and role whose ring here is local; false
// when there is none.
func (h *host) link(peer string, role client.LinkRole, local string) (client.Link, bool) {
	h.t.Helper()
	for _, l := range h.links().Links {
		if l.Peer == peer && l.Role == role && l.Local == local {
			return l, true
		}
	}
	return client.Link{}, false
}

// waitLink waits until such a link is in that state.
func (h *host) waitLink(peer string, role client.LinkRole, local string, state client.LinkState) client.Link {
	h.t.Helper()
	var l client.Link
	found := false
	defer func() {
		if !found {
			h.t.Logf("links of %s: %+v", h.keys.name, h.links())
		}
	}()
	harness.Eventually(h.t, fmt.Sprintf("%s: %s of %s with %s is %s", h.keys.name, role, local, peer, state), func() bool {
		var there bool
		l, there = h.link(peer, role, local)
		found = there && l.State == state
		return found
	})
	return l
}

// waitCaughtUp waits until ring has as many records and bytes as the origin.
func (h *host) waitCaughtUp(ring string, origin *host, originRing string) {
	h.t.Helper()
	harness.Eventually(h.t, fmt.Sprintf("%s of %s has all of %s", ring, h.keys.name, originRing), func() bool {
		from, to := harness.RingStats(h.t, origin.client, originRing), harness.RingStats(h.t, h.client, ring)
		return from.Sequence == to.Sequence && from.Position == to.Position
	})
}

// refusal waits until h has refused somebody, and returns the sentence about it.
func (h *host) refusal() client.LinkRefusal {
	h.t.Helper()
	var r client.LinkRefusal
	harness.Eventually(h.t, h.keys.name+" counts a refusal", func() bool {
		list := h.links().Refusals
		if len(list) > 0 {
			r = list[0]
		}
		return len(list) > 0
	})
	return r
}

// lines are n lines that can be told apart.
func lines(from, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "record %d\n", from+i)
	}
	return text.String()
}

// read returns n records of a ring from its oldest on, as lines.
func (h *host) read(ring string, n int) string {
	h.t.Helper()
	return h.Output("attach", ring, "--as", "consumer", "--from", "oldest", "--count", fmt.Sprint(n))
}
