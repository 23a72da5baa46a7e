package broker

import (
	"errors"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

func TestNormalizeFillsDefaults(t *testing.T) {
	r, err := normalize(wire.RingSpec{Name: "md", Capacity: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Ring{
		Name: "md", Capacity: 1 << 20, RecordMax: 64 << 10, Producers: wire.ProducersOne,
		ConsumersMax: 16, Timestamps: true, Policy: wire.PolicyDemote, DemoteAfterNS: 1e9,
		MemoryBytes: 1<<20 + 20<<10 + 16*4096 + 64<<10,
	}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestNormalizeLimits(t *testing.T) {
	const capacity, most = 64 << 10, (64<<10)/8 - 64
	good := map[string]wire.RingSpec{
		"name of 64":       {Name: strings.Repeat("x", 64), Capacity: capacity},
		"least capacity":   {Name: "r", Capacity: 64 << 10},
		"most capacity":    {Name: "r", Capacity: 2 << 30},
		"least record_max": {Name: "r", Capacity: capacity, RecordMax: new(uint64(1))},
		"most record_max":  {Name: "r", Capacity: capacity, RecordMax: new(uint64(most))},
		"one consumer":     {Name: "r", Capacity: capacity, ConsumersMax: new(1)},
		"64 consumers":     {Name: "r", Capacity: capacity, ConsumersMax: new(64)},
		"least deadline":   {Name: "r", Capacity: capacity, DemoteAfterNS: new(int64(1e6))},
		"most deadline":    {Name: "r", Capacity: capacity, DemoteAfterNS: new(int64(3600e9))},
		"resume off":       {Name: "r", Capacity: capacity, ResumeForNS: new(int64(0))},
		"most resume_for":  {Name: "r", Capacity: capacity, ResumeForNS: new(int64(24 * 3600e9))},
		"many producers":   {Name: "r", Capacity: capacity, Producers: wire.ProducersMany},
		"checksum":         {Name: "r", Capacity: capacity, Checksum: true},
		"latest":           {Name: "r", Capacity: capacity, Policy: wire.PolicyLatest},
		"longest user":     {Name: "r", Capacity: capacity, Allow: &wire.Allow{Gate: &wire.Principals{Users: []string{strings.Repeat("u", 256)}}}},
		"no groups":        {Name: "r", Capacity: capacity, Allow: &wire.Allow{Gate: &wire.Principals{Users: []string{"u"}, Groups: []string{}}}},
		"most principals":  {Name: "r", Capacity: capacity, Allow: &wire.Allow{Gate: &wire.Principals{Users: make256("u")}}},
	}
	for what, s := range good {
		if _, err := normalize(s); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, c := range map[string]struct {
		spec wire.RingSpec
		key  string
		says []string
	}{
		"no name":          {wire.RingSpec{Capacity: capacity}, "name", []string{`""`, "1 to 64"}},
		"way out":          {wire.RingSpec{Name: "../x", Capacity: capacity}, "name", []string{`"../x"`}},
		"name of 65":       {wire.RingSpec{Name: strings.Repeat("x", 65), Capacity: capacity}, "name", []string{"1 to 64"}},
		"name of 300":      {wire.RingSpec{Name: strings.Repeat("x", 300), Capacity: capacity}, "name", []string{"(300 bytes)"}},
		"capacity too low": {wire.RingSpec{Name: "r", Capacity: 32 << 10}, "capacity", []string{"ring r", "32768", "power of two", "64KiB"}},
		"capacity too big": {wire.RingSpec{Name: "r", Capacity: 4 << 30}, "capacity", []string{"4294967296", "2GiB"}},
		"capacity odd":     {wire.RingSpec{Name: "r", Capacity: 100000}, "capacity", []string{"100000"}},
		"record_max 0":     {wire.RingSpec{Name: "r", Capacity: capacity, RecordMax: new(uint64(0))}, "record_max", []string{"is 0", "1 to 8128"}},
		"record_max past":  {wire.RingSpec{Name: "r", Capacity: capacity, RecordMax: new(uint64(most + 1))}, "record_max", []string{"8129", "1 to 8128"}},
		"producers":        {wire.RingSpec{Name: "r", Capacity: capacity, Producers: "two"}, "producers", []string{`"two"`, "one or many"}},
		"consumers 0":      {wire.RingSpec{Name: "r", Capacity: capacity, ConsumersMax: new(0)}, "consumers_max", []string{"is 0", "1 to 64"}},
		"consumers 65":     {wire.RingSpec{Name: "r", Capacity: capacity, ConsumersMax: new(65)}, "consumers_max", []string{"is 65"}},
		"policy":           {wire.RingSpec{Name: "r", Capacity: capacity, Policy: "drop"}, "policy", []string{`"drop"`, "block, demote, skip or latest"}},
		"deadline short":   {wire.RingSpec{Name: "r", Capacity: capacity, DemoteAfterNS: new(int64(1e6 - 1))}, "demote_after_ns", []string{"999999 (999.999µs)", "1ms to 1h"}},
		"deadline long":    {wire.RingSpec{Name: "r", Capacity: capacity, DemoteAfterNS: new(int64(3600e9 + 1))}, "demote_after_ns", []string{"3600000000001"}},
		"resume negative":  {wire.RingSpec{Name: "r", Capacity: capacity, ResumeForNS: new(int64(-1))}, "resume_for_ns", []string{"is -1 (-1ns)", "0 to 86400000000000 nanoseconds (24h)"}},
		"resume long":      {wire.RingSpec{Name: "r", Capacity: capacity, ResumeForNS: new(int64(24*3600e9 + 1))}, "resume_for_ns", []string{"86400000000001"}},
		"produce nobody":   {wire.RingSpec{Name: "r", Capacity: capacity, Allow: &wire.Allow{Produce: &wire.Principals{}}}, "allow.produce", []string{"nobody", "users or groups"}},
		"gate nobody":      {wire.RingSpec{Name: "r", Capacity: capacity, Allow: &wire.Allow{Gate: &wire.Principals{Users: []string{}, Groups: []string{}}}}, "allow.gate", []string{"nobody"}},
		"user empty":       {wire.RingSpec{Name: "r", Capacity: capacity, Allow: &wire.Allow{Produce: &wire.Principals{Users: []string{""}}}}, "allow.produce.users", []string{`""`}},
		"group long":       {wire.RingSpec{Name: "r", Capacity: capacity, Allow: &wire.Allow{Consume: &wire.Principals{Groups: []string{strings.Repeat("g", 257)}}}}, "allow.consume.groups", []string{"(257 bytes)", "1 to 256"}},
		"users 257":        {wire.RingSpec{Name: "r", Capacity: capacity, Allow: &wire.Allow{Gate: &wire.Principals{Users: append(make256("u"), "one")}}}, "allow.gate.users", []string{"257 entries", "at most 256"}},
	} {
		_, err := normalize(c.spec)
		var e *wire.Error
		if !errors.As(err, &e) || e.Name != wire.ErrInvalidRing {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var p wire.InvalidRingParameters
		if err := e.Decode(&p); err != nil || p.Key != c.key {
			t.Errorf("%s: key %q (%v), want %q", what, p.Key, err, c.key)
		}
		for _, text := range c.says {
			if !strings.Contains(e.Message, text) {
				t.Errorf("%s: %q does not say %q", what, e.Message, text)
			}
		}
	}
}

func make256(s string) []string { return strings.Split(strings.Repeat(s+" ", 255)+s, " ") }
