package main

import (
	"encoding/json"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"brokerd/client"
	"brokerd/internal/config"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		line string
		says string
	}{
		{"atach", `unknown command "atach" for "brokerctl", did you mean "attach"?`},
		{"ring lst", `unknown command "lst" for "brokerctl ring", did you mean "list"?`},
		{"ring", "brokerctl ring: name a verb"},
		{"ring create", "brokerctl ring create: NAME is missing"},
		{"ring list md", `brokerctl ring list: "md" is too much; it takes no arguments`},
		{"ring create md --capacity 16MB", "expected a whole number and B, KiB, MiB, GiB or TiB, such as 16MiB"},
		{"ring create md --producers two", "expected one or many"},
		{"status --color", "unknown flag: --color"},
		{"status -o yaml", "expected table or json"},
		{"attach md", "say --as producer or --as consumer"},
		{"attach --as producer", "RING is missing"},
		{"attach md --as reader", "expected producer or consumer"},
		{"attach md --as consumer --framing csv", "expected line or u32be"},
		{"attach md --as consumer --from 1x", "expected oldest, latest or a position in bytes"},
		{"attach md --as consumer --on-full drop", "--on-full is for a producer"},
		{"attach md --as consumer --end", "--end is for a producer"},
		{"attach md --as producer --from oldest", "--from is for a consumer"},
		{"attach md --as producer --policy skip", "--policy is for a consumer"},
		{"attach md --as producer --until-end", "--until-end is for a consumer"},
		{"attach md --as consumer --count 0", "--count 0: want 1 or more"},
		{"attach md --as consumer --count -1", "--count"},
		{"attach md --as consumer --wait-for -1s", "--wait-for -1s: want 0 or more"},
		{"detach", "ID is missing"},
	} {
		got := brokerctl(t.Context(), "", append([]string{"--socket", "/nowhere/s"}, strings.Fields(tc.line)...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, tc.says) || got.stdout != "" {
			t.Errorf("%s: exit code %d, %q; want 2 and %q", tc.line, got.code, got.stderr, tc.says)
		}
		if !strings.HasPrefix(got.stderr, "brokerctl: ") || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: %q is not one line", tc.line, got.stderr)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, line := range []string{
		"ring list", "ring create md", "ring show md", "ring rm md", "attachments", "detach md/c0.1", "stats",
		"stats --watch", "status", "attach md --as consumer", "attach md --as producer --wait-for 10ms",
	} {
		got := brokerctl(t.Context(), "", append([]string{"--socket", "/nowhere/s"}, strings.Fields(line)...)...)
		if got.code != exitUnreachable || !strings.Contains(got.stderr, "/nowhere/s") || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q", line, got.code, got.stderr)
		}
	}
}

