package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestReloadAddsAndRemovesPeers changes what b mirrors, and who may mirror from
// a, while the link of another ring goes on.
func TestReloadAddsAndRemovesPeers(t *testing.T) {
	t.Parallel()
	rings := "[{name: md, capacity: 64KiB}, {name: fills, capacity: 64KiB}]"
	a := startHost(t, rings, gatewayKeys{name: "a", export: "[md]", peers: []string{"{name: b, allow: {export: [fills]}}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b"})
	if n := len(b.links().Links); n != 0 {
		t.Fatalf("b has %d links without peers", n)
	}
	b.edit("[]", func(g *gatewayKeys) { g.peers = []string{a.asPeer("[md]")} })
	out := b.reload()
	wantIn(t, "what a reload changed", strings.Join(out.Changed, "\n"), "peer a")
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)

	b.edit("[]", func(g *gatewayKeys) { g.peers = []string{a.asPeer("[md, {ring: fills, as: fills-a}]")} })
	wantIn(t, "what a reload changed", strings.Join(b.reload().Changed, "\n"), "fills")
	b.waitLink("a", client.LinkRoleMirror, "fills-a", client.LinkConnected)
	a.Publish("fills", lines(0, 10))
	if got := b.read("fills-a", 10); got != lines(0, 10) {
		t.Errorf("the added mirror reads\n%s", got)
	}

	// A right that is gone ends the stream, and b is told.
	a.edit(rings, func(g *gatewayKeys) { g.peers = []string{"{name: b}"} })
	wantIn(t, "what a reload changed", strings.Join(a.reload().Changed, "\n"), "b")
	l := b.waitLink("a", client.LinkRoleMirror, "fills-a", client.LinkRefused)
	wantIn(t, "b's reason", l.Reason, "fills")

	b.edit("[]", func(g *gatewayKeys) { g.peers = []string{a.asPeer("[md]")} })
	wantIn(t, "what a reload changed", strings.Join(b.reload().Changed, "\n"), "fills")
	if _, there := b.link("a", client.LinkRoleMirror, "fills-a"); there {
		t.Error("a mirror that was taken out of the configuration is still a link")
	}
	if got := b.read("fills-a", 10); got != lines(0, 10) {
		t.Errorf("the ring of the mirror that was taken out reads\n%s", got)
	}
	a.Publish("md", lines(0, 10))
	b.waitCaughtUp("md", a, "md")
	now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	if now.SinceNS != steady.SinceNS || now.Reconnects != 0 {
		t.Errorf("the link that nothing was said about was %+v and is %+v", steady, now)
	}

	b.edit("[]", func(g *gatewayKeys) { g.peers = nil })
	b.reload()
	if n := len(b.links().Links); n != 0 {
		t.Errorf("b has %d links and no peers", n)
	}
	b.Output("ring", "rm", "fills-a", "--force")
}

