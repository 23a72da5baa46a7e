package config_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"brokerd/internal/config"
)

// mustParse parses text that the test knows to be good.
func mustParse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("brokerd.yaml", []byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return c
}

// same fails unless the two configurations are equal.
func same(t *testing.T, got, want *config.Config) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseWithoutKeysIsDefaultsWithoutRings(t *testing.T) {
	want := config.Default()
	want.Rings = nil
	for _, text := range []string{"", "\n", "# only a comment\n", "---\n", "{}\n", "\ufeff",
		"rings:\n", "rings: []\n", "control:\n  # mode: \"0600\"\nlimits:\nadmin:\nlog: {}\n",
		"dir: \"\"\ncontrol: {socket: '', group: '', admin_group: ''}\nadmin: {listen: ''}\n",
		"gateway:\nfeeds:\n", "gateway: {name: '', listen: '', export: [], peers: []}\nfeeds: []\n"} {
		same(t, mustParse(t, text), want)
	}
}

const everyKey = `
dir: /dev/shm/x/../desk/
control:
  socket: /run/desk/control.sock
  mode: 0666
  group: 1001
  admin_group: 'ops team'
admin:
  listen: "[::1]:0"
limits:
  memory: 64GiB
  rings: 4096
  attachments: 65536
  connections: 1
  per_uid: {memory: 16TiB, attachments: 65536, connections: 65536}
rings:
- name: 7
  capacity: 2GiB
  record_max: 268435392
  producers: many
  consumers_max: 64
  timestamps: false
  checksum: true
  policy: latest
  demote_after: 1h
  resume_for: 24h
  allow: &who
    produce:
      users: [alice, 1001, "0", 4294967294]
    consume:
      groups: [DESK\traders]
- {name: a.b_c-D9, capacity: 64KiB, record_max: 1B, demote_after: 1ms, policy: block, resume_for: 0, allow: *who}
- name: least
gateway:
  name: a.example
  listen: ":9465"
  tls: {cert: /pki/a.crt, key: /pki/../pki/a.key, ca: /pki/ca.crt}
  export: [7, least]
  busy_poll: true
  handshake_timeout: 100ms
  dead_after: 1m
  peers:
  - name: b.example
    address: "[fd00::2]:9465"
    tls: off
    mirror:
    - md
    - ring: md
      as: md2
      policy: block
      consumers_max: 64
      resume_for: 24h
      allow: {consume: {users: [bob]}, gate: {groups: [1]}}
    - {ring: fills}
    allow: {export: [a.b_c-D9], import: [in], gate: ["7"]}
  - name: c
feeds:
- {name: f, ring: least, connect: "localhost:1", direction: in, framing: fix, frame_max: 16MiB, idle_timeout: 24h}
- name: g
  ring: md2
  listen: "127.0.0.1:0"
  direction: out
  framing: u16be
  frame_max: 1
  connections_max: 4096
log: {level: debug, format: json}
`

// everyGateway is what everyKey says of other hosts.
func everyGateway() config.Gateway {
	return config.Gateway{
		Name: "a.example", Listen: ":9465",
		TLS:    config.TLS{Cert: "/pki/a.crt", Key: "/pki/a.key", CA: "/pki/ca.crt"},
		Export: []string{"7", "least"}, BusyPoll: true, HandshakeTimeout: 100 * time.Millisecond, DeadAfter: time.Minute,
		Peers: []config.Peer{
			{Name: "b.example", Address: "[fd00::2]:9465", TLS: config.TLS{Off: true},
				Mirror: []config.Mirror{
					{Ring: "md", As: "md", Policy: config.PolicyDemote, ConsumersMax: 16},
					{Ring: "md", As: "md2", Policy: config.PolicyBlock, ConsumersMax: 64, ResumeFor: 24 * time.Hour,
						Allow: config.Allow{Consume: &config.Principals{Users: []string{"bob"}}, Gate: &config.Principals{Groups: []string{"1"}}}},
					{Ring: "fills", As: "fills", Policy: config.PolicyDemote, ConsumersMax: 16},
				},
				Allow: config.PeerAllow{Export: []string{"a.b_c-D9"}, Import: []string{"in"}, Gate: []string{"7"}}},
			{Name: "c"},
		},
	}
}

