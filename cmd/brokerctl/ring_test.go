package main

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"brokerd/client"
	"brokerd/internal/config"
)

func TestRingVerbs(t *testing.T) {
	h := newHost(t, "[]")
	if got := h.good("ring", "list").stdout; strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "NAME ") {
		t.Errorf("no rings: %q", got)
	}
	if got := h.good("ring", "list", "-o", "json").stdout; strings.Join(strings.Fields(got), "") != `{"rings":[]}` {
		t.Errorf("no rings: %s", got)
	}
	created := h.good("ring", "create", "md", "--capacity", "64KiB", "--record_max", "1KiB", "--policy", "block",
		"--demote-after", "50ms", "--consumers-max", "3", "--timestamps=false", "--resume-for", "30s", "--allow-consume-users", "nobody,1001")
	if created.stdout != "md created: 64KiB, records up to 1024 bytes, policy block\n" {
		t.Errorf("create: %q", created.stdout)
	}
	var reply struct{ Ring client.Ring }
	decodeStrict(t, h.good("ring", "create", "other", "--capacity", "64KiB", "-o", "json").stdout, &reply)
	if reply.Ring.Name != "other" || !reply.Ring.Timestamps || reply.Ring.Policy != client.PolicyDemote {
		t.Errorf("create: %+v", reply.Ring)
	}
	list := h.good("ring", "list").stdout
	if !regexp.MustCompile(`(?m)^md +64KiB +1KiB +one +3 +block +50ms +30s +\S+ +\d+ +unmanaged$`).MatchString(list) {
		t.Errorf("list:\n%s", list)
	}
	show := h.good("ring", "show", "md").stdout
	for _, row := range []string{"timestamps +no", "config +unmanaged", "resume_for +30s", `owner +uid \d+`, "allow.consume +users nobody, 1001", "allow.produce +the daemon's user and root", "state +live", "records +0"} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(show) {
			t.Errorf("show lacks %q:\n%s", row, show)
		}
	}
	var details client.RingDetails
	decodeStrict(t, h.good("ring", "show", "md", "-o", "json").stdout, &details)
	if details.Ring.DemoteAfterNS != int64(50*time.Millisecond) || details.Ring.ConsumersMax != 3 {
		t.Errorf("show: %+v", details.Ring)
	}
	for _, line := range []string{"ring create md", "ring create x --capacity 3MiB", "ring create x --resume-for 25h", "ring show x", "ring rm x", "detach md/c0.1", "attachments x", "stats x"} {
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
		"policy": "skip", "demote-after": "1s", "resume-for": "2s", "allow-gate-users": "a,b", "allow-produce-groups": "7",
	})
	zero, none, off, second, two := uint64(0), 0, false, int64(time.Second), int64(2*time.Second)
	want := client.RingSpec{
		Name: "md", Capacity: 64 << 10, RecordMax: &zero, Producers: client.ProducersMany, ConsumersMax: &none, Timestamps: &off,
		Checksum: true, Policy: client.PolicySkip, DemoteAfterNS: &second, ResumeForNS: &two,
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
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1 << 20: "1MiB", 1536: "1.5KiB", 28800: "28.1KiB", 5 << 50: "5120TiB"} {
		if got := roughSize(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
