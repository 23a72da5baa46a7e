// Package remote_test attaches over TCP: brokerctl and package client on one side, a
// real brokerd on the other, and in between what networks and machines do.
package remote_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	os.Exit(harness.WithBinaries([]string{"brokerd", "brokerctl"}, func(b harness.Binaries) int {
		binaries = b
		return m.Run()
	}))
}

// site is a host with a gateway, and what a client needs to reach it.
type site struct {
	harness.Place
	address string // of the gateway
	tls     bool
	pki     string // folder of the certificates
}

// clientName is the client of these tests, as the site lists it.
const clientName = "desk"

// newSite writes a configuration. The client may do all with the rings md and
// orders, and nothing with others.
func newSite(t *testing.T, tls bool, rings string, more ...string) *site {
	t.Helper()
	s := &site{tls: tls, address: freeAddress(t)}
	gateway := "tls: off"
	if tls {
		s.pki = filepath.Join(t.TempDir(), "pki")
		s.certificate(t, "init")
		s.certificate(t, "issue", "hostA", "--san", "127.0.0.1")
		s.certificate(t, "issue", clientName)
		gateway = fmt.Sprintf("tls: {cert: %[1]s/hostA.pem, key: %[1]s/hostA-key.pem, ca: %[1]s/ca.pem}", s.pki)
	}
	s.Place = harness.NewPlace(t, binaries, rings, append(more, fmt.Sprintf(`gateway:
  name: hostA
  listen: %s
  %s
  peers:
    - name: %s
      allow: {export: [md, orders], import: [md, orders], gate: [md, orders]}`, s.address, gateway, clientName))...)
	return s
}

// freeAddress is one where nobody listens: a daemon that is started again is to
// have the same.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (s *site) certificate(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(binaries.Brokerctl, append([]string{"pki"}, append(args, "--dir", s.pki)...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("pki %v: %v\n%s", args, err, out)
	}
}

// remote is brokerctl that attaches at an address over TCP.
func (s *site) remote(address string, args ...string) *exec.Cmd {
	flags := []string{"--address", address, "--tls", "off", "--as-peer", clientName}
	if s.tls {
		flags = []string{
			"--address", address, "--cert", s.pki + "/" + clientName + ".pem", "--key", s.pki + "/" + clientName + "-key.pem", "--ca", s.pki + "/ca.pem",
		}
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
	if s.tls {
		o = client.TCPOptions{
			Address: address, Cert: s.pki + "/" + clientName + ".pem", Key: s.pki + "/" + clientName + "-key.pem", CA: s.pki + "/ca.pem",
			WaitFor: harness.Patience,
		}
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