func TestParseEveryKey(t *testing.T) {
	allow := config.Allow{
		Produce: &config.Principals{Users: []string{"alice", "1001", "0", "4294967294"}},
		Consume: &config.Principals{Groups: []string{`DESK\traders`}},
	}
	small, least := config.DefaultRing("a.b_c-D9"), config.DefaultRing("least")
	small.Capacity, small.RecordMax, small.Allow = 64<<10, 1, allow
	small.DemoteAfter, small.Policy = time.Millisecond, config.PolicyBlock
	least.RecordMax = 1 << 20
	same(t, mustParse(t, everyKey), &config.Config{
		Dir: "/dev/shm/desk",
		Control: config.Control{Socket: "/run/desk/control.sock", Mode: 0o666,
			Group: "1001", AdminGroup: "ops team"},
		Admin: config.Admin{Listen: "[::1]:0"},
		Limits: config.Limits{Memory: 64 << 30, Rings: 4096, Attachments: 65536, Connections: 1,
			PerUID: config.PerUID{Memory: 16 << 40, Attachments: 65536, Connections: 65536}},
		Rings: []config.Ring{
			{Name: "7", Capacity: 2 << 30, RecordMax: 268435392, Producers: config.ProducersMany,
				ConsumersMax: 64, Checksum: true, Policy: config.PolicyLatest,
				DemoteAfter: time.Hour, ResumeFor: 24 * time.Hour, Allow: allow},
			small, least,
		},
		Gateway: everyGateway(),
		Feeds: []config.Feed{
			{Name: "f", Ring: "least", Connect: "localhost:1", Direction: config.DirectionIn, Framing: config.FramingFIX,
				FrameMax: 16 << 20, IdleTimeout: 24 * time.Hour, ConnectionsMax: 16},
			{Name: "g", Ring: "md2", Listen: "127.0.0.1:0", Direction: config.DirectionOut, Framing: config.FramingU16,
				FrameMax: 1, ConnectionsMax: 4096},
		},
		Log: config.Log{Level: config.LevelDebug, Format: config.FormatJSON},
	})
}

func TestRingsMayFillTheLimits(t *testing.T) {
	c := mustParse(t, "limits: {memory: 32MiB, rings: 2}\nrings: [{name: a}, {name: b}]")
	if len(c.Rings) != 2 || c.Rings[0].Capacity+c.Rings[1].Capacity != c.Limits.Memory {
		t.Errorf("got %+v", c)
	}
}

func TestYAMLReadsBackEqual(t *testing.T) {
	for _, text := range []string{"", everyKey, "limits: {per_uid: {attachments: 1}}", "control: {group: \"0010x\"}", "rings: [{name: \"true\"}, {name: 1e3}]",
		"gateway: {tls: off, listen: \"h:0\"}", "gateway: {peers: [{name: a, address: \"b:1\", tls: 'off', mirror: [{ring: on}]}]}"} {
		want := mustParse(t, text)
		out, err := want.YAML()
		if err != nil {
			t.Fatal(err)
		}
		same(t, mustParse(t, string(out)), want)
	}
	resolved := config.Default()
	if err := resolved.Resolve(config.ResolvePaths(1001, "")); err != nil {
		t.Fatal(err)
	}
	out, err := resolved.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out); !strings.Contains(text, "socket: /tmp/brokerd-1001/control.sock\n") ||
		!strings.Contains(text, "mode: \"0660\"\n") || !strings.Contains(text, "memory: 1GiB\n") {
		t.Errorf("the printed configuration is\n%s", text)
	}
	same(t, mustParse(t, string(out)), resolved)
}

func TestLoad(t *testing.T) {
	builtin, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	same(t, builtin, config.Default())

	path := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(path, []byte("log: {level: warn}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil || c.Log.Level != "warn" {
		t.Errorf("Load: %+v, %v", c, err)
	}
	if err := os.WriteFile(path, []byte("log: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(path)
	if want := path + `:1: log.level: got "loud", expected debug, info, warn or error`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	if _, err := config.Load(path + ".not"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path+".not") {
		t.Errorf("a missing file gives %v", err)
	}
	if _, err := config.Load(t.TempDir()); err == nil {
		t.Error("a folder was loaded as a file")
	}
}

func TestFileBytesMax(t *testing.T) {
	line := []byte("# padding\n")
	text := bytes.Repeat(line, 1<<20/len(line)+1)[:1<<20]
	path := filepath.Join(t.TempDir(), "b.yaml")
	for _, more := range []int{0, 1} {
		data := append(bytes.Clone(text), bytes.Repeat([]byte("#"), more)...)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(path)
		if more == 0 && err != nil {
			t.Errorf("1 MiB is refused: %v", err)
		}
		if want := path + ": file too large: expected at most 1MiB"; more == 1 && (!errors.Is(err, config.ErrFileTooLarge) || err.Error() != want) {
			t.Errorf("1 MiB and a byte: got %v, want %s", err, want)
		}
	}
}
