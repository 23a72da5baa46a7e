package control

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// directory answers look-ups in tests: uid 1001 is alice, gid 777 is trading.
func directory(k nameKey) (entry, error) {
	switch k {
	case nameKey{users, "alice"}, nameKey{users, "1001"}:
		return entry{"alice", 1001, true}, nil
	case nameKey{groups, "trading"}, nameKey{groups, "777"}:
		return entry{"trading", 777, true}, nil
	}
	return entry{}, nil
}

func principals(users []string, groups ...string) *wire.Principals {
	return &wire.Principals{Users: users, Groups: groups}
}

func TestMayAttach(t *testing.T) {
	const owner = 500
	root := subject{uid: 0}
	daemon := subject{uid: owner, gid: 500}
	alice := subject{uid: 1001, gid: 1001, groups: []uint32{1002, 777}}
	bob := subject{uid: 1003, gid: 777}
	eve := subject{uid: 1004, gid: 1004, groups: []uint32{1005}}
	everyone := []subject{root, daemon, alice, bob, eve}

	consume := func(policy wire.Policy) wire.AttachIn {
		return wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Policy: policy}
	}
	produce := wire.AttachIn{Ring: "md", Role: wire.RoleProducer}
	tests := []struct {
		name   string
		allow  wire.Allow
		policy wire.Policy // the ring's
		in     wire.AttachIn
		may    []subject
	}{
		{"nothing allowed, consume", wire.Allow{}, wire.PolicyDemote, consume(""), []subject{root, daemon}},
		{"nothing allowed, produce", wire.Allow{}, wire.PolicyDemote, produce, []subject{root, daemon}},
		{"an empty list", wire.Allow{Consume: principals(nil)}, wire.PolicyDemote, consume(""), []subject{root, daemon}},
		{"user by name", wire.Allow{Consume: principals([]string{"alice"})}, wire.PolicyDemote, consume(""), []subject{root, daemon, alice}},
		{"user by number", wire.Allow{Consume: principals([]string{"1004"})}, wire.PolicyDemote, consume(""), []subject{root, daemon, eve}},
		{"group by name", wire.Allow{Consume: principals(nil, "trading")}, wire.PolicyDemote, consume(""), []subject{root, daemon, alice, bob}},
		{"supplementary group by number", wire.Allow{Consume: principals(nil, "1005")}, wire.PolicyDemote, consume(""), []subject{root, daemon, eve}},
		{"unknown names", wire.Allow{Consume: principals([]string{"nosuch"}, "nosuch")}, wire.PolicyDemote, consume(""), []subject{root, daemon}},
		{"a number out of range", wire.Allow{Consume: principals([]string{"4294968297"})}, wire.PolicyDemote, consume(""), []subject{root, daemon}},
		{"a group's name among users", wire.Allow{Consume: principals([]string{"trading"})}, wire.PolicyDemote, consume(""), []subject{root, daemon}},
		{"consume is not produce", wire.Allow{Consume: principals([]string{"alice"})}, wire.PolicyDemote, produce, []subject{root, daemon}},
		{"produce is not consume", wire.Allow{Produce: principals([]string{"alice"})}, wire.PolicyDemote, consume(""), []subject{root, daemon}},
		{"produce", wire.Allow{Produce: principals([]string{"alice"})}, wire.PolicyBlock, produce, []subject{root, daemon, alice}},
		{"block without gate", wire.Allow{Consume: principals([]string{"alice"})}, wire.PolicyDemote, consume(wire.PolicyBlock), []subject{root, daemon}},
		{"block with gate", wire.Allow{Consume: principals([]string{"alice", "1004"}), Gate: principals([]string{"1004"})}, wire.PolicyDemote, consume(wire.PolicyBlock), []subject{root, daemon, eve}},
		{"gate without consume", wire.Allow{Gate: principals([]string{"alice"})}, wire.PolicyDemote, consume(wire.PolicyBlock), []subject{root, daemon}},
		{"block by default", wire.Allow{Consume: principals([]string{"alice"})}, wire.PolicyBlock, consume(""), []subject{root, daemon}},
		{"skip where block is the default", wire.Allow{Consume: principals([]string{"alice"})}, wire.PolicyBlock, consume(wire.PolicySkip), []subject{root, daemon, alice}},
	}
	for _, test := range tests {
		a := newAccess(owner, 777, newNames(zap.NewNop()))
		a.names.find = directory
		a.learn(test.allow)
		ring := wire.Ring{Name: "md", Policy: test.policy, Allow: test.allow}
		for _, s := range everyone {
			want := false
			for _, m := range test.may {
				want = want || m.uid == s.uid
			}
			if err := a.mayAttach(s, ring, test.in); (err == nil) != want {
				t.Errorf("%s: uid %d: %v, want allowed %v", test.name, s.uid, err, want)
			}
		}
	}
}