// TestHelp wants every verb to say what it does at length and to give an example.
func TestHelp(t *testing.T) {
	root := (&cli{output: newChoice("table", "json")}).rootCommand()
	ring, _, err := root.Find([]string{"ring"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range append(root.Commands(), ring.Commands()...) {
		got := brokerctl(t.Context(), "", append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if cmd.Long == "" || cmd.Example == "" || got.code != exitDone ||
			!strings.HasPrefix(got.stdout, cmd.Long) || !strings.Contains(got.stdout, cmd.Example) {
			t.Errorf("%s --help: exit code %d\n%s", cmd.CommandPath(), got.code, got.stdout)
		}
	}
}

func TestRingVerbs(t *testing.T) {
	h := newHost(t, "[]")
	if got := h.good("ring", "list").stdout; strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "NAME ") {
		t.Errorf("no rings: %q", got)
	}
	if got := h.good("ring", "list", "-o", "json").stdout; strings.Join(strings.Fields(got), "") != `{"rings":[]}` {
		t.Errorf("no rings: %s", got)
	}
	created := h.good("ring", "create", "md", "--capacity", "64KiB", "--record_max", "1KiB", "--policy", "block",
		"--demote-after", "50ms", "--consumers-max", "3", "--timestamps=false", "--allow-consume-users", "nobody,1001")
	if created.stdout != "md created: 64KiB, records up to 1024 bytes, policy block\n" {
		t.Errorf("create: %q", created.stdout)
	}
	var reply struct{ Ring client.Ring }
	decodeStrict(t, h.good("ring", "create", "other", "--capacity", "64KiB", "-o", "json").stdout, &reply)
	if reply.Ring.Name != "other" || !reply.Ring.Timestamps || reply.Ring.Policy != client.PolicyDemote {
		t.Errorf("create: %+v", reply.Ring)
	}
	list := h.good("ring", "list").stdout
	if !regexp.MustCompile(`(?m)^md +64KiB +1KiB +one +3 +block +50ms +\S+ +no$`).MatchString(list) {
		t.Errorf("list:\n%s", list)
	}
	show := h.good("ring", "show", "md").stdout
	for _, row := range []string{"timestamps +no", "allow.consume +users nobody, 1001", "allow.produce +the daemon's user and root", "state +live", "records +0"} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(show) {
			t.Errorf("show lacks %q:\n%s", row, show)
		}
	}
	var details client.RingDetails
	decodeStrict(t, h.good("ring", "show", "md", "-o", "json").stdout, &details)
	if details.Ring.DemoteAfterNS != int64(50*time.Millisecond) || details.Ring.ConsumersMax != 3 {
		t.Errorf("show: %+v", details.Ring)
	}
	for _, line := range []string{"ring create md", "ring create x --capacity 3MiB", "ring create x --checksum", "ring show x", "ring rm x", "detach md/c0.1", "attachments x", "stats x"} {
		if got := h.run(strings.Fields(line)...); got.code != exitRefused || got.stdout != "" {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := h.good("ring", "rm", "md").stdout; got != "md removed\n" {
		t.Errorf("rm: %q", got)
	}
	if got := h.good("ring", "rm", "other", "-o", "json").stdout; got != "{}\n" {
		t.Errorf("rm: %q", got)
	}
}

// TestJSONIsTheReply holds the JSON of lists and snapshots to the types of the
// protocol.
func TestJSONIsTheReply(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB}]")
	var stats client.Stats
	decodeStrict(t, h.good("stats", "-o", "json").stdout, &stats)
	var status client.Status
	decodeStrict(t, h.good("status", "-o", "json").stdout, &status)
	var attachments struct{ Attachments []client.Attachment }
	decodeStrict(t, h.good("attachments", "-o", "json").stdout, &attachments)
	if len(stats.Rings) != 1 || status.State != client.DaemonReady || attachments.Attachments == nil {
		t.Errorf("got %+v, %+v, %+v", stats, status, attachments)
	}
	if got := h.good("status").stdout; !strings.HasPrefix(got, "state ") || !strings.Contains(got, " of 256\n") {
		t.Errorf("status:\n%s", got)
	}
}

// TestStatusNotReady asks a daemon that starts.
func TestStatusNotReady(t *testing.T) {
	ln, err := unixconn.Listen(t.TempDir()+"/s", 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		if _, _, err = conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.CallBytesMax}); err != nil {
			served <- err
			return
		}
		parameters, _ := json.Marshal(wire.GetStatusOut{State: wire.DaemonStarting, PID: 7})
		frame, err := wire.EncodeReply(wire.Reply{Parameters: parameters})
		if err == nil {
			err = conn.WriteMessage(frame, nil)
		}
		_, _, _ = conn.ReadMessage(unixconn.ReadOptions{BytesMax: 1}) // until the client has closed
		served <- err
	}()
	got := brokerctl(t.Context(), "", "status", "--socket", ln.Path())
	if got.code != exitFailed || got.stderr != "brokerctl: brokerd (pid 7) is starting, not ready\n" || !strings.HasPrefix(got.stdout, "state          starting\n") {
		t.Errorf("got %+v", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}

func TestStatsWatch(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB}]")
	var table, lines buffer
	one, two := h.start(nil, &table, "stats", "--watch"), h.start(nil, &lines, "stats", "md", "--watch", "-o", "json")
	h.eventually("two tables", func() bool { return strings.Count(table.String(), "RING ") == 2 })
	h.eventually("two lines", func() bool { return strings.Count(lines.String(), "\n") == 2 })
	one.cancel()
	two.cancel()
	if a, b := one.wait(), two.wait(); a != exitDone || b != exitDone {
		t.Errorf("exit codes %d and %d", a, b)
	}
	for line := range strings.Lines(lines.String()) {
		decodeStrict(t, line, &client.Stats{})
	}
}

