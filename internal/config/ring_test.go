package config_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"brokerd/internal/config"
)

func TestNormalizeRingFillsDefaults(t *testing.T) {
	got, err := config.NormalizeRing(config.Ring{Name: "md", Timestamps: true})
	want := config.Ring{Name: "md", Capacity: 16 << 20, RecordMax: 1 << 20, Producers: "one", ConsumersMax: 16,
		Timestamps: true, Policy: "demote", DemoteAfter: time.Second}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	again, err := config.NormalizeRing(config.DefaultRing("md"))
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("DefaultRing gives %+v, %v", again, err)
	}
}

func TestNormalizeRingLimits(t *testing.T) {
	name := func(s string) config.Ring { return config.Ring{Name: s} }
	for _, tt := range []struct {
		ring config.Ring
		key  string // wrong key, "" for none
	}{
		{name("a"), ""}, {name("9"), ""}, {name(strings.Repeat("x", 64)), ""}, {name("a..b"), ""},
		{name(strings.Repeat("x", 65)), "name"}, {name(strings.Repeat("x", 300)), "name"}, {name(""), "name"},
		{name(".a"), "name"}, {name("-a"), "name"}, {name("_a"), "name"}, {name("a/b"), "name"}, {name("é"), "name"},
		{name("a\x00"), "name"},
		{config.Ring{Name: "a", Capacity: 64 << 10}, ""},
		{config.Ring{Name: "a", Capacity: 32 << 10}, "capacity"},
		{config.Ring{Name: "a", Capacity: 2 << 30}, ""},
		{config.Ring{Name: "a", Capacity: 4 << 30}, "capacity"},
		{config.Ring{Name: "a", Capacity: 1<<20 + 1}, "capacity"},
		{config.Ring{Name: "a", Capacity: 1}, "capacity"},
		{config.Ring{Name: "a", Capacity: 1 << 20, RecordMax: 1}, ""},
		{config.Ring{Name: "a", Capacity: 1 << 20, RecordMax: 1 << 16}, ""},
		{config.Ring{Name: "a", Capacity: 1 << 20, RecordMax: 1<<17 - 64}, ""},
		{config.Ring{Name: "a", Capacity: 1 << 20, RecordMax: 1<<17 - 63}, "record_max"},
		{config.Ring{Name: "a", Producers: "many"}, ""},
		{config.Ring{Name: "a", Producers: "Many"}, "producers"},
		{config.Ring{Name: "a", ConsumersMax: 1}, ""}, {config.Ring{Name: "a", ConsumersMax: 64}, ""},
		{config.Ring{Name: "a", ConsumersMax: -1}, "consumers_max"},
		{config.Ring{Name: "a", ConsumersMax: 65}, "consumers_max"},
		{config.Ring{Name: "a", Policy: "block"}, ""}, {config.Ring{Name: "a", Policy: "skip"}, ""},
		{config.Ring{Name: "a", Policy: "latest", Checksum: true}, ""},
		{config.Ring{Name: "a", Policy: "drop"}, "policy"},
		{config.Ring{Name: "a", DemoteAfter: time.Millisecond}, ""},
		{config.Ring{Name: "a", DemoteAfter: time.Millisecond - 1}, "demote_after"},
		{config.Ring{Name: "a", DemoteAfter: time.Hour}, ""},
		{config.Ring{Name: "a", DemoteAfter: time.Hour + 1}, "demote_after"},
		{config.Ring{Name: "a", DemoteAfter: -1}, "demote_after"},
		{config.Ring{Name: "a", ResumeFor: 24 * time.Hour}, ""},
		{config.Ring{Name: "a", ResumeFor: 24*time.Hour + 1}, "resume_for"},
		{config.Ring{Name: "a", ResumeFor: -1}, "resume_for"},
		{config.Ring{Name: "a", Allow: config.Allow{Consume: &config.Principals{}}}, "allow.consume"},
	} {
		_, err := config.NormalizeRing(tt.ring)
		var key *config.KeyError
		switch {
		case tt.key == "" && err != nil:
			t.Errorf("%+v is refused: %v", tt.ring, err)
		case tt.key != "" && (!errors.As(err, &key) || key.Key != tt.key || strings.Contains(err.Error(), "\n")):
			t.Errorf("%+v: got %v, want one error about %s", tt.ring, err, tt.key)
		}
	}
}

func TestNormalizeRingTellsEverything(t *testing.T) {
	got, err := config.NormalizeRing(config.Ring{Name: "/", Capacity: 1, Policy: "x"})
	want := "name: got \"/\", expected 1 to 64 of a-z A-Z 0-9 . _ - that start with a letter or digit\n" +
		"capacity: got 1B, expected a power of two from 64KiB to 2GiB, such as 16MiB\n" +
		"policy: got \"x\", expected block, demote, skip or latest"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !reflect.DeepEqual(got, config.Ring{}) {
		t.Errorf("a refused ring comes back as %+v", got)
	}
}

func TestPrincipals(t *testing.T) {
	for s, ok := range map[string]bool{
		"alice": true, "0": true, "4294967294": true, "4294967295": false, "99999999999999999999": false,
		"007": false, "7up": true, `DESK\bob`: true, "ops team": true, "Ümit": true, "": false, "-x": false,
		"+1": false, " a": false, "a:b": false, "a,b": false, "a/b": false, "a\n": false, "\xff": false,
		strings.Repeat("n", 256): true, strings.Repeat("n", 257): false,
	} {
		for _, allow := range []config.Allow{
			{Produce: &config.Principals{Users: []string{s}}}, {Gate: &config.Principals{Groups: []string{s}}},
		} {
			if _, err := config.NormalizeRing(config.Ring{Name: "a", Allow: allow}); (err == nil) != ok {
				t.Errorf("%q: got %v, want ok %v", s, err, ok)
			}
		}
	}
	many := &config.Principals{Users: make([]string, 257)}
	_, err := config.NormalizeRing(config.Ring{Name: "a", Allow: config.Allow{Gate: many}})
	if want := "allow.gate.users: got 257 entries, expected at most 256 entries"; err == nil || err.Error() != want {
		t.Errorf("257 users: %v", err)
	}
}
