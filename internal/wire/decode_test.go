package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func ptr[T any](v T) *T { return &v }

// refusal returns the parameter that an InvalidParameter names.
func refusal(t *testing.T, err error) string {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Name != ErrInvalidParameter {
		t.Fatalf("got %v, want InvalidParameter", err)
	}
	var p InvalidParameterParameters
	if err := e.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Message != e.Message || p.Message == "" {
		t.Errorf("message %q beside %q", p.Message, e.Message)
	}
	return p.Parameter
}

func TestDecodeParameters(t *testing.T) {
	var got CreateRingIn
	err := DecodeParameters(json.RawMessage(`{"ring": {"name":"md", "capacity":65536, "record_max":0, "producers":"many",
		"consumers_max":3, "timestamps":false, "checksum":true, "policy":"skip", "demote_after_ns":-5, "x":null,
		"allow":{"gate":{"users":["a","b"],"groups":[]},"consume":null}}}`), &got)
	if at := refusal(t, err); at != "ring.x" {
		t.Errorf("named %q, want ring.x", at)
	}
	got = CreateRingIn{}
	err = DecodeParameters(json.RawMessage(` {"ring": {"name":"md", "capacity":65536, "record_max":0, "producers":"many",
		"consumers_max":3, "timestamps":false, "checksum":true, "policy":"skip", "demote_after_ns":-5,
		"allow":{"gate":{"users":["a","b"],"groups":[]},"consume":null}}} `), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := CreateRingIn{RingSpec{Name: "md", Capacity: 65536, RecordMax: ptr(uint64(0)), Producers: ProducersMany,
		ConsumersMax: ptr(3), Timestamps: ptr(false), Checksum: true, Policy: PolicySkip, DemoteAfterNS: ptr(int64(-5)),
		Allow: &Allow{Gate: &Principals{Users: List[string]{"a", "b"}, Groups: List[string]{}}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeParametersTakesNothing(t *testing.T) {
	for _, raw := range []string{"", "null", "{}", " null "} {
		if err := DecodeParameters(json.RawMessage(raw), &ListRingsIn{}); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
		err := DecodeParameters(json.RawMessage(raw), &DetachIn{})
		if at := refusal(t, err); at != "id" {
			t.Errorf("%q: named %q, want id", raw, at)
		}
	}
}

func TestDecodeParametersRefuses(t *testing.T) {
	for _, tt := range []struct {
		in        any
		raw       string
		parameter string
		message   string // a part of it
	}{
		{&DetachIn{}, `[]`, "parameters", "must be an object, got []"},
		{&DetachIn{}, `{"id":"a"`, "parameters", "not valid JSON"},
		{&DetachIn{}, `{"id":"a"} {}`, "parameters", "at byte 12 of 13"},
		{&DetachIn{}, `{"id":"a","id":"b"}`, "id", "twice"},
		{&DetachIn{}, `{"ID":"a"}`, "id", "missing"},
		{&DetachIn{}, `{"id":"a","ID":"b"}`, "ID", "known here: id"},
		{&ListRingsIn{}, `{"id":"a"}`, "id", "none is taken here"},
		{&DetachIn{}, `{"id":null}`, "id", "must not be null"},
		{&DetachIn{}, `{"id":7}`, "id", "must be a string, got 7"},
		{&RemoveRingIn{}, `{"name":"a","force":"yes"}`, "force", "true or false"},
		{&RemoveRingIn{}, `{"name":"a","force":1}`, "force", "true or false"},
		{&AttachIn{}, `{"ring":"a","role":"reader"}`, "role", "one of producer, consumer"},
		{&AttachIn{}, `{"ring":"a","role":""}`, "role", `got ""`},
		{&AttachIn{}, `{"ring":"a","role":7}`, "role", "a string"},
		{&AttachIn{}, `{"ring":"a","role":"consumer","epoch":1.5}`, "epoch", "a whole number, got 1.5"},
		{&AttachIn{}, `{"ring":"a","role":"consumer","epoch":"1"}`, "epoch", "a whole number"},
		{&AttachIn{}, `{"ring":"a","role":"consumer","epoch":-1}`, "epoch", "from 0 to"},
		{&AttachIn{}, `{"ring":"a","role":"consumer","epoch":9223372036854775808}`, "epoch", "from 0 to"},
		{&StatsIn{}, `{"interval_ms":9223372036854775808}`, "interval_ms", "from -9223372036854775808 to"},
		{&CreateRingIn{}, `{"ring":{"name":"a"}}`, "ring.capacity", "missing"},
		{&CreateRingIn{}, `{"ring":{"name":"a","capacity":1,"allow":[]}}`, "ring.allow", "an object"},
		{&CreateRingIn{}, `{"ring":{"name":"a","capacity":1,"allow":{"gate":{"users":{},"groups":[]}}}}`, "ring.allow.gate.users", "a list"},
		{&CreateRingIn{}, `{"ring":{"name":"a","capacity":1,"allow":{"gate":{"users":["a",7],"groups":[]}}}}`, "ring.allow.gate.users[1]", "a string"},
		{&CreateRingIn{}, `{"ring":{"name":"a","capacity":1,"allow":{"gate":{"users":[null],"groups":[]}}}}`, "ring.allow.gate.users[0]", "a string"},
		{&CreateRingIn{}, `{"ring":{"name":"a","capacity":1,"allow":{"gate":{"users":[]}}}}`, "ring.allow.gate.groups", "missing"},
	} {
		err := DecodeParameters(json.RawMessage(tt.raw), tt.in)
		if at := refusal(t, err); at != tt.parameter || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: named %q and said %q, want %q and %q", tt.raw, at, err, tt.parameter, tt.message)
		}
	}
}

// An int takes the values at its ends.
func TestDecodeIntEnds(t *testing.T) {
	var in struct {
		A uint64 `json:"a"`
		B int64  `json:"b"`
		C uint32 `json:"c"`
	}
	raw := `{"a":9223372036854775807,"b":-9223372036854775808,"c":4294967295}`
	if err := DecodeParameters(json.RawMessage(raw), &in); err != nil {
		t.Fatal(err)
	}
	if in.A != 1<<63-1 || in.B != -1<<63 || in.C != 1<<32-1 {
		t.Errorf("got %+v", in)
	}
	err := DecodeParameters(json.RawMessage(`{"a":0,"b":0,"c":4294967296}`), &in)
	if at := refusal(t, err); at != "c" {
		t.Errorf("named %q, want c", at)
	}
}

// A hostile name is quoted in part only.
func TestRefusalsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 10000)
	for _, raw := range []string{`{"` + long + `":1}`, `{"role":"` + long + `","ring":"a"}`, `{"ring":["` + long + `"]}`} {
		err := DecodeParameters(json.RawMessage(raw), &AttachIn{})
		refusal(t, err)
		if len(err.Error()) > 400 {
			t.Errorf("a message of %d bytes", len(err.Error()))
		}
	}
}

func FuzzDecodeParameters(f *testing.F) {
	f.Add([]byte(`{"ring":{"name":"md","capacity":65536,"allow":{"gate":{"users":["a"],"groups":[]}}}}`))
	f.Add([]byte(`{"ring":{"name":"md","capacity":-1}}`))
	f.Add([]byte(`{"ring":{}} x`))
	f.Add([]byte(`null`))
	f.Add([]byte("\"\xc6\""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in CreateRingIn
		if err := DecodeParameters(raw, &in); err != nil {
			refusal(t, err)
			return
		}
		// What was taken means the same when it is written and read again.
		data, err := EncodeParameters(in)
		if err != nil {
			t.Fatal(err)
		}
		var again CreateRingIn
		if err := DecodeParameters(data, &again); err != nil {
			t.Fatalf("%s became %s: %v", raw, data, err)
		}
		if !reflect.DeepEqual(in, again) {
			t.Errorf("%s became %+v, then %+v", raw, in, again)
		}
	})
}