func TestRates(t *testing.T) {
	ring := client.RingStats{Name: "md", Epoch: 1, State: client.StateLive, Capacity: 1000, OccupancyBytes: 250, Sequence: 100, Position: 2000}
	reader := client.Attachment{ID: "md/c0.1", Epoch: 1, Policy: client.PolicyDemote, Demoted: true, Sequence: 90}
	before := client.Stats{TimeNS: 1e9, Rings: []client.RingStats{ring}, Attachments: []client.Attachment{reader}}
	ring.Sequence, ring.Position, reader.Sequence = 300, 6000, 95
	fresh := ring
	fresh.Name = "new"
	now := client.Stats{TimeNS: 3e9, Rings: []client.RingStats{ring, fresh}, Attachments: []client.Attachment{reader}}
	var out strings.Builder
	if err := printTable(&out, func(t *table) { statsRows(t, now, &before) }); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{`md +live +300 +100 +6000 +2000 +25.0% `, `new +live +300 +- +6000 +- `, `md/c0.1 +- +demote>skip +95 +2 `} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(out.String()) {
			t.Errorf("no row %q in\n%s", row, out.String())
		}
	}
}

func TestRingSpec(t *testing.T) {
	spec := func(given map[string]string) client.RingSpec {
		f, flags := newRingFlags(), pflag.NewFlagSet("", pflag.ContinueOnError)
		f.register(flags)
		for name, value := range given {
			if err := flags.Set(name, value); err != nil {
				t.Fatalf("--%s %s: %v", name, value, err)
			}
		}
		return f.spec("md", flags)
	}
	if got, want := spec(nil), (client.RingSpec{Name: "md", Capacity: 16 << 20}); !reflect.DeepEqual(got, want) {
		t.Errorf("no flags: got %+v, want %+v", got, want)
	}
	got := spec(map[string]string{
		"capacity": "64KiB", "record-max": "0", "producers": "many", "consumers-max": "0", "timestamps": "false", "checksum": "true",
		"policy": "skip", "demote-after": "1s", "allow-gate-users": "a,b", "allow-produce-groups": "7",
	})
	zero, none, off, second := uint64(0), 0, false, int64(time.Second)
	want := client.RingSpec{
		Name: "md", Capacity: 64 << 10, RecordMax: &zero, Producers: client.ProducersMany, ConsumersMax: &none, Timestamps: &off,
		Checksum: true, Policy: client.PolicySkip, DemoteAfterNS: &second,
		Allow: &client.Allow{Gate: &client.Principals{Users: []string{"a", "b"}}, Produce: &client.Principals{Groups: []string{"7"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSizes(t *testing.T) {
	for _, text := range []string{"0B", "1B", "1023B", "1KiB", "65KiB", "16MiB", "2GiB", "3TiB"} {
		var s size
		if err := s.Set(text); err != nil || s.String() != text {
			t.Errorf("%s: got %s, %v", text, s.String(), err)
		}
		if same, err := config.ParseSize(text); err != nil || uint64(same) != uint64(s) || same.String() != text {
			t.Errorf("%s: the configuration file has %d, %v", text, same, err)
		}
	}
	for _, text := range []string{"", "B", "16MB", "16mib", "-1", "1.5MiB", "1 KiB", "16MiB!", "8388608TiB", "9223372036854775808"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q: got %d", text, s)
		}
	}
}

func TestBuildVersion(t *testing.T) {
	built := func(main, revision string) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			info := &debug.BuildInfo{Main: debug.Module{Version: main}}
			if revision != "" {
				info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: revision}}
			}
			return info, true
		}
	}
	for _, tc := range []struct {
		linked string
		read   func() (*debug.BuildInfo, bool)
		want   string
	}{
		{"v1.2.3", built("v9", ""), "v1.2.3"},
		{"", built("v1.0.0", "0123456789abcdef"), "v1.0.0"},
		{"", built("(devel)", "0123456789abcdef"), "devel-0123456789ab"},
		{"", built("(devel)", ""), "(devel)"},
		{"", built("", ""), "unknown"},
		{"", func() (*debug.BuildInfo, bool) { return nil, false }, "unknown"},
	} {
		if got := buildVersion(tc.linked, tc.read); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.linked, got, tc.want)
		}
	}
	if got := brokerctl(t.Context(), "", "version"); got.code != exitDone || !strings.HasPrefix(got.stdout, "brokerctl ") {
		t.Errorf("got %+v", got)
	}
}
