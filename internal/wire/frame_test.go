package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCallsTravel(t *testing.T) {
	for _, tt := range []struct {
		call  Call
		frame string
	}{
		{Call{Method: "a.b.C"}, `{"method":"a.b.C"}`},
		{Call{Method: "a.b.C", Parameters: json.RawMessage(`{"x":1}`), More: true}, `{"method":"a.b.C","parameters":{"x":1},"more":true}`},
		{Call{Method: "a.b.C", Oneway: true, Upgrade: true}, `{"method":"a.b.C","oneway":true,"upgrade":true}`},
	} {
		frame, err := EncodeCall(tt.call)
		if err != nil || string(frame) != tt.frame+"\x00" {
			t.Errorf("got %q, %v; want %q", frame, err, tt.frame)
		}
		call, err := DecodeCall([]byte(tt.frame))
		if err != nil || !reflect.DeepEqual(call, tt.call) {
			t.Errorf("got %+v, %v; want %+v", call, err, tt.call)
		}
	}
	call, err := DecodeCall([]byte(" {\n\"parameters\":null, \"more\":null, \"method\" : \"a.b\"} "))
	if err != nil || !reflect.DeepEqual(call, Call{Method: "a.b"}) {
		t.Errorf("got %+v, %v", call, err)
	}
}

func TestDecodeCallRefuses(t *testing.T) {
	for _, tt := range []struct{ frame, parameter string }{
		{"", "call"},
		{"GET / HTTP/1.1", "call"},
		{`[]`, "call"},
		{`null`, "call"},
		{`{"method":"a.b"`, "call"},
		{`{"method":"a.b"}}`, "call"},
		{`{}`, "method"},
		{`{"method":""}`, "method"},
		{`{"method":null}`, "method"},
		{`{"method":7}`, "method"},
		{`{"METHOD":"a.b"}`, "METHOD"},
		{`{"method":"a.b","method":"c.d"}`, "call.method"},
		{`{"method":"a.b","parameters":[]}`, "parameters"},
		{`{"method":"a.b","parameters":"x"}`, "parameters"},
		{`{"method":"a.b","more":"yes"}`, "more"},
		{`{"method":"a.b","oneway":1}`, "oneway"},
		{`{"method":"a.b","upgrade":{}}`, "upgrade"},
		{`{"method":"a.b","extra":1}`, "extra"},
		{strings.Repeat("[", 20000), "call"},
	} {
		_, err := DecodeCall([]byte(tt.frame))
		if at := refusal(t, err); at != tt.parameter {
			t.Errorf("%.40s: named %q, want %q", tt.frame, at, tt.parameter)
		}
	}
}