func TestAdmin(t *testing.T) {
	alice := subject{uid: 1001, gid: 1001, groups: []uint32{1002, 777}}
	for _, test := range []struct {
		adminGID int
		s        subject
		want     bool
	}{
		{-1, subject{uid: 0}, true},
		{-1, subject{uid: 500}, true},
		{-1, alice, false},
		{-1, subject{uid: 1001, gid: 4294967295}, false},
		{777, alice, true},
		{1001, alice, true},
		{778, alice, false},
		{0, subject{uid: 1001, gid: 0}, true},
	} {
		a := newAccess(500, test.adminGID, nil)
		if got := a.admin(test.s); got != test.want {
			t.Errorf("admin group %d, %+v: %v, want %v", test.adminGID, test.s, got, test.want)
		}
	}
}

// TestDenialsNameTheRule goes through the socket as somebody else.
func TestDenialsNameTheRule(t *testing.T) {
	h := newHost(t, func(o *Options) { o.AdminGID = 700 }, func(s *Server) { s.access.names.find = directory })
	h.ring(wire.RingSpec{Name: "closed"})
	h.ring(wire.RingSpec{Name: "md", Allow: &wire.Allow{Consume: principals(nil, "trading"), Gate: principals([]string{"bob"})}})
	h.ring(wire.RingSpec{Name: "blocks", Policy: wire.PolicyBlock, Allow: &wire.Allow{Consume: principals(nil, "trading")}})

	alice := h.as(1001, 777, 777, 1002)
	attach := func(ring string, role wire.Role, policy wire.Policy) error {
		return alice.call(wire.MethodAttach, wire.AttachIn{Ring: ring, Role: role, Policy: policy}, &wire.AttachOut{})
	}
	refused(t, attach("closed", wire.RoleConsumer, ""), wire.ErrAccessDenied, "allow.consume", `ring "closed"`, "there is no")
	refused(t, attach("md", wire.RoleProducer, ""), wire.ErrAccessDenied, "allow.produce")
	err := attach("md", wire.RoleConsumer, wire.PolicyBlock)
	refused(t, err, wire.ErrAccessDenied,
		`ring md: uid 1001 (alice, groups trading, 1002) is not in allow.gate of ring "md"; ask for policy demote or add`)
	if strings.Contains(err.Error(), "default") {
		t.Errorf("%q blames the ring's default for what was asked for", err)
	}
	refused(t, attach("blocks", wire.RoleConsumer, ""), wire.ErrAccessDenied, "allow.gate", "policy block is this ring's default")
	if err := attach("md", wire.RoleConsumer, ""); err != nil {
		t.Errorf("alice may read md: %v", err)
	}
	if err := attach("blocks", wire.RoleConsumer, wire.PolicyDemote); err != nil {
		t.Errorf("alice may read blocks with policy demote: %v", err)
	}

	create := wire.CreateRingIn{Ring: wire.RingSpec{Name: "mine", Capacity: 64 << 10}}
	refused(t, alice.call(wire.MethodCreateRing, create, nil), wire.ErrAccessDenied, `create ring "mine"`, "uid 1001 (alice", "control.admin_group")
	refused(t, alice.call(wire.MethodRemoveRing, wire.RemoveRingIn{Name: "md"}, nil), wire.ErrAccessDenied, "remove ring")
	for _, dry := range []bool{true, false} {
		refused(t, alice.call(wire.MethodCollectGarbage, wire.CollectGarbageIn{DryRun: dry}, nil), wire.ErrAccessDenied, "collect garbage", "control.admin_group")
	}
	// Looking is free.
	alice.must(wire.MethodListRings, nil, &wire.ListRingsOut{})
	alice.must(wire.MethodListAttachments, nil, &wire.ListAttachmentsOut{})
	alice.must(wire.MethodDescribeRing, wire.DescribeRingIn{Name: "closed"}, &wire.DescribeRingOut{})
	alice.must(wire.MethodStats, nil, &wire.StatsOut{})
	alice.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})

	admin := h.as(1009, 1009, 700)
	admin.must(wire.MethodCreateRing, create, &wire.CreateRingOut{})
	admin.must(wire.MethodRemoveRing, wire.RemoveRingIn{Name: "mine"}, &wire.RemoveRingOut{})
	admin.must(wire.MethodCollectGarbage, wire.CollectGarbageIn{}, &wire.CollectGarbageOut{})
	refused(t, admin.call(wire.MethodAttach, attachIn("closed", wire.RoleConsumer), nil), wire.ErrAccessDenied, "allow.consume")
}

