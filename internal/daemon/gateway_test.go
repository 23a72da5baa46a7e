package daemon

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"brokerd/internal/config"
	"brokerd/internal/gateway"
	"brokerd/internal/wire"
)

const gatewayText = `
rings: [{name: own}]
gateway:
  listen: 10.0.0.1:9465
  tls: {cert: /c, key: /k, ca: /a}
  export: [own]
  busy_poll: true
  handshake_timeout: 1s
  dead_after: 2s
  peers:
  - name: b
    address: b:1
    mirror:
    - md
    - {ring: md, as: md2, policy: skip, consumers_max: 3, resume_for: 4s, allow: {consume: {users: [u]}, gate: {groups: [g]}}}
    allow: {export: [x], import: [y], gate: [z]}
  - {name: c, address: "c:1", tls: off}
  - {name: d, address: "d:1", tls: {cert: /dc, key: /dk, ca: /da}}
feeds:
- {name: f, ring: own, listen: ":1", direction: in, framing: u32be, frame_max: 1KiB, idle_timeout: 5s, connections_max: 6}
`

func hostIs(name string) func() (string, error) {
	return func() (string, error) { return name, nil }
}

func TestGatewaySettingsSayEverything(t *testing.T) {
	got, err := gatewaySettings(parse(t, gatewayText), hostIs("a.example"))
	if err != nil {
		t.Fatal(err)
	}
	want := gateway.Settings{
		Name: "a.example", Listen: "10.0.0.1:9465", TLS: &gateway.TLS{Cert: "/c", Key: "/k", CA: "/a"},
		Export: []string{"own"}, BusyPoll: true, HandshakeTimeout: time.Second, DeadAfter: 2 * time.Second,
		Peers: []gateway.Peer{
			{Name: "b", Address: "b:1",
				Mirror: []gateway.Mirror{
					{Ring: "md", As: "md", Policy: wire.PolicyDemote, ConsumersMax: 16},
					{Ring: "md", As: "md2", Policy: wire.PolicySkip, ConsumersMax: 3, ResumeForNS: 4e9,
						Allow: wire.Allow{Consume: &wire.Principals{Users: []string{"u"}}, Gate: &wire.Principals{Groups: []string{"g"}}}},
				},
				Allow: gateway.Allow{Export: []string{"x"}, Import: []string{"y"}, Gate: []string{"z"}}},
			{Name: "c", Address: "c:1", TLSOff: true},
			{Name: "d", Address: "d:1", TLS: &gateway.TLS{Cert: "/dc", Key: "/dk", CA: "/da"}},
		},
		Feeds: []gateway.Feed{{Name: "f", Ring: "own", Listen: ":1", Direction: "in", Framing: "u32be",
			FrameBytesMax: 1024, IdleTimeout: 5 * time.Second, ConnectionsMax: 6}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for name, zero := range zeroFields(reflect.ValueOf(got)) { // a new field that nobody fills
		if zero {
			t.Errorf("the test does not cover Settings.%s", name)
		}
	}
}

func zeroFields(v reflect.Value) map[string]bool {
	fields := map[string]bool{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Name] = v.Field(i).IsZero()
	}
	return fields
}

func TestHostNameStandsInForTheGatewaysName(t *testing.T) {
	used := "gateway: {listen: \"127.0.0.1:0\", tls: off, name: %}"
	for _, tt := range []struct{ name, host, want string }{{"a", "b", "a"}, {"''", "b.example", "b.example"}, {"''", "(none)", ""}, {"''", "", ""}} {
		s, err := gatewaySettings(parse(t, strings.Replace(used, "%", tt.name, 1)), hostIs(tt.host))
		if s.Name != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%+v: got %q, %v", tt, s.Name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "set gateway.name") {
			t.Errorf("%v does not say what to do", err)
		}
	}
	if _, err := gatewaySettings(config.Default(), func() (string, error) { return "", errors.New("no name") }); err != nil {
		t.Errorf("a daemon without a gateway needs a host name: %v", err)
	}
}

func TestOpenLinksAreTold(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil,
		"gateway: {listen: \"127.0.0.1:9465\", tls: off}":                                 nil,
		"gateway: {listen: \"[::1]:9465\", tls: off}":                                     nil,
		"gateway: {listen: \"localhost:9465\", tls: off}":                                 nil,
		"gateway: {listen: \":9465\", tls: {cert: /c, key: /k, ca: /a}}":                  nil,
		"gateway: {listen: \":9465\", tls: off}":                                          {"gateway.listen :9465"},
		"gateway: {listen: \"0.0.0.0:9465\", tls: off}":                                   {"gateway.listen 0.0.0.0:9465"},
		"gateway: {listen: \"desk:9465\", tls: off}":                                      {"gateway.listen desk:9465"},
		"gateway: {tls: off, peers: [{name: b, address: \"127.9.9.9:1\"}]}":               nil,
		"gateway: {tls: off, peers: [{name: b, address: \"b:1\"}]}":                       {"b at b:1"},
		"gateway: {peers: [{name: b, address: \"b:1\", tls: off}]}":                       {"b at b:1"},
		"gateway: {tls: {cert: /c, key: /k, ca: /a}, peers: [{name: b, address: 'b:1'}]}": nil,
		"gateway: {tls: off, listen: \":1\", peers: [{name: b, address: 'b:1', tls: {cert: /c, key: /k, ca: /a}}, {name: c, address: 'c:1'}]}": {
			"gateway.listen :1", "c at c:1"},
	} {
		got := openLinks(parse(t, text).Gateway)
		if len(got) != len(want) {
			t.Errorf("%s gives %q, want %d", text, got, len(want))
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) || !strings.Contains(got[i], "tls: off") {
				t.Errorf("%s gives %q, want %q in it", text, got[i], want[i])
			}
		}
	}
}