func TestRepliesTravel(t *testing.T) {
	for _, tt := range []struct {
		reply Reply
		frame string
	}{
		{Reply{}, `{}`},
		{Reply{Parameters: json.RawMessage(`{"id":"x"}`), Continues: true}, `{"parameters":{"id":"x"},"continues":true}`},
		{Reply{Error: "a.b.C"}, `{"error":"a.b.C"}`},
	} {
		frame, err := EncodeReply(tt.reply)
		if err != nil || string(frame) != tt.frame+"\x00" {
			t.Errorf("got %q, %v; want %q", frame, err, tt.frame)
		}
		reply, err := DecodeReply([]byte(tt.frame))
		if err != nil || !reflect.DeepEqual(reply, tt.reply) {
			t.Errorf("got %+v, %v; want %+v", reply, err, tt.reply)
		}
	}
	reply, err := DecodeReply([]byte(`{"novelty":1,"parameters":{"id":"x","novelty":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	var out DetachIn
	if err := reply.Decode(&out); err != nil || out.ID != "x" {
		t.Errorf("got %+v, %v", out, err)
	}
	if err := (Reply{}).Decode(&out); err != nil {
		t.Errorf("a reply without parameters: %v", err)
	}
	if err := (Reply{Parameters: json.RawMessage(`{"id":1}`)}).Decode(&out); !errors.Is(err, ErrMalformedReply) {
		t.Errorf("a reply of another type: %v", err)
	}
}

func TestDecodeReplyRefuses(t *testing.T) {
	for _, frame := range []string{"", "{", "[]", `{"parameters":[]}`, `{"continues":1}`, `{"error":1}`, `{"error":"a","error":"b"}`} {
		if _, err := DecodeReply([]byte(frame)); !errors.Is(err, ErrMalformedReply) {
			t.Errorf("%s: got %v", frame, err)
		}
	}
}

// padded returns a JSON object of exactly n bytes, and a frame of parameters
// such that the whole has n bytes.
func padded(t *testing.T, prefix, suffix string, n int) string {
	t.Helper()
	return prefix + strings.Repeat("x", n-len(prefix)-len(suffix)) + suffix
}

func TestFramesAtTheirLimits(t *testing.T) {
	const head, tail = `{"method":"a.b","parameters":{"x":"`, `"}}`
	if _, err := DecodeCall([]byte(padded(t, head, tail, CallBytesMax))); err != nil {
		t.Errorf("a call at the limit: %v", err)
	}
	_, err := DecodeCall([]byte(padded(t, head, tail, CallBytesMax+1)))
	if at := refusal(t, err); at != "call" || !strings.Contains(err.Error(), "65537 bytes, at most 65536") {
		t.Errorf("a call past the limit: %v", err)
	}

	parameters := func(frameBytes, frameless int) json.RawMessage {
		return json.RawMessage(padded(t, `{"x":"`, `"}`, frameBytes-frameless))
	}
	const aroundCall = len(`{"method":"a.b","parameters":}`)
	frame, err := EncodeCall(Call{Method: "a.b", Parameters: parameters(CallBytesMax, aroundCall)})
	if err != nil || len(frame) != CallBytesMax+1 {
		t.Errorf("a call at the limit: %d bytes, %v", len(frame), err)
	}
	_, err = EncodeCall(Call{Method: "a.b", Parameters: parameters(CallBytesMax+1, aroundCall)})
	if !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("a call past the limit: %v", err)
	}

	const aroundReply = len(`{"parameters":}`)
	frame, err = EncodeReply(Reply{Parameters: parameters(ReplyBytesMax, aroundReply)})
	if err != nil || len(frame) != ReplyBytesMax+1 {
		t.Fatalf("a reply at the limit: %d bytes, %v", len(frame), err)
	}
	if _, err := DecodeReply(frame[:len(frame)-1]); err != nil {
		t.Errorf("a reply at the limit: %v", err)
	}
	if _, err := DecodeReply(append(frame[:len(frame)-1], ' ')); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("a reply past the limit: %v", err)
	}
	_, err = EncodeReply(Reply{Parameters: parameters(ReplyBytesMax+1, aroundReply)})
	if !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("a reply past the limit: %v", err)
	}
}

func TestEncodeRefusesWhatIsNoObject(t *testing.T) {
	for _, raw := range []string{"[]", "7", `"x"`, `{"x"`} {
		if frame, err := EncodeCall(Call{Method: "a.b", Parameters: json.RawMessage(raw)}); err == nil {
			t.Errorf("%s became %s", raw, frame)
		}
		if frame, err := EncodeReply(Reply{Parameters: json.RawMessage(raw)}); err == nil {
			t.Errorf("%s became %s", raw, frame)
		}
	}
}

func TestSplitMethod(t *testing.T) {
	for _, tt := range []struct {
		method, iface, name string
		ok                  bool
	}{
		{"io.brokerd.Broker.Attach", "io.brokerd.Broker", "Attach", true},
		{"a.B", "a", "B", true},
		{"Attach", "", "", false},
		{".Attach", "", "", false},
		{"a.", "", "", false},
		{"", "", "", false},
	} {
		iface, name, ok := SplitMethod(tt.method)
		if iface != tt.iface || name != tt.name || ok != tt.ok {
			t.Errorf("%q: got %q, %q, %v", tt.method, iface, name, ok)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		s           string
		name, label bool
	}{
		{"md", true, true},
		{"A9._-z", true, true},
		{"9", true, true},
		{strings.Repeat("x", NameBytesMax), true, true},
		{strings.Repeat("x", NameBytesMax+1), false, false},
		{"", false, false},
		{".", false, true},
		{"..", false, true},
		{"-x", false, true},
		{"_x", false, true},
		{"../x", false, false},
		{"a/b", false, false},
		{"a b", false, false},
		{"a\x00", false, false},
		{"é", false, false},
	} {
		if ValidName(tt.s) != tt.name || ValidLabel(tt.s) != tt.label {
			t.Errorf("%q: name %v, label %v", tt.s, ValidName(tt.s), ValidLabel(tt.s))
		}
	}
}

func FuzzDecodeCall(f *testing.F) {
	f.Add([]byte(`{"method":"a.b","parameters":{"x":1},"more":true}`))
	f.Add([]byte(`{"method":"a.b","parameters":null}`))
	f.Add([]byte(`{"method":`))
	f.Add([]byte("\"\xfa\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		call, err := DecodeCall(data)
		if err != nil {
			refusal(t, err)
			return
		}
		frame, err := EncodeCall(call)
		if errors.Is(err, ErrFrameTooLarge) { // escaping may lengthen it
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeCall(frame[:len(frame)-1])
		if err != nil {
			t.Fatalf("%q became %q: %v", data, frame, err)
		}
		if call.Method != again.Method || call.More != again.More || call.Oneway != again.Oneway || (call.Parameters == nil) != (again.Parameters == nil) {
			t.Errorf("%q became %+v, then %+v", data, call, again)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"parameters":{"id":"x"},"continues":true}`))
	f.Add([]byte(`{"error":"a.b","parameters":{"message":"x"}}`))
	f.Add([]byte(`{"parameters":[]}`))
	f.Add([]byte(`{"error":"."}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		reply, err := DecodeReply(data)
		if err != nil {
			if !errors.Is(err, ErrMalformedReply) && !errors.Is(err, ErrFrameTooLarge) {
				t.Errorf("%q: unnamed error %v", data, err)
			}
			return
		}
		var out AttachOut
		err = reply.Decode(&out)
		if reply.Error != "" && (!errors.Is(err, ErrorName(reply.Error)) || err.Error() == "") {
			t.Errorf("%q: error %q became %v", data, reply.Error, err)
		}
	})
}
