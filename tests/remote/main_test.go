// Package remote_test attaches over TCP: brokerctl and package client on one side, a
// real brokerd on the other, and in between what networks and machines do.
package remote_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &binaries)) }

// site is a host with a gateway, and what a client needs to reach it.
type site struct {
	harness.Place
	address string             // of the gateway
	pki     *harness.Authority // nil without TLS
}

// clientName is the client of these tests, as the site lists it.
const clientName = "desk"

// newSite writes a configuration. The client may do all with the rings md and
// orders, and nothing with others.
func newSite(t *testing.T, tls bool, rings string, more ...string) *site {
	t.Helper()
	s := &site{address: harness.FreeAddress(t)}
	keys := "off"
	if tls {
		s.pki = harness.NewAuthority(t, binaries)
		keys = s.pki.Issue("hostA", "--san", "127.0.0.1")
		s.pki.Issue(clientName)
	}
	s.Place = harness.NewPlace(t, binaries, rings, append(more, fmt.Sprintf(`gateway:
  name: hostA
  listen: %s
  tls: %s
  peers:
    - name: %s
      allow: {export: [md, orders], import: [md, orders], gate: [md, orders]}`, s.address, keys, clientName))...)
	return s
}

// remote is brokerctl that attaches at an address over TCP.
func (s *site) remote(address string, args ...string) *exec.Cmd {
	flags := []string{"--address", address, "--tls", "off", "--as-peer", clientName}
	if s.pki != nil {
		flags = append([]string{"--address", address}, s.pki.Files(clientName).Flags()...)
	}
	return exec.Command(binaries.Brokerctl, append(append(flags, "attach"), args...)...)
}

// launch starts it, with some input.
func (s *site) launch(input, address string, args ...string) *harness.Process {
	s.T.Helper()
	cmd := s.remote(address, args...)
	cmd.Stdin = strings.NewReader(input)
	return harness.Launch(s.T, cmd)
}

// dial connects this process. The test closes it.
func (s *site) dial(t *testing.T, address string) *client.Remote {
	t.Helper()
	o := client.TCPOptions{Address: address, Plain: true, Name: clientName, WaitFor: harness.Patience}
	if s.pki != nil {
		f := s.pki.Files(clientName)
		o = client.TCPOptions{Address: address, Cert: f.Cert, Key: f.Key, CA: f.CA, WaitFor: harness.Patience}
	}
	r, err := client.DialTCP(harness.Bounded(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() }) // the tests that care close it themselves
	return r
}

// bothWays runs a test without TLS and with it.
func bothWays(t *testing.T, test func(t *testing.T, tls bool)) {
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "tls"}[tls], func(t *testing.T) { test(t, tls) })
	}
}
