package config_test

import (
	"fmt"
	"strings"
	"testing"

	"brokerd/internal/config"
)

// badGateways are like badFiles, about other hosts.
func badGateways() map[string][]string {
	const name = "expected 1 to 64 of a-z A-Z 0-9 . _ - that start with a letter or digit"
	const tls = "expected cert, key and ca (brokerctl pki init and brokerctl pki issue make them), or off for plain TCP that anybody on the way can read and change"
	const file = "expected an absolute path of a PEM file, at most 3072 bytes"
	const address = "expected host:port such as b.example:9465, with a port from 1 to 65535"
	return map[string][]string{
		// TLS is the default, and has to be given or refused.
		"gateway:\n  listen: 127.0.0.1:9465\n":                               {`1: gateway.tls: got nothing, ` + tls},
		"gateway:\n  peers:\n  - name: b\n    address: \"b:1\"\n":            {`1: gateway.tls: got nothing, ` + tls},
		"gateway:\n  listen: :1\n  tls:\n":                                   {`3: gateway.tls: got nothing, ` + tls},
		"gateway:\n  listen: :1\n  tls: no\n":                                {`3: gateway.tls: got "no", ` + tls},
		"gateway:\n  listen: :1\n  tls: [off]\n":                             {`3: gateway.tls: got a list, ` + tls},
		"gateway:\n  tls:\n    cert: /a\n    kee: /b\n    ca: c\n":           {`2: gateway.tls.key: got nothing, ` + file, `4: gateway.tls.kee: unknown key (did you mean "key"?)`, `5: gateway.tls.ca: got "c", ` + file},
		"gateway:\n  peers:\n  - name: b\n    address: \"b:1\"\n    tls: {}": {`5: gateway.peers[0].tls.cert: got nothing, ` + file, `5: gateway.peers[0].tls.key: got nothing, ` + file, `5: gateway.peers[0].tls.ca: got nothing, ` + file},

		// Values
		"gateway:\n  lisen: x":    {`2: gateway.lisen: unknown key (did you mean "listen"?)`},
		"gateway: {name: -a}":     {`1: gateway.name: got "-a", ` + name + `, or "" for the host name`},
		"gateway: {listen: 9465}": {`1: gateway.listen: got "9465", expected host:port such as 0.0.0.0:9465, or "" for a gateway that only dials`},
		"gateway:\n  export: [md, ../x]\n  busy_poll: yes\n  handshake_timeout: 99ms\n  dead_after: 61s": {
			`2: gateway.export[1]: got "../x", ` + name,
			`3: gateway.busy_poll: got "yes", expected true or false`,
			`4: gateway.handshake_timeout: got "99ms", expected a time from 100ms to 1m, such as 5s`,
			`5: gateway.dead_after: got "61s", expected a time from 100ms to 1m, such as 3s`},
		"gateway:\n  tls: off\n  peers:\n  - address: \":1\"\n    allow: {produce: [a], gate: [/]}\n    mirror:\n    - a/b\n    - {as: x}\n    - {ring: a, policy: some, allow: {produce: {users: [a]}, gate: {}}}": {
			`4: gateway.peers[0].address: got ":1", ` + address + `, or "" for a peer that only dials in`,
			`4: gateway.peers[0].name: got nothing, ` + name + `, one of the names in the peer's certificate`,
			`5: gateway.peers[0].allow.produce: unknown key (expected one of export, import, gate)`,
			`5: gateway.peers[0].allow.gate[0]: got "/", ` + name,
			`7: gateway.peers[0].mirror[0]: got "a/b", ` + name,
			`8: gateway.peers[0].mirror[1].ring: got nothing, ` + name,
			`9: gateway.peers[0].mirror[2].policy: got "some", expected block, demote, skip or latest`,
			`9: gateway.peers[0].mirror[2].allow.produce: unknown key (expected one of consume, gate)`,
			`9: gateway.peers[0].mirror[2].allow.gate: got nobody, expected users or groups (leave the key out for the daemon's user and root only)`},
		"gateway:\n  tls: off\n  peers:\n  - {name: b, address: \"b:0\"}": {`4: gateway.peers[0].address: got "b:0", ` + address + `, or "" for a peer that only dials in`},

		// Values that do not go together
		"gateway:\n  peers:\n  - name: b\n":                                        {`3: gateway.peers[0].address: got nothing, ` + address + `, or gateway.listen for a peer that dials in`},
		"gateway:\n  tls: off\n  listen: :1\n  peers:\n  - {name: b, mirror: [m]}": {`5: gateway.peers[0].address: got nothing, ` + address + `, since who mirrors a ring dials the peer that has it`},
		"gateway:\n  tls: off\n  peers:\n  - {name: b, address: \"b:1\"}\n  - {name: b, address: \"c:1\"}": {
			`5: gateway.peers[1].name: got "b", expected a name of its own: gateway.peers[0] on line 4 has this one`},
		"rings:\n- name: md\ngateway:\n  tls: off\n  peers:\n  - name: b\n    address: b:1\n    mirror:\n    - md\n    - x\n  - name: c\n    address: c:1\n    mirror:\n    - ring: y\n      as: x\n": {
			`9: gateway.peers[0].mirror[0]: got "md", expected a name of its own: rings[0] on line 2 has this one`,
			`15: gateway.peers[1].mirror[0].as: got "x", expected a name of its own: gateway.peers[0].mirror[1] on line 10 has this one`},
		"limits: {rings: 2}\nrings: [{name: a}]\ngateway:\n  tls: off\n  peers: [{name: b, address: \"b:1\", mirror: [c, d]}]": {
			`5: gateway.peers: got 2 mirrors besides 1 rings, expected at most limits.rings, 2, of both together; raise the limit or remove some`},

		// Feeds
		"feeds:\n- frame_max: 0\n": {
			`2: feeds[0].frame_max: got "0", expected a size from 1B to 16MiB, such as 64KiB`,
			`2: feeds[0].name: got nothing, ` + name, `2: feeds[0].ring: got nothing, ` + name,
			`2: feeds[0].direction: got nothing, expected in or out`,
			`2: feeds[0].framing: got nothing, expected line, u16be, u32be or fix`,
			`2: feeds[0].connect: got nothing, and no listen, expected exactly one of connect and listen`},
		"rings: [{name: m}]\nfeeds:\n- {name: f, ring: m, direction: in, framing: line, connect: \"a:1\", listen: \":1\"}": {
			`3: feeds[0].listen: got connect as well, expected exactly one of connect and listen`},
		"rings: [{name: m}]\nfeeds:\n- {name: f, ring: m, direction: up, framing: tls, connect: \"a\", idle_timeout: 25h, connections_max: 4097}": {
			`3: feeds[0].direction: got "up", expected in or out`, `3: feeds[0].framing: got "tls", expected line, u16be, u32be or fix`,
			`3: feeds[0].connect: got "a", ` + address, `3: feeds[0].idle_timeout: got "25h", expected a time from 0s (none) to 24h, such as 30s`,
			`3: feeds[0].connections_max: got "4097", expected a whole number from 1 to 4096`},
		"rings: [{name: m}]\nfeeds:\n- {name: f, ring: n, direction: in, framing: line, listen: \":1\"}\n- {name: f, ring: m, direction: in, framing: line, listen: \":2\"}": {
			`3: feeds[0].ring: got "n", expected the name of one of rings, or the local name of a mirror`,
			`4: feeds[1].name: got "f", expected a name of its own: feeds[0] on line 3 has this one`},
		"gateway:\n  tls: off\n  peers: [{name: b, address: \"b:1\", mirror: [m]}]\nfeeds:\n- {name: f, ring: m, direction: in, framing: line, listen: \":1\"}": {
			`5: feeds[0].ring: got "m", expected one of rings: gateway.peers[0].mirror[0] on line 3 is a mirror, which only its origin publishes into`},
	}
}

