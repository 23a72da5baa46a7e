package control

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"brokerd/internal/wire"
)

func TestReloadIsForAdministrators(t *testing.T) {
	type outcome struct {
		out wire.ReloadOut
		err error
	}
	next := make(chan outcome, 1) // a call that nobody meant to allow waits for ever
	h := newHost(t, func(o *Options) {
		o.AdminGID = 700
		o.Reload = func(context.Context) (wire.ReloadOut, error) {
			r := <-next
			return r.out, r.err
		}
	}, nil)
	refused(t, h.as(1001, 1001).call(wire.MethodReload, nil, nil), wire.ErrAccessDenied, "reload the configuration", "uid 1001", "control.admin_group")
	admin := h.as(1009, 700)
	refused(t, admin.call(wire.MethodReload, map[string]any{"file": "/etc/shadow"}, nil), wire.ErrInvalidParameter, "file")
	for _, state := range []wire.DaemonState{wire.DaemonStarting, wire.DaemonDraining} {
		h.state.Store(string(state))
		refused(t, admin.call(wire.MethodReload, nil, nil), wire.ErrNotReady)
	}
	h.state.Store(string(wire.DaemonReady))

	var out wire.ReloadOut
	next <- outcome{out: wire.ReloadOut{File: "/etc/b.yaml", Changed: wire.List[string]{"ring a: created"}, Kept: wire.List[string]{"dir stays", "x"}}}
	admin.must(wire.MethodReload, nil, &out)
	if out.File != "/etc/b.yaml" || len(out.Changed) != 1 || len(out.Kept) != 2 {
		t.Errorf("%+v", out)
	}
	next <- outcome{err: wire.InvalidConfig("/etc/b.yaml", "/etc/b.yaml:1: bad\n/etc/b.yaml:2: worse")}
	err := admin.call(wire.MethodReload, nil, nil)
	refused(t, err, wire.ErrInvalidConfig, "bad", "worse")
	var why *wire.Error
	var parameters wire.InvalidConfigParameters
	if !errors.As(err, &why) || why.Decode(&parameters) != nil || parameters.File != "/etc/b.yaml" {
		t.Errorf("parameters %+v", parameters)
	}
	next <- outcome{err: errors.New("planted")}
	refused(t, admin.call(wire.MethodReload, nil, nil), wire.ErrFailed, "Reload failed: planted")
}

// TestReloadIsToldToStop holds that a reload which takes its time does not keep
// the daemon from stopping.
func TestReloadIsToldToStop(t *testing.T) {
	began := make(chan struct{})
	h := newHost(t, func(o *Options) {
		o.Reload = func(ctx context.Context) (wire.ReloadOut, error) {
			close(began)
			<-ctx.Done()
			return wire.ReloadOut{}, ctx.Err()
		}
	}, nil)
	c := h.dial()
	c.send(wire.MethodReload, nil)
	<-began
	h.stop()
	reply, _ := c.receive()
	refused(t, reply.Decode(nil), wire.ErrFailed, "canceled")
	c.ended()
}

func TestStatusTellsTheConfiguration(t *testing.T) {
	const file = "/etc/b.yaml"
	var at atomic.Int64
	told := newHost(t, func(o *Options) { o.Config = func() (string, int64) { return file, at.Load() } }, nil).dial()
	var out wire.GetStatusOut
	for _, ns := range []int64{0, 1795500115519418488} {
		at.Store(ns)
		if told.must(wire.MethodGetStatus, nil, &out); out.ConfigFile != file || out.ReloadedNS != ns {
			t.Errorf("%q at %d, want %q at %d", out.ConfigFile, out.ReloadedNS, file, ns)
		}
	}
	if newHost(t, nil, nil).dial().must(wire.MethodGetStatus, nil, &out); out.ConfigFile != "" || out.ReloadedNS != 0 {
		t.Errorf("without a file: %q at %d", out.ConfigFile, out.ReloadedNS)
	}
}

func TestSetLimitsIsLive(t *testing.T) {
	h := newHost(t, func(o *Options) { o.ConnectionsMax = 2 }, nil)
	attached := func() *caller {
		c := h.dial()
		c.must(wire.MethodAttach, attachIn("md", wire.RoleConsumer), &wire.AttachOut{})
		return c
	}
	h.ring(wire.RingSpec{Name: "md"})
	first := attached()
	attached()
	refusedSeat := func(says string) {
		t.Helper()
		reply, _ := h.dial().receive()
		refused(t, reply.Decode(nil), wire.ErrLimitExceeded, says)
	}
	refusedSeat("all 2 connections")
	h.server.SetLimits(3, 0)
	attached()
	refusedSeat("all 3 connections")
	h.server.SetLimits(1, 0)
	refusedSeat("limits.connections")
	var status wire.GetStatusOut
	first.must(wire.MethodGetStatus, nil, &status)
	if status.Connections != 3 || status.ConnectionsMax != 1 {
		t.Errorf("%d connections of %d: a lower limit ends none", status.Connections, status.ConnectionsMax)
	}
	// Root and the daemon's user, one of which this process is, have no quota.
	h.server.SetLimits(10, 1)
	attached()
}

func TestSetAdminGIDIsLive(t *testing.T) {
	h := newHost(t, func(o *Options) { o.AdminGID = -1 }, nil)
	c := h.as(1009, 700)
	create := func(name string) error {
		in := wire.CreateRingIn{Ring: wire.RingSpec{Name: name, Capacity: 64 << 10}}
		return c.call(wire.MethodCreateRing, in, &wire.CreateRingOut{})
	}
	refused(t, create("a"), wire.ErrAccessDenied)
	h.server.SetAdminGID(700)
	if err := create("a"); err != nil {
		t.Errorf("a member of the new group: %v", err)
	}
	h.server.SetAdminGID(701)
	refused(t, create("b"), wire.ErrAccessDenied)
	h.server.SetAdminGID(-1)
	refused(t, create("b"), wire.ErrAccessDenied)
}

func TestTheCallerOwnsTheRing(t *testing.T) {
	h := newHost(t, func(o *Options) { o.AdminGID = 700 }, nil)
	var out wire.CreateRingOut
	h.as(1009, 700).must(wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: "mine", Capacity: 64 << 10}}, &out)
	if out.Ring.Owner != 1009 {
		t.Errorf("the ring belongs to uid %d", out.Ring.Owner)
	}
}

// A cursor that no connection holds is judged by its user alone, so only where the
// rules name no group.
func TestLeftBy(t *testing.T) {
	users, groups := &wire.Principals{Users: []string{"61234"}}, &wire.Principals{Groups: []string{"61234"}}
	for what, c := range map[string]struct {
		allow  wire.Allow
		ended  string
		judged bool
	}{
		"no rules":   {wire.Allow{}, "", true},
		"users":      {wire.Allow{Produce: users, Consume: users, Gate: users}, "", true},
		"a group":    {wire.Allow{Consume: users, Gate: groups}, "", false},
		"ended long": {wire.Allow{}, "for a reason", false},
	} {
		who, judged := leftBy(wire.Attachment{UID: 61234, EndedReason: c.ended}, wire.Ring{Allow: c.allow})
		if judged != c.judged || judged && (who.uid != 61234 || who.in(61234)) {
			t.Errorf("%s: %+v %v", what, who, judged)
		}
	}
}
