package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestRemoteUsage: what does not go together is the command line's fault.
func TestRemoteUsage(t *testing.T) {
	for _, tc := range []struct{ line, says string }{
		{"--address h:1 status", "status: --address is for attach only"},
		{"--address h:1 --tls off ring list", "ring list: --address is for attach only"},
		{"--address h:1 pki init", "pki init: --address is for attach only"},
		{"--address h:1 attach md --as consumer", "--cert, --key and --ca"},
		{"--address h:1 --cert a --key b attach md --as consumer", "--cert, --key and --ca"},
		{"--address h:1 --tls off --ca c attach md --as consumer", "--ca and --tls off"},
		{"--address h:1 --tls maybe attach md --as consumer", "on or off"},
		{"--address h:1 --tls off --socket /s attach md --as consumer", "--address and --socket"},
		{"--as-peer desk attach md --as consumer", "--as-peer is for a gateway on another host"},
		{"--tls off status", "status: --tls is for a gateway"},
		{"--address h --tls off attach md --as consumer", "host:port"},
		{"--address h:1 --tls off --as-peer a/b attach md --as consumer", "name"},
	} {
		got := brokerctl(t.Context(), "", strings.Fields(tc.line)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, tc.says) {
			t.Errorf("%s: %+v, want %q", tc.line, got, tc.says)
		}
	}
}

// TestRemoteAttach moves lines there and back over TCP.
func TestRemoteAttach(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, oneRing)
	h.configure(oneRing, fmt.Sprintf("gateway: {name: here, listen: %q, tls: off, peers: [{name: desk, allow: {export: [md], import: [md]}}]}\n", address))
	h.good("reload")
	flags := []string{"--address", address, "--tls", "off", "--as-peer", "desk", "attach", "md"}
	got := brokerctl(t.Context(), "one\ntwo\n", append(flags, "--as", "producer", "--wait-for", "10s")...)
	if got.code != exitDone || !strings.HasPrefix(got.stderr, "brokerctl: md: 2 records, 6 bytes") {
		t.Fatalf("producer: %+v", got)
	}
	got = brokerctl(t.Context(), "", append(flags, "--as", "consumer", "--from", "oldest", "--count", "2", "-o", "json")...)
	if got.code != exitDone || got.stdout != "one\ntwo\n" || !strings.Contains(got.stderr, `"records":2`) {
		t.Errorf("consumer: %+v", got)
	}
	if got := h.run("__complete", "--address", address, "attach", ""); strings.Contains(got.stdout, "md") {
		t.Errorf("rings of another host are completed: %+v", got)
	}
}
