package remote_test

import (
	"os/exec"
	"strings"
	"testing"

	"brokerd/tests/internal/harness"
)

const someRings = "[{name: md, capacity: 64KiB}, {name: secret, capacity: 64KiB}]"

// refusal is a command line that has to fail, and how.
type refusal struct {
	what string
	cmd  *exec.Cmd
	code int
	says string // on stderr, a regular word of it
}

func (r refusal) check(t *testing.T) {
	t.Helper()
	p := harness.Launch(t, r.cmd)
	if code := p.Wait(); code != r.code || !strings.Contains(p.Stderr.String(), r.says) || strings.Count(p.Stderr.String(), "\n") != 1 {
		t.Errorf("%s: exit code %d, want %d; %q, want %q", r.what, code, r.code, p.Stderr, r.says)
	}
}

// TestRefused: what the gateway does not let a client do, with and without TLS.
func TestRefused(t *testing.T) {
	bothWays(t, func(t *testing.T, tls bool) {
		s := newSite(t, tls, someRings)
		s.Start()
		for _, r := range []refusal{
			{"another's ring", s.remote(s.address, "secret", "--as", "consumer"), 4, "secret"},
			{"producing there", s.remote(s.address, "secret", "--as", "producer"), 4, "secret"},
			{"no ring", s.remote(s.address, "orders", "--as", "consumer"), 4, "there is no ring orders"},
			{"no ring, after a wait", s.remote(s.address, "orders", "--as", "producer", "--wait-for", "300ms"), 4, "waited"},
			{"a position", s.remote(s.address, "md", "--as", "consumer", "--from", "4096"), 4, "4096"},
		} {
			r.check(t)
		}
	})
}

// TestStrangers: certificates that are not what they should be, and TLS on one side
// only. Each is told why.
func TestStrangers(t *testing.T) {
	s := newSite(t, true, someRings)
	s.pki.Issue("old", "--valid-from", "2020-01-01", "--days", "1")
	s.pki.Issue("nobody")
	other := newSite(t, true, someRings) // another authority
	plain := newSite(t, false, someRings)
	d := s.Start()
	plain.Start()
	own := s.pki.Files(clientName)
	with := func(files harness.Files, address string, more ...string) *exec.Cmd {
		args := append(append(files.Flags(), "--address", address), more...)
		return exec.Command(binaries.Brokerctl, append(args, "attach", "md", "--as", "consumer")...)
	}
	for _, r := range []refusal{
		{"another authority's client", with(other.pki.Files(clientName).Trusting(s.pki), s.address), 4, "certificate"},
		{"an expired certificate", with(s.pki.Files("old"), s.address), 4, "expired"},
		{"an unlisted name", with(s.pki.Files("nobody"), s.address), 4, "nobody"},
		{"another authority's gateway", with(own.Trusting(other.pki), s.address), 3, "not to be trusted"},
		{"another server name", with(own, s.address, "--server-name", "hostB"), 3, "hostB"},
		{"TLS to a plain gateway", with(own, plain.address), 1, "TLS"},
		{"plain to a TLS gateway", plain.remote(s.address, "md", "--as", "consumer"), 1, "TLS"},
		{"no such file", with(s.pki.Files("missing"), s.address), 2, "missing.pem"},
		{"nobody there", plain.remote(harness.FreeAddress(t), "md", "--as", "consumer"), 3, "connection refused"},
		{"an unlisted name without TLS", exec.Command(binaries.Brokerctl, "--address", plain.address, "--tls", "off", "--as-peer", "nobody", "attach", "md", "--as", "consumer"), 4, "md"},
	} {
		r.check(t)
	}
	if !strings.Contains(d.Stderr.String(), "nobody") {
		t.Error("the gateway's log does not name the stranger")
	}
}

// TestRingComesLater: --wait-for waits for the gateway and for the ring.
func TestRingComesLater(t *testing.T) {
	s := newSite(t, false, "[]")
	p := s.launch("hello\n", s.address, "md", "--as", "producer", "--wait-for", "20s")
	s.Start()
	s.Output("ring", "create", "md")
	p.Expect(0)
	if got := s.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "1"); got != "hello\n" {
		t.Errorf("got %q", got)
	}
}