func TestBadGateways(t *testing.T) {
	for text, want := range badGateways() {
		_, err := config.Parse("brokerd.yaml", []byte(text))
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		if full := "brokerd.yaml:" + strings.Join(want, "\nbrokerd.yaml:"); err.Error() != full {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, full)
		}
	}
}

// Lists are accepted at their limit, and refused with one more.
func TestGatewayLimits(t *testing.T) {
	list := func(n int, item string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, item, i)
		}
		return text.String()
	}
	for _, tt := range []struct {
		key  string
		most int
		text func(n int) string
	}{
		{"gateway.peers", config.GatewayPeersMax, func(n int) string {
			return "gateway:\n  tls: off\n  peers:\n" + list(n, "  - {name: p%d, address: \"h:1\"}\n")
		}},
		{"gateway.peers[0].mirror", config.PeerMirrorsMax, func(n int) string {
			return "gateway:\n  tls: off\n  peers:\n  - name: b\n    address: b:1\n    mirror:\n" + list(n, "    - m%d\n")
		}},
		{"gateway.export", config.PeerRingsMax, func(n int) string { return "gateway:\n  export:\n" + list(n, "  - m%d\n") }},
		{"feeds", config.FeedsMax, func(n int) string {
			return "rings: [{name: m}]\nfeeds:\n" + list(n, "- {name: f%d, ring: m, direction: out, framing: line, listen: \":1\"}\n")
		}},
	} {
		if _, err := config.Parse("f", []byte(tt.text(tt.most))); err != nil {
			t.Errorf("%d entries of %s: %v", tt.most, tt.key, err)
		}
		_, err := config.Parse("f", []byte(tt.text(tt.most+1)))
		if want := fmt.Sprintf("%s: got %d entries, expected at most %d entries", tt.key, tt.most+1, tt.most); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d entries of %s: got %v, want %s", tt.most+1, tt.key, err, want)
		}
	}
}

func TestUsesGateway(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                    false,
		"gateway: {export: [a]}":              false,
		"gateway: {listen: \":1\", tls: off}": true,
		"gateway: {tls: off, peers: [{name: b, address: \"b:1\"}]}":                                       true,
		"rings: [{name: m}]\nfeeds: [{name: f, ring: m, listen: \":1\", direction: out, framing: u32be}]": true,
	} {
		if got := mustParse(t, text).UsesGateway(); got != want {
			t.Errorf("%q uses a gateway: %v", text, got)
		}
	}
}
