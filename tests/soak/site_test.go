package soak

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	feedRing   = "md"     // one producer, mirrored
	ordersRing = "orders" // many producers, cursors
	mirrorRing = "md.a"   // on the other host

	remoteName = "desk"
	// standstillMax is more than a busy machine has been seen to stand still.
	standstillMax = 3 * time.Minute
	ringsYAML     = "[{name: md, capacity: 1MiB, consumers_max: 32}, " +
		"{name: orders, capacity: 256KiB, producers: many, checksum: true, resume_for: 2s, consumers_max: 32}]"
)

// site is one of the two hosts.
type site struct {
	*harness.Daemon
	address string // of its gateway
	keys    harness.Files
	config  []string // below its rings
}

// startSites starts a host with rings, and one with a mirror, with TLS in between.
func startSites(t *testing.T) (origin, far *site) {
	pki := harness.NewAuthority(t, binaries)
	pki.Issue(remoteName)
	pki.Issue("origin", "--san", "127.0.0.1")
	pki.Issue("far", "--san", "127.0.0.1")
	origin = &site{address: harness.FreeAddress(t), keys: pki.Files("origin")}
	const rights = "{export: [md, orders], import: [orders], gate: [md]}"
	origin.start(t, ringsYAML, fmt.Sprintf(
		"gateway:\n  name: origin\n  listen: %s\n  tls: %s\n  peers:\n  - {name: far, allow: %s}\n  - {name: %s, allow: %s}",
		origin.address, origin.keys.YAML(), rights, remoteName, rights))
	far = &site{address: harness.FreeAddress(t), keys: pki.Files("far")}
	far.start(t, "[]", fmt.Sprintf(
		"gateway:\n  name: far\n  listen: %s\n  tls: %s\n  peers:\n  - {name: origin, address: %q, mirror: [{ring: md, as: %s}]}",
		far.address, far.keys.YAML(), origin.address, mirrorRing))
	origin.keys = pki.Files(remoteName)
	harness.Eventually(t, "the mirror is there", func() bool {
		return far.Dial().WaitRing(harness.Bounded(t), mirrorRing) == nil
	})
	return origin, far
}

func (s *site) start(t *testing.T, rings string, more ...string) {
	s.config = more
	s.Daemon = harness.NewPlace(t, binaries, rings, more...).Start()
}

// remote is what a client connects with over TCP.
func (s *site) remote() client.TCPOptions {
	return client.TCPOptions{Address: s.address, Cert: s.keys.Cert, Key: s.keys.Key, CA: s.keys.CA, WaitFor: standstillMax}
}

// quiet has a daemon log warnings only, from its next reload on: the load causes
// hundreds of lines a second.
func (s *site) quiet(rings string, more ...string) error {
	s.Configure(rings, more...)
	text, err := os.ReadFile(s.Config)
	if err != nil {
		return err
	}
	s.Write(strings.Replace(string(text), "format: json", "format: json\n  level: warn", 1))
	return nil
}
