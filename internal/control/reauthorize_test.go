package control

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

// allow gives the rings new rules, as a reload does.
func (h *host) allow(rules map[string]*wire.Allow) {
	h.t.Helper()
	var specs []wire.RingSpec
	for name, allow := range rules {
		specs = append(specs, wire.RingSpec{Name: name, Capacity: 64 << 10, Allow: allow})
	}
	if _, _, err := h.broker.Reconcile(specs); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) attachments(ring string) map[string]wire.Attachment {
	h.t.Helper()
	list, err := h.broker.Attachments(ring)
	if err != nil {
		h.t.Fatal(err)
	}
	byID := map[string]wire.Attachment{}
	for _, a := range list {
		byID[a.ID] = a
	}
	return byID
}

func TestReauthorize(t *testing.T) {
	h := newHost(t, func(o *Options) { o.OwnerUID = 4242 }, func(s *Server) { s.access.names.find = directory })
	everybody := principals([]string{"alice", "1004"}, "trading")
	h.allow(map[string]*wire.Allow{
		"md":    {Consume: everybody, Produce: everybody, Gate: everybody},
		"other": {Consume: everybody},
	})
	alice, bob, eve, owner := h.as(1001, 1001), h.as(1003, 777), h.as(1004, 1004), h.as(4242, 4242)
	attach := func(c *caller, in wire.AttachIn) string {
		var out wire.AttachOut
		c.must(wire.MethodAttach, in, &out)
		return out.Attachment.ID
	}
	reads := func(policy wire.Policy) wire.AttachIn {
		return wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Policy: policy}
	}
	kept := map[string]bool{
		attach(bob, reads("")):                              true, // by group
		attach(eve, reads("")):                              true,
		attach(owner, reads(wire.PolicyBlock)):              true,
		attach(alice, attachIn("other", wire.RoleConsumer)): true,
	}
	lost := map[string]string{
		attach(alice, reads("")):                       "allow.consume of ring md no longer names uid 1001 (alice, groups 1001)",
		attach(bob, reads(wire.PolicyBlock)):           "allow.gate of ring md no longer names uid 1003 (groups trading)",
		attach(eve, attachIn("md", wire.RoleProducer)): "allow.produce of ring md no longer names uid 1004 (groups 1004)",
	}
	if ended := h.server.Reauthorize(); len(ended) != 0 {
		t.Fatalf("ended by unchanged rules: %q", ended)
	}
	h.allow(map[string]*wire.Allow{
		"md":    {Consume: principals([]string{"1004"}, "trading"), Gate: principals([]string{"1004"})},
		"other": {Consume: everybody},
	})
	ended := h.server.Reauthorize()
	if len(ended) != len(lost) {
		t.Errorf("ended: %q, want %d", ended, len(lost))
	}
	now := h.attachments("")
	for id, reason := range lost {
		if a := now[id]; a.State != wire.StateDetached || a.EndedReason != reason {
			t.Errorf("%s is %s for %q, want %q", id, a.State, a.EndedReason, reason)
		}
		if want := fmt.Sprintf("ended %s of pid %d: %s", id, os.Getpid(), reason); !strings.Contains(strings.Join(ended, "\n"), want) {
			t.Errorf("%q lacks %q", ended, want)
		}
	}
	for id := range kept {
		if a := now[id]; a.State != wire.StateAttached || a.EndedReason != "" {
			t.Errorf("%s is %s for %q; its right is unchanged", id, a.State, a.EndedReason)
		}
	}
	// The connections stay; what they hold no more is nothing to judge again.
	alice.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
	refused(t, alice.call(wire.MethodAttach, reads(""), nil), wire.ErrAccessDenied, "allow.consume")
	if again := h.server.Reauthorize(); len(again) != 0 {
		t.Errorf("ended twice: %q", again)
	}
	for id := range lost {
		if who, held := h.server.seats.holders()[id]; held {
			t.Errorf("%s is still on the seat of uid %d", id, who.uid)
		}
	}
}

// TestReauthorizeMissesNoAttachUnderWay takes the right away while many ask for
// it: whoever got in by the old rules must be out afterwards.
func TestReauthorizeMissesNoAttachUnderWay(t *testing.T) {
	h := newHost(t, nil, func(s *Server) { s.access.names.find = directory })
	granted := map[string]*wire.Allow{"md": {Consume: principals([]string{"alice"})}}
	taken := map[string]*wire.Allow{"md": {Consume: principals([]string{"1004"})}}
	var callers []*caller
	for range 8 {
		callers = append(callers, h.as(1001, 1001))
	}
	answered := map[bool]int{} // allowed or not
	answer := func(c *caller) {
		reply, _ := c.receive()
		err := reply.Decode(&wire.AttachOut{})
		if err != nil && !errors.Is(err, wire.ErrAccessDenied) {
			t.Fatal(err)
		}
		answered[err == nil]++
	}
	for round := range 100 {
		h.allow(granted)
		for _, c := range callers {
			c.send(wire.MethodAttach, attachIn("md", wire.RoleConsumer))
		}
		early := round % len(callers) // who is surely in by then
		for _, c := range callers[:early] {
			answer(c)
		}
		h.allow(taken)
		h.server.Reauthorize()
		for _, c := range callers[early:] {
			answer(c)
		}
		for id, a := range h.attachments("md") {
			if a.State == wire.StateAttached {
				t.Fatalf("round %d: %s is attached by rules that do not hold any more", round, id)
			}
		}
	}
	if answered[true] == 0 || answered[false] == 0 {
		t.Errorf("allowed and not: %v; the race never happened", answered)
	}
}
