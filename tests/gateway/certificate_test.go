package gateway

import (
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestTwoHostsOfOneName: the second host with a certificate is refused while the
// first is there, told why, and takes over when it is gone. They do not take the
// ring from each other in turns.
func TestTwoHostsOfOneName(t *testing.T) {
	t.Parallel()
	pki := harness.NewAuthority(t, binaries)
	keys := pki.Issue("b")
	a := startHost(t, mdRing, gatewayKeys{name: "a", tls: pki.Issue("a"), export: "[md]", peers: []string{"{name: b}"}, more: []string{"dead_after: 1s"}})
	first := startHost(t, "[]", gatewayKeys{name: "b", tls: keys, silent: true, peers: []string{a.asPeer("[md]")}})
	steady := first.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	second := startHost(t, "[]", gatewayKeys{name: "b", tls: keys, silent: true, peers: []string{a.asPeer("[md]")}})
	l := second.waitLink("a", client.LinkRoleMirror, "md", client.LinkRefused)
	wantIn(t, "what the second is told", l.Reason, "called b, too", "certificate of its own", "127.0.0.1")
	a.Publish("md", lines(0, 10))
	first.waitCaughtUp("md", a, "md")
	if now := first.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS || now.Reconnects != 0 {
		t.Errorf("the link of the first was %+v and is %+v", steady, now)
	}
	if a.Scrape()["brokerd_refused_handshakes_total{reason=busy}"] == 0 {
		t.Error("the metrics do not count it")
	}
	first.Kill()
	second.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	second.waitCaughtUp("md", a, "md")
}

// TestFilesOfCertificates: how long they are valid is shown, and an operator is
// told of one that ends soon and of a key that everybody can read.
func TestFilesOfCertificates(t *testing.T) {
	t.Parallel()
	pki := harness.NewAuthority(t, binaries)
	good := startHost(t, mdRing, gatewayKeys{name: "a", tls: pki.Issue("a")})
	status := func(h *host) string {
		s, err := h.client.Status(harness.Bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(s.Problems, "\n")
	}
	if problems := status(good); problems != "" {
		t.Errorf("nothing is wrong, and the status says %s", problems)
	}
	soon := pki.Issue("soon", "--days", "5")
	files := pki.Files("soon")
	if err := os.Chmod(files.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, mdRing, gatewayKeys{name: "soon", tls: soon})
	wantIn(t, "the status", status(h), files.Cert, "in 4 days", files.Key, "chmod")
	wantIn(t, "the log", h.Stderr.String(), "in 4 days", "chmod")
	wantIn(t, "brokerctl links", h.Output("links"), "CERTIFICATE", files.Cert, "soon", files.CA)
	end := h.Scrape()["brokerd_certificate_not_after_timestamp_seconds{file="+files.Cert+"}"]
	if left := time.Until(time.Unix(int64(end), 0)); left < 4*24*time.Hour || left > 5*24*time.Hour {
		t.Errorf("the metric says that it is valid for %v more", left)
	}

	// Mended and reloaded, all is well.
	if err := os.Chmod(files.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	h.edit(mdRing, func(g *gatewayKeys) { g.tls = pki.Keys("a") })
	h.reload()
	if problems := status(h); problems != "" {
		t.Errorf("after the reload the status says %s", problems)
	}
}
