package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// Fields of the outputs with -o json: those of io.brokerd.Broker, and of the
// summary, which docs and scripts go by.
const (
	ringFields = "name epoch capacity record_max producers consumers_max timestamps checksum policy demote_after_ns" +
		" resume_for_ns allow created_ns memory_bytes owner managed"
	statsFields = "name epoch state position sequence capacity occupancy_bytes producers consumers gap_records held_ns" +
		" dropped_records demotions"
	attachmentFields = "id ring epoch role slot generation name pid uid state policy wait_strategy since_ns position sequence" +
		" resume_until_ns lag_bytes missed_records missed_bytes gap_records checksum_errors demoted ended_reason"
	statusFields = "version state pid started_ns dir rings rings_max attachments attachments_max connections connections_max" +
		" memory_bytes memory_bytes_max rings_adopted repairs retired quarantined quarantined_bytes problems config_file reloaded_ns"
	summaryFields = "ring role records bytes seconds records_per_second missed_records missed_bytes gap_records" +
		" dropped_records unpublished_records filtered_records checksum_errors resumed start_position"
	latencyFields = "p50_ns p99_ns count negative"
)

// fields checks that a value is an object with exactly these fields.
func fields(t *testing.T, what string, value any, want string) map[string]any {
	t.Helper()
	object, ok := value.(map[string]any)
	if !ok {
		t.Fatalf("%s: %v is no object", what, value)
	}
	got, names := slices.Sorted(maps.Keys(object)), slices.Sorted(slices.Values(strings.Fields(want)))
	if !slices.Equal(got, names) {
		t.Errorf("%s has the fields %q, want %q", what, got, names)
	}
	return object
}

// first is the first element of a list that has one.
func first(t *testing.T, what string, value any) any {
	t.Helper()
	list, ok := value.([]any)
	if !ok || len(list) != 1 {
		t.Fatalf("%s: %v is no list of one", what, value)
	}
	return list[0]
}

// TestJSONOutputs reads the output of every verb as a script does.
func TestJSONOutputs(t *testing.T) {
	p := newPlace(t, "[]")
	p.Start()
	object := func(args ...string) (out any) { p.Object(&out, args...); return out }
	created := fields(t, "ring create", object("ring", "create", "md", "--capacity", "64KiB", "--allow-consume-users", "65534"), "ring")
	ring := fields(t, "the ring", created["ring"], ringFields)
	if ring["name"] != "md" || ring["capacity"] != float64(65536) || ring["policy"] != "demote" || ring["managed"] != false {
		t.Errorf("ring create: %v", ring)
	}
	fields(t, "ring list", first(t, "rings", fields(t, "ring list", object("ring", "list"), "rings")["rings"]), ringFields)

	reader := p.Ctl("attach", "md", "--as", "consumer", "--name", "top", "--policy", "skip", "--wait-strategy", "park", "--until-end", "-o", "json")
	harness.WaitAttached(t, p.Dial(), "md", 1)
	p.Publish("md", "x\n")
	harness.Eventually(t, "the record", func() bool { return reader.Stdout.String() == "x\n" })
	show := fields(t, "ring show", object("ring", "show", "md"), "ring stats attachments problems")
	fields(t, "ring show", show["ring"], ringFields)
	if s := fields(t, "ring show", show["stats"], statsFields); s["sequence"] != float64(1) || s["consumers"] != float64(1) || s["state"] != "live" {
		t.Errorf("stats of the ring: %v", s)
	}
	fields(t, "ring show", first(t, "attachments", show["attachments"]), attachmentFields)
	stats := fields(t, "stats", object("stats"), "time_ns rings attachments")
	fields(t, "stats", first(t, "rings", stats["rings"]), statsFields)
	fields(t, "stats", first(t, "attachments", stats["attachments"]), attachmentFields)
	a := fields(t, "attachments", first(t, "attachments", fields(t, "attachments", object("attachments"), "attachments")["attachments"]), attachmentFields)
	for field, value := range map[string]any{"ring": "md", "role": "consumer", "name": "top", "policy": "skip", "wait_strategy": "park",
		"state": "attached", "pid": float64(reader.PID()), "uid": float64(os.Getuid()), "sequence": float64(1), "demoted": false} {
		if a[field] != value {
			t.Errorf("attachments: %s is %v, want %v", field, a[field], value)
		}
	}
	if s := fields(t, "status", object("status"), statusFields); s["state"] != "ready" || s["version"] != harness.Version || s["rings"] != float64(1) {
		t.Errorf("status: %v", s)
	}
	if v := fields(t, "version", object("version"), "version go platform"); v["version"] != harness.Version {
		t.Errorf("version: %v", v)
	}

	p.Publish("md", "", "--end")
	reader.Expect(0)
	var told any
	if err := json.Unmarshal([]byte(reader.Stderr.String()), &told); err != nil {
		t.Fatalf("the summary %q: %v", reader.Stderr, err)
	}
	fields(t, "latency", fields(t, "summary", told, summaryFields+" latency")["latency"], latencyFields)
	fields(t, "ring rm", object("ring", "rm", "md"), "")
	if none := fields(t, "ring list", object("ring", "list"), "rings")["rings"]; none == nil {
		t.Error("an empty list is null, not []")
	}
}

// TestWatchJSON reads one object a line until it is interrupted.
func TestWatchJSON(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	watch := p.Ctl("stats", "--watch", "-o", "json")
	harness.Eventually(t, "two lines", func() bool { return strings.Count(watch.Stdout.String(), "\n") >= 2 })
	watch.Signal(os.Interrupt)
	watch.Expect(0)
	before := int64(0)
	for line := range strings.Lines(watch.Stdout.String()) {
		var s client.Stats
		if err := json.Unmarshal([]byte(line), &s); err != nil || len(s.Rings) != 1 || s.TimeNS <= before {
			t.Errorf("%q: %v", line, err)
		}
		before = s.TimeNS
	}
}

// TestTables are for people: a heading, then aligned columns.
func TestTables(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"ring", "list"}, []string{"NAME", "CAPACITY", "md", "64KiB", "demote"}},
		{[]string{"ring", "show", "md"}, []string{"capacity", "64KiB", "record_max", "100B", "allow.consume", "root"}},
		{[]string{"stats"}, []string{"RING", "RECORDS", "md", "live"}},
		{[]string{"attachments"}, []string{"ID", "NAME", "LAG"}},
		{[]string{"status"}, []string{"state", "ready", "1 of 256"}},
		{[]string{"version"}, []string{"brokerctl " + harness.Version}},
	} {
		if out := p.Output(c.args...); !containsWords(out, c.words) {
			t.Errorf("%q lacks one of %q:\n%s", c.args, c.words, out)
		}
	}
}

func containsWords(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
