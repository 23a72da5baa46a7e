package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// TestRights is the table of who may do what.
func TestRights(t *testing.T) {
	s := Settings{
		Export: []string{"pub"},
		Peers: []Peer{
			{Name: "all", Allow: Allow{Export: []string{"x"}, Import: []string{"in"}, Gate: []string{"x", "pub"}}},
			{Name: "some", Allow: Allow{Export: []string{"x"}}},
			{Name: "none"},
		},
	}
	may := func(name, ring string, policy wire.Policy) string {
		var rights []string
		who := identity{name: name}
		if s.mayRead(who, ring, policy) == nil {
			rights = append(rights, "read")
		}
		if s.mayProduce(who, ring) == nil {
			rights = append(rights, "produce")
		}
		return strings.Join(rights, " ")
	}
	for _, c := range []struct {
		name, ring string
		policy     wire.Policy
		want       string
	}{
		{"all", "pub", "", "read"}, {"all", "x", wire.PolicyDemote, "read"}, {"all", "x", wire.PolicyBlock, "read"},
		{"all", "pub", wire.PolicyBlock, "read"}, {"all", "in", "", "produce"}, {"all", "y", "", ""},
		{"some", "pub", "", "read"}, {"some", "x", wire.PolicyDemote, "read"}, {"some", "x", wire.PolicyBlock, ""},
		{"some", "pub", wire.PolicyBlock, ""}, {"some", "in", "", ""},
		{"none", "pub", wire.PolicySkip, "read"}, {"none", "x", wire.PolicySkip, ""}, {"none", "in", "", ""},
		{"stranger", "pub", wire.PolicyLatest, "read"}, {"stranger", "pub", wire.PolicyBlock, ""}, {"stranger", "x", "", ""},
	} {
		if got := may(c.name, c.ring, c.policy); got != c.want {
			t.Errorf("%s may %q with ring %s and policy %q, want %q", c.name, got, c.ring, c.policy, c.want)
		}
	}
}

// TestStreamsRefused: both sides know why.
func TestStreamsRefused(t *testing.T) {
	leaks(t)
	sa := settingsOf("a")
	sa.Export = []string{"r", "blocking", "gone"}
	sa.Peers = []Peer{{Name: "b", Allow: Allow{Export: []string{"mine"}}}}
	a := newHost(t, ringDir(t), sa)
	a.ring(wire.RingSpec{Name: "r"})
	a.ring(wire.RingSpec{Name: "mine"})
	a.ring(wire.RingSpec{Name: "secret"})
	a.ring(wire.RingSpec{Name: "blocking", Policy: wire.PolicyBlock})
	r := dialRemote(t, a.g.Address(), "stranger", 1, nil)
	r.await(link.EventWelcome)
	for _, c := range []struct {
		o     wire.LinkOpenFrame
		code  wire.LinkCode
		name  wire.ErrorName
		words string
	}{
		{wire.LinkOpenFrame{Mode: wire.LinkMirror, Ring: "secret"}, wire.CodeDenied, "", "gateway.export"},
		{wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "mine"}, wire.CodeDenied, "", "gateway.export"},
		{wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "r", Policy: uint8(shmring.PolicyBlock)}, wire.CodeDenied, "", "allow.gate"},
		{wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "blocking"}, wire.CodeDenied, "", "allow.gate"},
		{wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "gone"}, wire.CodeRefused, wire.ErrRingNotFound, "gone"},
		{wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "r", Epoch: 5}, wire.CodeRefused, wire.ErrEpochChanged, "epoch"},
		{wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "r", From: wire.LinkFromPosition, Position: 1 << 20}, wire.CodePosition, "", "not in the ring"},
		{wire.LinkOpenFrame{Mode: wire.LinkMirror, Ring: "r", From: wire.LinkFromHeld, Epoch: a.b.Rings()[2].Epoch, Position: 1 << 20}, wire.CodePosition, "", "not in the ring"},
	} {
		end := r.refusedOpen(c.o)
		if end.Code != c.code || end.Name != string(c.name) || !strings.Contains(end.Message, c.words) {
			t.Errorf("%+v: %+v", c.o, end)
		}
		a.waitRefused(c.code.String(), end.Message)
	}
	if n := len(a.attachments("")); n != 0 {
		t.Errorf("%d attachments are left of streams that were refused", n)
	}
	if n := a.log.FilterMessage("refused").Len(); n != 3 {
		t.Errorf("%d lines in the log about refusals for 3 reasons", n)
	}
	a.g.loop.mu.Lock()
	a.g.logRefusals(a.g.loop.now() + refusalQuietMax.Nanoseconds() + 1)
	a.g.loop.mu.Unlock()
	if n := a.log.FilterMessageSnippet("refused more").Len(); n != 3 {
		t.Errorf("%d lines about the others", n)
	}
}

