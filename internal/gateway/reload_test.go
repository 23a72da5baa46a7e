package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

func says(lines []string, words string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, words) })
}

// TestApply: peers, mirrors and rights come and go while links are up, and what
// is not concerned goes on.
func TestApply(t *testing.T) {
	leaks(t)
	sa := settingsOf("a")
	a := newHost(t, ringDir(t), sa)
	a.ring(wire.RingSpec{Name: "r"})
	a.ring(wire.RingSpec{Name: "q"})
	b := newHost(t, ringDir(t), settingsOf("b"))
	wr, wq := a.writer("r"), a.writer("q")

	sb := b.g.settings
	sb.Peers = []Peer{{Name: "a", Address: a.g.Address(), Mirror: []Mirror{{Ring: "r", As: "r.a"}}}}
	if changed, kept := b.apply(sb); !says(changed, "peer a was added") || len(kept) > 0 {
		t.Errorf("changed %q, kept %q", changed, kept)
	}
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkRefused) // no right yet

	sa.Export = []string{"r"}
	if changed, _ := a.apply(sa); !says(changed, "gateway.export") {
		t.Errorf("changed %q", changed)
	}
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	publish(t, wr, 0, 10)
	r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	expect(t, r, 0, 10)

	// A second mirror; the first does not notice.
	sb.Peers = []Peer{{Name: "a", Address: a.g.Address(), Mirror: []Mirror{{Ring: "r", As: "r.a"}, {Ring: "q", As: "q.a"}}}}
	sa.Peers = []Peer{{Name: "b", Allow: Allow{Export: []string{"q"}}}}
	a.apply(sa)
	if changed, _ := b.apply(sb); !says(changed, "ring q is mirrored as q.a") {
		t.Errorf("changed %q", changed)
	}
	b.wait(wire.LinkRoleMirror, "q.a", wire.LinkConnected)
	publish(t, wq, 0, 10)
	rq := b.reader("q.a", shmring.PolicyBlock, shmring.FromOldest())
	expect(t, rq, 0, 10)

	// The right to q goes: its stream ends, that of r does not.
	sa.Peers = []Peer{{Name: "b"}}
	if changed, _ := a.apply(sa); !says(changed, "may not read ring q") {
		t.Errorf("changed %q", changed)
	}
	l := b.wait(wire.LinkRoleMirror, "q.a", wire.LinkRefused)
	if !strings.Contains(l.Reason, "may not read ring q") {
		t.Errorf("reason %q", l.Reason)
	}
	publish(t, wr, 10, 20)
	expect(t, r, 10, 20)

	// Live keys of a mirror.
	sb.Peers = []Peer{{Name: "a", Address: a.g.Address(), Mirror: []Mirror{{Ring: "r", As: "r.a", ResumeForNS: int64(time.Minute)}}}}
	if changed, _ := b.apply(sb); !says(changed, "ring q is not mirrored as q.a any more") {
		t.Errorf("changed %q", changed)
	}
	out, err := b.b.DescribeRing("r.a")
	if err != nil || out.Ring.ResumeForNS != int64(time.Minute) {
		t.Errorf("%+v, %v", out.Ring, err)
	}
	if err := b.b.RemoveRing("q.a", true); err != nil {
		t.Errorf("a mirror that is not in the configuration any more: %v", err)
	}

	// The listener moves; what is connected stays so.
	was := a.g.Address()
	sa.Listen = "127.0.0.2:0"
	if changed, _, err := a.g.Apply(sa); err != nil || !says(changed, "gateway.listen is 127.0.0.2:0") {
		t.Errorf("changed %q, %v", changed, err)
	}
	if now := a.g.Address(); now == was || !strings.HasPrefix(now, "127.0.0.2:") {
		t.Errorf("listens on %s, was %s", now, was)
	}
	publish(t, wr, 20, 30)
	expect(t, r, 20, 30)
	if l, _ := b.link(wire.LinkRoleMirror, "r.a"); l.Reconnects != 0 {
		t.Errorf("it has connected again for nothing: %+v", l)
	}

	// A new address is dialled at once.
	sb.Peers[0].Address = a.g.Address()
	sb.Peers = slices.Clone(sb.Peers)
	b.apply(sb)
	soon(t, "the new address is used", func() bool {
		l, _ := b.link(wire.LinkRoleMirror, "r.a")
		return l.State == wire.LinkConnected && l.Address == a.g.Address() && l.Reconnects == 1
	})
	publish(t, wr, 30, 40)
	expect(t, r, 30, 40)

	// The peer goes, on either side.
	sb.Peers = nil
	if changed, _ := b.apply(sb); !says(changed, "peer a was removed") {
		t.Errorf("changed %q", changed)
	}
	soon(t, "the origin has only its producer", func() bool { return len(a.attachments("r")) == 1 })
	if links := b.g.Links().Links; len(links) > 0 {
		t.Errorf("links: %+v", links)
	}
}

// TestApplyKept: what cannot change says so, and what is wrong changes nothing.
func TestApplyKept(t *testing.T) {
	leaks(t)
	a := newHost(t, ringDir(t), settingsOf("a"))
	s := a.g.settings
	s.BusyPoll = true
	if _, kept := a.apply(s); !says(kept, "gateway.busy_poll stays false") {
		t.Errorf("kept %q", kept)
	}
	before, was := a.g.settings, a.g.Address()
	for _, bad := range []Settings{
		{Name: "a", Listen: "256.0.0.1:1"},
		{Name: "a", Listen: s.Listen, TLS: &TLS{"/nowhere/c", "/nowhere/k", "/nowhere/ca"}},
		{Name: "a", Listen: s.Listen, Peers: []Peer{{Name: "b", Address: "b:1", TLS: &TLS{"/nowhere/c", "/nowhere/k", "/nowhere/ca"}}}},
	} {
		if changed, kept, err := a.g.Apply(bad); err == nil {
			t.Errorf("%+v: changed %q, kept %q", bad, changed, kept)
		}
		if fmt.Sprint(a.g.settings) != fmt.Sprint(before) {
			t.Errorf("after %+v the settings are %+v", bad, a.g.settings)
		}
		if a.g.Address() == "" {
			t.Errorf("after %+v nothing listens, before it was %s", bad, was)
		}
	}
}

// TestPeerLeaves: the reader that is parked for a peer goes with it.
func TestPeerLeaves(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, nil)
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	b.stop()
	a.wait(wire.LinkRoleExport, "r", wire.LinkWaiting)
	s := a.g.settings
	s.Peers = nil
	a.apply(s)
	if n := len(a.attachments("r")); n != 0 {
		t.Errorf("%d attachments are left", n)
	}
	if links := a.g.Links().Links; len(links) > 0 {
		t.Errorf("links: %+v", links)
	}
}

// TestUnlistedPeer: one that has left the configuration is closed, with a reason.
func TestUnlistedPeer(t *testing.T) {
	leaks(t)
	s := settingsOf("a")
	s.Peers = []Peer{{Name: "b"}}
	a := newHost(t, ringDir(t), s)
	r := dialRemote(t, a.g.Address(), "b", 1, nil)
	r.await(link.EventWelcome)
	s.Peers = nil
	a.apply(s)
	if e := r.await(link.EventClose); e.Close.Code != wire.CodeIdentity || e.Close.Message == "" {
		t.Errorf("close: %+v", e.Close)
	}
}
