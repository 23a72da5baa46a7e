package harness

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// Authority is a folder in which brokerctl pki keeps an authority and what it has
// issued.
type Authority struct {
	Dir       string
	t         testing.TB
	brokerctl string
}

// NewAuthority makes an authority, which goes with the test.
func NewAuthority(t testing.TB, b Binaries) *Authority {
	t.Helper()
	a := &Authority{filepath.Join(t.TempDir(), "pki"), t, b.Brokerctl}
	a.run("init")
	return a
}

func (a *Authority) run(verb string, args ...string) {
	a.t.Helper()
	Launch(a.t, exec.Command(a.brokerctl, append([]string{"pki", verb, "--dir", a.Dir}, args...)...)).Expect(0)
}

// Issue makes a certificate and returns its Keys; more are flags of brokerctl pki
// issue.
func (a *Authority) Issue(name string, more ...string) string {
	a.t.Helper()
	a.run("issue", append([]string{name}, more...)...)
	return a.Keys(name)
}

// Keys is the value of gateway.tls for a host of that name.
func (a *Authority) Keys(name string) string { return a.Files(name).YAML() }

// Files are those of a name, which need not have been issued.
func (a *Authority) Files(name string) Files {
	return Files{filepath.Join(a.Dir, name+".pem"), filepath.Join(a.Dir, name+"-key.pem"), a.ca()}
}

func (a *Authority) ca() string { return filepath.Join(a.Dir, "ca.pem") }

// Files are a certificate, its key, and the authority that its owner trusts.
type Files struct{ Cert, Key, CA string }

// Trusting is f with the authority of others.
func (f Files) Trusting(other *Authority) Files {
	f.CA = other.ca()
	return f
}

// YAML is the value of gateway.tls that names them.
func (f Files) YAML() string { return fmt.Sprintf("{cert: %s, key: %s, ca: %s}", f.Cert, f.Key, f.CA) }

// Flags name them for a client.
func (f Files) Flags() []string { return []string{"--cert", f.Cert, "--key", f.Key, "--ca", f.CA} }