// TestMirrorOfMirror is refused, and both sides say why; a remote client may read
// it.
func TestMirrorOfMirror(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, func(_, b *Settings) { b.Export = []string{"r.a"} })
	publish(t, a.writer("r"), 0, 10)
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	s := settingsOf("c")
	s.Peers = []Peer{{Name: "b", Address: b.g.Address(), Mirror: []Mirror{{Ring: "r.a", As: "r.b"}}}}
	c := newHost(t, ringDir(t), s)
	l := c.wait(wire.LinkRoleMirror, "r.b", wire.LinkRefused)
	if !strings.Contains(l.Reason, "mirror_of_mirror") || !strings.Contains(l.Reason, "itself a mirror") {
		t.Errorf("reason: %q", l.Reason)
	}
	b.waitRefused("mirror_of_mirror", "c at ")
	r := dialRemote(t, b.g.Address(), "reader", 1, nil)
	r.await(link.EventWelcome)
	stream := r.open(wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "r.a", From: wire.LinkFromOldest, Policy: uint8(shmring.PolicySkip)})
	in := inbound(t, r.await(link.EventOpened).Opened)
	if err := r.link.Receive(stream, in.mirror); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 10; r.step() {
		if rec, err := in.reader.TryReceive(); err == nil {
			if string(rec.Payload) != string(record(n)) {
				t.Fatalf("record %d: %x", n, rec.Payload)
			}
			n++
		} else if !errors.Is(err, shmring.ErrEmpty) {
			t.Fatal(err)
		}
	}
}

// TestNameTaken: a mirror does not take the place of another ring.
func TestNameTaken(t *testing.T) {
	leaks(t)
	sa := settingsOf("a")
	sa.Export = []string{"r"}
	a := newHost(t, ringDir(t), sa)
	a.ring(wire.RingSpec{Name: "r"})
	dir := ringDir(t)
	b := newHost(t, dir, settingsOf("b"))
	b.ring(wire.RingSpec{Name: "r.a"})
	s := b.g.settings
	s.Peers = []Peer{{Name: "a", Address: a.g.Address(), Mirror: []Mirror{{Ring: "r", As: "r.a"}}}}
	b.apply(s)
	l := b.wait(wire.LinkRoleMirror, "r.a", wire.LinkRefused)
	if !strings.Contains(l.Reason, "does not mirror ring r of a") {
		t.Errorf("reason: %q", l.Reason)
	}
}

// TestIdentity: with TLS the certificate says who it is.
func TestIdentity(t *testing.T) {
	leaks(t)
	ca, foreign := newAuthority(t, "lab"), newAuthority(t, "elsewhere")
	files := ca.issue(time.Hour, "a").files(t.TempDir(), ca)
	s := settingsOf("a")
	s.TLS = &files
	s.Export = []string{"r"}
	s.Peers = []Peer{{Name: "b"}, {Name: "c", Allow: Allow{Export: []string{"x"}}}}
	a := newHost(t, ringDir(t), s)
	a.ring(wire.RingSpec{Name: "x"})

	mayReadX := func(name string, names ...string) bool {
		r := dialRemote(t, a.g.Address(), name, 1, ca.issue(time.Hour, names...).config("a"))
		r.await(link.EventWelcome)
		r.open(wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "x"})
		for len(r.queue) == 0 && r.over == nil {
			r.step()
		}
		return r.over == nil && r.queue[0].Kind == link.EventOpened
	}
	for _, c := range []struct {
		says string
		sans []string
		want bool
	}{
		{"c", []string{"c"}, true},
		{"anything", []string{"c"}, true}, // the certificate counts
		{"c", []string{"b"}, false},       // not what it says
		{"c", []string{"b", "c"}, true},   // of several it may choose
		{"x", []string{"z", "b"}, false},  // the first that is a peer
		{"b", []string{"b", "c"}, false},  // it has chosen the lesser
		{"x", []string{"z", "c"}, true},   // the other is nobody
	} {
		if got := mayReadX(c.says, c.sans...); got != c.want {
			t.Errorf("says %s, certificate for %v: reads %v, want %v", c.says, c.sans, got, c.want)
		}
	}

	stranger := dialRemote(t, a.g.Address(), "b", 1, ca.issue(time.Hour, "stranger").config("a"))
	if e := stranger.await(link.EventClose); e.Close.Code != wire.CodeIdentity || !strings.Contains(e.Close.Message, "stranger") {
		t.Errorf("a certificate of nobody: %+v", e.Close)
	}
	a.waitRefused("identity", "(stranger)")

	wrong := ca.issue(time.Hour, "b").config("a")
	others := foreign.issue(time.Hour, "b").config("a").Certificates[0]
	wrong.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &others, nil }
	refusedTLS := dialRemote(t, a.g.Address(), "b", 1, wrong)
	for refusedTLS.over == nil {
		refusedTLS.step()
	}
	soonOr(t, func() bool {
		for _, r := range a.g.Links().Refusals {
			if r.Reason == reasonAuthority && r.Count > 0 {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("the foreign authority is not among %+v", a.g.Links().Refusals) })
}

// TestWrongHost: without TLS the name that the other side gives itself counts.
func TestWrongHost(t *testing.T) {
	leaks(t)
	a := newHost(t, ringDir(t), settingsOf("somebody"))
	s := settingsOf("b")
	s.Peers = []Peer{{Name: "a", Address: a.g.Address(), Mirror: []Mirror{{Ring: "r", As: "r.a"}}}}
	b := newHost(t, ringDir(t), s)
	l := b.wait(wire.LinkRoleMirror, "r.a", wire.LinkRefused)
	if !strings.Contains(l.Reason, `calls itself somebody`) {
		t.Errorf("reason: %q", l.Reason)
	}
}
