package control

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"brokerd/internal/wire"
)

// newLoggedHost keeps what the server logs.
func newLoggedHost(t *testing.T) (*host, *observer.ObservedLogs) {
	core, lines := observer.New(zapcore.InfoLevel)
	return newHost(t, func(o *Options) { o.Log = zap.New(core) }, nil), lines
}

// TestClientsCannotFillTheLog holds that equal provocations are logged
// quietLinesMax times, whatever the client varies, and bounded in length.
func TestClientsCannotFillTheLog(t *testing.T) {
	h, lines := newLoggedHost(t)
	const times = 3 * quietLinesMax
	c := h.dial()
	for i := range times {
		_ = c.call("com.example."+strings.Repeat("x", i+1), nil, nil)
		_ = c.call(wire.MethodDescribeRing, wire.DescribeRingIn{Name: strings.Repeat("y", 100*i)}, nil)
		d := h.dial()
		d.raw("nonsense\x00")
		d.ended()
	}
	if n := lines.Len(); n != 3*quietLinesMax {
		t.Errorf("%d lines for three provocations of %d times, want %d", n, times, 3*quietLinesMax)
	}
	for _, line := range lines.All() {
		for key, value := range line.ContextMap() {
			if s, ok := value.(string); ok && key != "error" && len(s) > quoteBytesMax {
				t.Errorf("%s: field %s has %d bytes", line.Message, key, len(s))
			}
		}
	}
}

func TestAttachAndRefusalAreLogged(t *testing.T) {
	h, lines := newLoggedHost(t)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	in := wire.AttachIn{Ring: "md", Role: wire.RoleProducer, Name: "feed"}
	var out wire.AttachOut
	c.must(wire.MethodAttach, in, &out)
	refused(t, c.call(wire.MethodAttach, in, nil), wire.ErrProducerPresent)
	c.must(wire.MethodDetach, wire.DetachIn{ID: out.Attachment.ID}, &wire.DetachOut{})
	for text, want := range map[string]map[string]any{
		"attached":                        {"ring": "md", "id": out.Attachment.ID, "name": "feed", "pid": int64(os.Getpid()), "uid": uint32(os.Getuid())},
		"Attach refused: ProducerPresent": {"ring": "md", "name": "feed", "pid": int64(os.Getpid())},
		"detached":                        {"id": out.Attachment.ID, "by_itself": true},
	} {
		found := lines.FilterMessage(text).All()
		if len(found) != 1 {
			t.Errorf("%d lines say %q, want 1", len(found), text)
			continue
		}
		for key, value := range want {
			if got := found[0].ContextMap()[key]; got != value {
				t.Errorf("%q: %s is %v, want %v", text, key, got, value)
			}
		}
	}
}
