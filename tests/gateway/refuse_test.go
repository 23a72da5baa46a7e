package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// TestRefusalsHaveTheirReasonOnBothSides has b ask a for what it does not get.
// Each case says what both are, and words of what each is told.
func TestRefusalsHaveTheirReasonOnBothSides(t *testing.T) {
	ours, theirs := harness.NewAuthority(t, binaries), harness.NewAuthority(t, binaries)
	for _, a := range []*harness.Authority{ours, theirs} {
		for _, name := range []string{"a", "b", "stranger"} {
			a.Issue(name)
		}
	}
	ours.Issue("late", "--valid-from", "2020-01-01", "--days", "1")
	ringsOfA := "[{name: md, capacity: 64KiB}, {name: secret, capacity: 64KiB}]"
	for _, tt := range []struct {
		name     string
		a, b     string // gateway.tls
		mirror   string
		extra    string   // of the peer a in b's configuration
		atA, atB []string // words of the reason
		countsA  string   // the word that a counts it under
		countsB  string   // and b, where it is b who refuses
	}{
		{name: "the certificate is of another authority", a: ours.Keys("a"), b: theirs.Files("b").Trusting(ours).YAML(), mirror: "[md]",
			atA: []string{"certificate", "authority"}, atB: []string{"certificate"}, countsA: "unknown_authority"},
		{name: "the server is of another authority", a: theirs.Files("a").Trusting(ours).YAML(), b: ours.Keys("b"), mirror: "[md]",
			atA: []string{"certificate"}, atB: []string{"certificate", "authority"}, countsA: "refused_by_peer", countsB: "unknown_authority"},
		{name: "the certificate has expired", a: ours.Keys("a"), b: ours.Keys("late"), mirror: "[md]",
			atA: []string{"late", "2020-01-02"}, atB: []string{"expired"}, countsA: "expired"},
		{name: "nobody lists the name of the certificate", a: ours.Keys("a"), b: ours.Keys("stranger"), mirror: "[md]",
			atA: []string{"stranger"}, atB: []string{"stranger"}, countsA: "identity"},
		{name: "the server is somebody else", a: ours.Keys("stranger"), b: ours.Keys("b"), mirror: "[md]",
			atB: []string{"stranger", "a"}, countsB: "wrong_name"},
		{name: "the ring is not for b", a: ours.Keys("a"), b: ours.Keys("b"), mirror: "[secret]",
			atA: []string{"secret", "b"}, atB: []string{"secret", "export"}, countsA: "denied"},
		{name: "there is no such ring", a: ours.Keys("a"), b: ours.Keys("b"), mirror: "[nothing]",
			atB: []string{"nothing"}},
		{name: "a has TLS and b does not", a: ours.Keys("a"), b: "off", mirror: "[md]",
			atA: []string{"TLS"}, atB: []string{"TLS"}, countsA: "not_tls"},
		{name: "b has TLS and a does not", a: "off", b: ours.Keys("b"), mirror: "[md]",
			atA: []string{"TLS"}, atB: []string{"TLS"}},
		{name: "no right to hold producers", a: ours.Keys("a"), b: ours.Keys("b"), mirror: "[{ring: md, policy: block}]",
			atA: []string{"md", "gate"}, atB: []string{"md", "gate"}},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			a := startHost(t, ringsOfA, gatewayKeys{name: "a", tls: tt.a, export: "[md, nothing]", peers: []string{"{name: b}"}})
			b := startHost(t, "[]", gatewayKeys{name: "b", tls: tt.b, silent: true, peers: []string{a.asPeer(tt.mirror)}})
			var l client.Link
			harness.Eventually(t, "b is told why", func() bool {
				links := b.links().Links
				if len(links) != 1 {
					return false
				}
				l = links[0]
				return l.Reason != "" && l.State != client.LinkConnected && containsAll(l.Reason, tt.atB)
			})
			t.Logf("b: %s: %s", l.State, l.Reason)
			if tt.countsB != "" && b.Scrape()["brokerd_refused_handshakes_total{reason="+tt.countsB+"}"] == 0 {
				t.Errorf("b does not count the reason %s: %+v", tt.countsB, b.links().Refusals)
			}
			if len(tt.atA) > 0 {
				r := a.refusal()
				t.Logf("a: %s: %s", r.Reason, r.Last)
				wantIn(t, "a's reason", r.Last, tt.atA...)
				wantIn(t, "a's reason", r.Last, "127.0.0.1")
				if r.Count == 0 || r.LastNS == 0 || r.Reason == "" || tt.countsA != "" && r.Reason != tt.countsA {
					t.Errorf("a counts %+v", r)
				}
				if a.Scrape()["brokerd_refused_handshakes_total{reason="+r.Reason+"}"] == 0 {
					t.Errorf("the metrics do not count the reason %s", r.Reason)
				}
			}
		})
	}
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// TestMirrorOfAMirrorIsRefused has c ask b for what b has of a.
func TestMirrorOfAMirrorIsRefused(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]"})
	b := startHost(t, "[]", gatewayKeys{name: "b", export: "[md]", peers: []string{a.asPeer("[md]")}})
	b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	c := startHost(t, "[]", gatewayKeys{name: "c", silent: true, peers: []string{b.asPeer("[md]")}})
	l := c.waitLink("b", client.LinkRoleMirror, "md", client.LinkRefused)
	wantIn(t, "c's reason", l.Reason, "md", "mirror", "a")
	r := b.refusal()
	wantIn(t, "b's reason", r.Last, "md", "mirror", "c")
	if code := c.Ctl("ring", "show", "md").Wait(); code == 0 {
		t.Error("c has made a ring for what it was refused")
	}
}