// TestReloadRefusesBadFiles judges certificates before anything changes.
func TestReloadRefusesBadFiles(t *testing.T) {
	t.Parallel()
	pki := harness.NewAuthority(t, binaries)
	a := startHost(t, mdRing, gatewayKeys{name: "a", tls: pki.Issue("a"), export: "[md]", peers: []string{"{name: b}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", tls: pki.Issue("b"), silent: true, peers: []string{a.asPeer("[md]")}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	own, others := pki.Files("a"), pki.Files("b")
	instead := func(of, other string) string { return strings.Replace(own.YAML(), of, other, 1) }
	for name, broken := range map[string]string{
		"missing":       pki.Keys("nobody"),
		"not its key":   instead(own.Key, others.Key),
		"no PEM":        instead(own.CA, a.Config),
		"key for cert":  instead(own.Cert, own.Key),
		"a folder":      instead(own.CA, pki.Dir),
		"an empty file": instead(own.CA, empty(t)),
	} {
		a.edit("[{name: md, capacity: 64KiB}, {name: more, capacity: 64KiB}]", func(g *gatewayKeys) { g.tls = broken })
		_, err := a.client.Reload(harness.Bounded(t))
		if err == nil {
			t.Errorf("%s: the reload succeeds", name)
			continue
		}
		wantIn(t, name, err.Error(), a.Config+": gateway.tls: ", badPath(broken, own.YAML()))
		check := harness.Launch(t, exec.Command(binaries.Brokerd, "--config", a.Config, "--check"))
		if code := check.Wait(); code == 0 {
			t.Errorf("%s: --check is content", name)
		}
		wantIn(t, name+" at --check", check.Stderr.String(), a.Config+": gateway.tls: ", badPath(broken, own.YAML()))
	}
	if code := a.Ctl("ring", "show", "more").Wait(); code == 0 {
		t.Error("a refused reload has made a ring")
	}
	a.Publish("md", lines(0, 10))
	b.waitCaughtUp("md", a, "md")
	if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS {
		t.Errorf("refused reloads have touched the link: %+v, then %+v", steady, now)
	}
}

// badPath is the first path of broken that good does not have.
func badPath(broken, good string) string {
	was := strings.Fields(strings.Trim(good, "{}"))
	for i, word := range strings.Fields(strings.Trim(broken, "{}")) {
		if word != was[i] {
			return strings.TrimSuffix(word, ",")
		}
	}
	return "nothing is broken"
}

func empty(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSIGHUPReadsCertificatesAgain gives a another certificate: links that are
// there stay, and who comes later sees the new one.
func TestSIGHUPReadsCertificatesAgain(t *testing.T) {
	t.Parallel()
	pki := harness.NewAuthority(t, binaries)
	a := startHost(t, mdRing, gatewayKeys{name: "a", tls: pki.Issue("a"), export: "[md]", peers: []string{"{name: b}", "{name: c}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", tls: pki.Issue("b"), silent: true, peers: []string{a.asPeer("[md]")}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	pki.Issue("c")
	old := serial(t, pki.Files("c"), a.address, "a")

	renew(t, pki, "a")
	a.edit(mdRing, func(*gatewayKeys) {})
	a.Signal(syscall.SIGHUP)
	harness.Eventually(t, "a has reloaded", func() bool { return a.Logged("reloaded") != nil })
	if now := serial(t, pki.Files("c"), a.address, "a"); now == old {
		t.Error("a still shows its old certificate")
	}
	c := startHost(t, "[]", gatewayKeys{name: "c", tls: pki.Keys("c"), silent: true, peers: []string{a.asPeer("[md]")}})
	c.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	a.Publish("md", lines(0, 100))
	b.waitCaughtUp("md", a, "md")
	c.waitCaughtUp("md", a, "md")
	if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS || now.Reconnects != 0 {
		t.Errorf("the link was %+v and is %+v", steady, now)
	}
}

// TestReloadToATakenAddress cannot listen where it is told to.
func TestReloadToATakenAddress(t *testing.T) {
	t.Parallel()
	a := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]"})
	b := startHost(t, "[]", gatewayKeys{name: "b", listen: "127.0.0.1:0", peers: []string{a.asPeer("[md]")}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	a.edit(mdRing, func(*gatewayKeys) {}) // from a free port to the one that it has found
	a.reload()
	old := a.address
	a.address = b.address
	a.edit(mdRing, func(*gatewayKeys) {})
	wantIn(t, "what a reload could not change", strings.Join(a.reload().Kept, "\n"), "gateway", "stay", b.address, "in use")
	if at := a.links().Listen; at != old {
		t.Errorf("a listens on %s, and did on %s", at, old)
	}
	a.Publish("md", lines(0, 10))
	b.waitCaughtUp("md", a, "md")
	if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS {
		t.Errorf("the link was %+v and is %+v", steady, now)
	}
	c := startHost(t, "[]", gatewayKeys{name: "c", silent: true, peers: []string{fmt.Sprintf("{name: a, address: %q, mirror: [md]}", old)}})
	c.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
}
