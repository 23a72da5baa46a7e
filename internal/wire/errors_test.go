package wire

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
)

type errorSample struct {
	err        *Error
	parameters any
}

func errorSamples() []errorSample {
	return []errorSample{
		{RingNotFound("md", "x %d", 1), RingNotFoundParameters{"x 1", "md"}},
		{RingExists("md", "x %d", 1), RingExistsParameters{"x 1", "md"}},
		{RingInUse("md", 3, "x %d", 1), RingInUseParameters{"x 1", "md", 3}},
		{EpochChanged("md", 4, 5, "x %d", 1), EpochChangedParameters{"x 1", "md", 4, 5}},
		{AttachmentNotFound("md/c1.2", "x %d", 1), AttachmentNotFoundParameters{"x 1", "md/c1.2"}},
		{SlotsExhausted("md", RoleConsumer, 6, "x %d", 1), SlotsExhaustedParameters{"x 1", "md", RoleConsumer, 6}},
		{ProducerPresent("md", 7, "x %d", 1), ProducerPresentParameters{"x 1", "md", 7}},
		{LimitExceeded("rings", 8, 1, 9, "x %d", 1), LimitExceededParameters{"x 1", "rings", 8, 1, 9}},
		{NoSpace("/d", 10, 9, "x %d", 1), NoSpaceParameters{"x 1", "/d", 10, 9}},
		{AccessDenied("allow.gate", "x %d", 1), AccessDeniedParameters{"x 1", "allow.gate"}},
		{InvalidRing("capacity", "x %d", 1), InvalidRingParameters{"x 1", "capacity"}},
		{InvalidConfig("/etc/x", "x %d", 1), InvalidConfigParameters{"x 1", "/etc/x"}},
		{CursorInUse("risk", 7, "x %d", 1), CursorInUseParameters{"x 1", "risk", 7}},
		{NotReady(DaemonStarting, "x %d", 1), NotReadyParameters{"x 1", "starting"}},
		{RingCorrupt("md", "x %d", 1), RingCorruptParameters{"x 1", "md"}},
		{Failed("x %d", 1), FailedParameters{"x 1"}},
		{InterfaceNotFound("a.b", "x %d", 1), InterfaceNotFoundParameters{"x 1", "a.b"}},
		{MethodNotFound("a.b.C", "x %d", 1), MethodNotFoundParameters{"x 1", "a.b.C"}},
		{MethodNotImplemented("a.b.C", "x %d", 1), MethodNotImplementedParameters{"x 1", "a.b.C"}},
		{InvalidParameter("ring.name", "x %d", 1), InvalidParameterParameters{"x 1", "ring.name"}},
		{PermissionDenied("x %d", 1), PermissionDeniedParameters{"x 1"}},
		{ExpectedMore("x %d", 1), ExpectedMoreParameters{"x 1"}},
	}
}

func TestErrorsTravel(t *testing.T) {
	for _, s := range errorSamples() {
		frame, err := EncodeReply(s.err.Reply())
		if err != nil {
			t.Fatal(err)
		}
		reply, err := DecodeReply(frame[:len(frame)-1])
		if err != nil {
			t.Fatal(err)
		}
		err = fmt.Errorf("attach: %w", reply.Decode(&struct{}{}))
		var got *Error
		if !errors.As(err, &got) {
			t.Fatalf("%s: got %v", s.err.Name, err)
		}
		if got.Name != s.err.Name || got.Error() != "x 1" {
			t.Errorf("got %q named %s, want %q named %s", got, got.Name, s.err, s.err.Name)
		}
		for _, other := range errorSamples() {
			if is := errors.Is(err, other.err.Name); is != (other.err.Name == s.err.Name) {
				t.Errorf("%s: is %s: %v", s.err.Name, other.err.Name, is)
			}
		}
		parameters := reflect.New(reflect.TypeOf(s.parameters))
		if err := got.Decode(parameters.Interface()); err != nil {
			t.Error(err)
		}
		if !reflect.DeepEqual(parameters.Elem().Interface(), s.parameters) {
			t.Errorf("%s: got %+v, want %+v", s.err.Name, parameters.Elem(), s.parameters)
		}
	}
}

func TestErrorsOfOtherServices(t *testing.T) {
	for _, tt := range []struct{ frame, message string }{
		{`{"error":"io.brokerd.Broker.Novelty","parameters":{"message":"new"}}`, "new"},
		{`{"error":"io.brokerd.Broker.Novelty","parameters":{"message":7}}`, `Novelty {"message":7}`},
		{`{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"ring"}}`, `InvalidParameter {"parameter":"ring"}`},
		{`{"error":"org.varlink.service.PermissionDenied"}`, "PermissionDenied"},
		{`{"error":"bare","parameters":{}}`, "bare"},
	} {
		reply, err := DecodeReply([]byte(tt.frame))
		if err != nil {
			t.Fatal(err)
		}
		err = reply.Decode(&struct{}{})
		if err == nil || err.Error() != tt.message || !errors.Is(err, ErrorName(reply.Error)) {
			t.Errorf("%s: got %v, want %s", tt.frame, err, tt.message)
		}
	}
}
