package daemon

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

func TestReloadEndsWhoLostTheRight(t *testing.T) {
	const both = "allow: {consume: {users: [%d]}, produce: {users: [%d]}}"
	rings := func(md, orders string) string {
		return "[{name: md, capacity: 64KiB, " + md + "}, {name: orders, capacity: 64KiB, " + orders + "}]"
	}
	given := fmt.Sprintf(both, strangerID, strangerID)
	taken := fmt.Sprintf("allow: {consume: {users: [1]}, produce: {users: [%d]}}", strangerID)
	p := newPlace(t, rings(given, given))
	p.edit(t, "control:\n", "control:\n  mode: 0666\n")
	i := start(t, p)
	admin, stranger := dial(t, p.socket), newPuppet(t, p)
	admin.attach("roots", "t1") // trusted, whatever the rules are
	var lost wire.AttachOut
	for _, in := range []wire.AttachIn{
		{Ring: "md", Role: wire.RoleConsumer, Token: "t2"},
		{Ring: "md", Role: wire.RoleProducer, Token: "t3"},
		{Ring: "orders", Role: wire.RoleConsumer, Token: "t4"},
	} {
		var out wire.AttachOut
		if err := stranger.call(wire.MethodAttach, in, &out); err != nil {
			t.Fatal(err)
		}
		if in.Token == "t2" {
			lost = out
		}
	}
	p.edit(t, rings(given, given), rings(taken, given))
	reason := fmt.Sprintf("allow.consume of ring md no longer names uid %d", strangerID)
	out := admin.reload()
	expectSentences(t, "changed", out.Changed, []string{"ring md", "allow.consume"},
		[]string{lost.Attachment.ID, fmt.Sprintf("pid %d", stranger.cmd.Process.Pid), reason})

	var list wire.ListAttachmentsOut
	if err := stranger.call(wire.MethodListAttachments, wire.ListAttachmentsIn{}, &list); err != nil {
		t.Fatal(err)
	}
	ended := 0
	for _, a := range list.Attachments {
		if a.EndedReason == "" {
			continue
		}
		ended++
		if a.ID != lost.Attachment.ID || !strings.Contains(a.EndedReason, reason) {
			t.Errorf("%s was ended: %s", a.ID, a.EndedReason)
		}
	}
	if ended != 1 || len(list.Attachments) != 4 {
		t.Errorf("%d of %d attachments were ended, want 1 of 4", ended, len(list.Attachments))
	}
	err := stranger.call(wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Token: "t5"}, &wire.AttachOut{})
	if !errors.Is(err, wire.ErrAccessDenied) || !strings.Contains(err.Error(), "allow.consume") {
		t.Errorf("attach again: %v", err)
	}
	i.waitLogged(reason)
}

// TestReloadSetsQuotas has a user who is past them when they come.
func TestReloadSetsQuotas(t *testing.T) {
	allowed := fmt.Sprintf("[{name: md, capacity: 64KiB, allow: {consume: {users: [%d]}}}]", strangerID)
	p := newPlace(t, allowed, "limits: {rings: 8}")
	p.edit(t, "control:\n", fmt.Sprintf("control:\n  mode: 0666\n  admin_group: %d\n", strangerID))
	start(t, p)
	admin, stranger := dial(t, p.socket), newPuppet(t, p)
	attach := func(token string) error {
		return stranger.call(wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Token: token}, &wire.AttachOut{})
	}
	create := func(name string) error {
		return stranger.call(wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: name, Capacity: 64 << 10}}, &wire.CreateRingOut{})
	}
	if err := errors.Join(attach("t1"), attach("t2"), create("a")); err != nil {
		t.Fatal(err)
	}
	if owner := admin.rings()["a"].Owner; owner != strangerID {
		t.Errorf("its ring belongs to uid %d", owner)
	}
	p.edit(t, "limits: {rings: 8}", "limits: {rings: 8, per_uid: {memory: 256KiB, attachments: 2, connections: 1}}")
	expectSentences(t, "changed", admin.reload().Changed, []string{"limits.per_uid.memory is 256KiB, was none"},
		[]string{"limits.per_uid.attachments is 2"}, []string{"limits.per_uid.connections is 1"})
	for limit, err := range map[string]error{"limits.per_uid.attachments": attach("t3"), "limits.per_uid.memory": create("b")} {
		if !errors.Is(err, wire.ErrLimitExceeded) || !strings.Contains(err.Error(), limit) || !strings.Contains(err.Error(), fmt.Sprint(strangerID)) {
			t.Errorf("%s: got %v", limit, err)
		}
	}
	p.edit(t, ", per_uid: {memory: 256KiB, attachments: 2, connections: 1}", "")
	if out := admin.reload(); len(out.Changed) != 3 {
		t.Errorf("changed: %q", out.Changed)
	}
	if err := errors.Join(attach("t3"), create("b")); err != nil {
		t.Errorf("without quotas: %v", err)
	}
	// Whoever is no administrator any more cannot ask for more.
	p.edit(t, fmt.Sprintf("admin_group: %d", strangerID), "admin_group: \"\"")
	admin.reload()
	if err := create("c"); !errors.Is(err, wire.ErrAccessDenied) {
		t.Errorf("create a ring after control.admin_group is gone: %v", err)
	}
	if !reflect.DeepEqual(admin.status().Problems, wire.List[string]{}) {
		t.Errorf("problems: %q", admin.status().Problems)
	}
}