func TestDetachOfOthers(t *testing.T) {
	h := newHost(t, func(o *Options) { o.AdminGID = 700 }, func(s *Server) { s.access.names.find = directory })
	h.ring(wire.RingSpec{Name: "md", Allow: &wire.Allow{Consume: principals([]string{"alice"}, "700")}})
	alice, mallory, admin := h.as(1001, 1001), h.as(1004, 1004), h.as(1009, 700)
	attach := func() string {
		var out wire.AttachOut
		alice.must(wire.MethodAttach, attachIn("md", wire.RoleConsumer), &out)
		return out.Attachment.ID
	}
	gone := func(id string) bool {
		list, err := h.broker.Attachments("md")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.ID == id && a.State == wire.StateAttached {
				return false
			}
		}
		return true
	}
	id := attach()
	refused(t, mallory.call(wire.MethodDetach, wire.DetachIn{ID: id}, nil), wire.ErrAccessDenied, id, "not an administrator")
	if gone(id) {
		t.Fatal("a refused Detach was carried out")
	}
	// By another connection of the same process and user.
	h.as(1001, 1001).must(wire.MethodDetach, wire.DetachIn{ID: id}, &wire.DetachOut{})
	if !gone(id) {
		t.Error("the process could not end its own attachment")
	}
	id = attach()
	admin.must(wire.MethodDetach, wire.DetachIn{ID: id}, &wire.DetachOut{})
	if !gone(id) {
		t.Error("an administrator could not end an attachment")
	}
}

func TestAPeerOfAForeignNamespaceMayLookNotAttach(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.asPeer(func(peer *unixconn.Peer) { peer.PID, peer.PIDFD = 0, nil })
	refused(t, c.call(wire.MethodAttach, attachIn("md", wire.RoleConsumer), nil), wire.ErrAccessDenied, "namespace", `"md"`)
	c.must(wire.MethodListRings, nil, &wire.ListRingsOut{})
}

func TestDescribeListsEachGroupOnceAndNotTooMany(t *testing.T) {
	a := &access{names: newNames(zap.NewNop())}
	a.names.find = func(nameKey) (entry, error) { return entry{}, nil }
	s := subject{uid: 7, gid: 1, groups: []uint32{1, 2, 3, 4, 5, 6, 7, 8}}
	if got, want := a.describe(s), "uid 7 (groups 1, 2, 3, 4, 5, 6, 7, 8)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.groups = append(s.groups, 9, 10)
	if got, want := a.describe(s), "uid 7 (groups 1, 2, 3, 4, 5, 6, 7, 8, 2 more)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTheDaemonsUserIsAnAdministrator(t *testing.T) {
	h := newHost(t, func(o *Options) { o.OwnerUID = 4242 }, nil)
	h.as(4242, 4242).must(wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: "x", Capacity: 64 << 10}}, &wire.CreateRingOut{})
	if os.Getuid() == 0 {
		h.dial().must(wire.MethodRemoveRing, wire.RemoveRingIn{Name: "x"}, &wire.RemoveRingOut{})
	}
}