// TestGarbageIsRefused sends a gateway what is no handshake.
func TestGarbageIsRefused(t *testing.T) {
	secured(t, func(t *testing.T, keys func(string) string) {
		a := startHost(t, mdRing, gatewayKeys{name: "a", tls: keys("a"), export: "[md]", peers: []string{"{name: b}"}})
		for _, garbage := range []string{"GET / HTTP/1.0\r\n\r\n", strings.Repeat("\xff", 64), strings.Repeat("\x00", 4096)} {
			conn, err := net.Dial("tcp", a.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, garbage); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%.8q: the connection does not end: %v", garbage, err)
			}
		}
		r := a.refusal()
		t.Logf("%s %d: %s", r.Reason, r.Count, r.Last)
		wantIn(t, "the reason", r.Last, "127.0.0.1")

		b := startHost(t, "[]", gatewayKeys{name: "b", tls: keys("b"), silent: true, peers: []string{a.asPeer("[md]")}})
		b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	})
}

// TestTooOldTLSIsRefused dials with what came before TLS 1.3.
func TestTooOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	pki := harness.NewAuthority(t, binaries)
	a := startHost(t, mdRing, gatewayKeys{name: "a", tls: pki.Issue("a"), peers: []string{"{name: b}"}})
	pki.Issue("b")
	files := pki.Files("b")
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tls.Dial("tcp", a.address, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
	if err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	wantIn(t, "the reason", a.refusal().Last, "127.0.0.1")
}

// TestVersionOfTheFutureIsRefused says hello as a release that speaks none of
// the versions that this one does.
func TestVersionOfTheFutureIsRefused(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]"})
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	hello := wire.LinkHelloFrame{VersionMin: 998, VersionMax: 999, Name: "b", Agent: "brokerd v99"}
	if _, err := conn.Write(hello.Append(nil)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	end, err := wire.DecodeLinkClose(answer)
	if err != nil {
		t.Fatalf("the answer is no frame that closes: %v: %q", err, answer)
	}
	if end.Code != wire.CodeVersion {
		t.Errorf("the connection closes with %v: %s", end.Code, end.Message)
	}
	wantIn(t, "what the peer is told", end.Message, "998", "999", "version")
	r := a.refusal()
	wantIn(t, "the reason", r.Last, "998", "999", "127.0.0.1")
}
