package control

import (
	"os"
	"strings"
	"testing"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

func TestEveryMethodAnswers(t *testing.T) {
	h := newHost(t, nil, nil)
	c := h.dial()

	var info wire.GetInfoOut
	c.must(wire.MethodGetInfo, nil, &info)
	if info.Vendor != "brokerd" || info.Product != "brokerd" || info.Version != "test" || len(info.Interfaces) != 2 {
		t.Errorf("GetInfo: %+v", info)
	}
	for iface, text := range map[string]string{wire.Interface: wire.Description, wire.ServiceInterface: wire.ServiceDescription} {
		var out wire.GetInterfaceDescriptionOut
		c.must(wire.MethodGetInterfaceDescription, wire.GetInterfaceDescriptionIn{Interface: iface}, &out)
		if out.Description != text {
			t.Errorf("description of %s is another text", iface)
		}
	}

	var created wire.CreateRingOut
	c.must(wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: "md", Capacity: 64 << 10}}, &created)
	var rings wire.ListRingsOut
	c.must(wire.MethodListRings, nil, &rings)
	if len(rings.Rings) != 1 || rings.Rings[0].Epoch != created.Ring.Epoch {
		t.Errorf("ListRings: %+v, created %+v", rings, created)
	}
	var attached wire.AttachOut
	c.must(wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Name: "reader"}, &attached)
	var described wire.DescribeRingOut
	c.must(wire.MethodDescribeRing, wire.DescribeRingIn{Name: "md"}, &described)
	if len(described.Attachments) != 1 || described.Attachments[0].ID != attached.Attachment.ID {
		t.Errorf("DescribeRing: %+v", described)
	}
	var list wire.ListAttachmentsOut
	c.must(wire.MethodListAttachments, nil, &list)
	if len(list.Attachments) != 1 || list.Attachments[0].Name != "reader" || list.Attachments[0].PID != os.Getpid() {
		t.Errorf("ListAttachments: %+v", list)
	}
	var stats wire.StatsOut
	c.must(wire.MethodStats, wire.StatsIn{Ring: "md"}, &stats)
	if len(stats.Rings) != 1 || stats.Rings[0].Consumers != 1 {
		t.Errorf("Stats: %+v", stats)
	}
	var status wire.GetStatusOut
	c.must(wire.MethodGetStatus, nil, &status)
	if status.State != wire.DaemonReady || status.Rings != 1 || status.Attachments != 1 || status.Connections != 1 ||
		status.ConnectionsMax != 4096 || status.Version != "test" || status.PID != os.Getpid() || status.StartedNS == 0 {
		t.Errorf("GetStatus: %+v", status)
	}
	other := attached.Attachment.Epoch + 1
	refused(t, c.call(wire.MethodDetach, wire.DetachIn{ID: attached.Attachment.ID, Epoch: &other}, nil), wire.ErrAttachmentNotFound, "the ring was made anew")
	c.must(wire.MethodDetach, wire.DetachIn{ID: attached.Attachment.ID, Epoch: &attached.Attachment.Epoch}, &wire.DetachOut{})
	c.must(wire.MethodRemoveRing, wire.RemoveRingIn{Name: "md"}, &wire.RemoveRingOut{})
	refused(t, c.call(wire.MethodRemoveRing, wire.RemoveRingIn{Name: "md"}, nil), wire.ErrRingNotFound, "md")
	if h.seen("Attach ok") != 1 || h.seen("RemoveRing RingNotFound") != 1 {
		t.Errorf("observed %v", h.observed)
	}
}

func TestFilesRideWithTheReply(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md", ConsumersMax: p(3)})
	for role, want := range map[wire.Role]int{wire.RoleConsumer: 2, wire.RoleProducer: 4} {
		c := h.dial()
		c.send(wire.MethodAttach, attachIn("md", role))
		reply, files := c.receive()
		var out wire.AttachOut
		if err := reply.Decode(&out); err != nil {
			t.Fatal(err)
		}
		if len(files) != want || 1+len(out.Files.Cursors) != want {
			t.Errorf("%s: %d descriptors, indexes %+v, want %d", role, len(files), out.Files, want)
		}
	}
}

func TestManyProducers(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md", Producers: wire.ProducersMany, ConsumersMax: p(2)})
	slots := map[int]bool{}
	for range 3 {
		c := h.dial()
		c.send(wire.MethodAttach, attachIn("md", wire.RoleProducer))
		reply, files := c.receive()
		var out wire.AttachOut
		if err := reply.Decode(&out); err != nil {
			t.Fatal(err)
		}
		slots[out.Attachment.Slot] = true
		if len(files) != 3 || len(out.Files.Cursors) != 2 {
			t.Errorf("%d descriptors, indexes %+v, want data and both cursor pages", len(files), out.Files)
		}
	}
	if len(slots) != 3 {
		t.Errorf("three producers in slots %v", slots)
	}
}

// TestRefusals holds what a client gets that asks for what cannot be.
func TestRefusals(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	long := strings.Repeat("x", 300)
	type object = map[string]any
	for _, test := range []struct {
		method string
		in     any
		flag   string
		want   wire.ErrorName
		text   string
	}{
		{method: "io.brokerd.Broker.Fly", want: wire.ErrMethodNotFound, text: `"Fly"`},
		{method: "org.varlink.service.Fly", want: wire.ErrMethodNotFound, text: `"Fly"`},
		{method: "com.example.Fly", want: wire.ErrInterfaceNotFound, text: `"com.example"`},
		{method: "Fly", want: wire.ErrMethodNotFound, text: "INTERFACE.NAME"},
		{method: "io.brokerd.Broker.", want: wire.ErrMethodNotFound},
		{method: wire.MethodGetInterfaceDescription, in: object{"interface": "com.example"}, want: wire.ErrInterfaceNotFound},
		{method: wire.MethodGetInterfaceDescription, in: object{"interface": ""}, want: wire.ErrInterfaceNotFound},
		{method: wire.MethodListRings, flag: "upgrade", want: wire.ErrInvalidParameter, text: "upgrade"},
		{method: wire.MethodAttach, in: object{"ring": "md"}, want: wire.ErrInvalidParameter, text: "role"},
		{method: wire.MethodAttach, in: object{"ring": "md", "role": "spy"}, want: wire.ErrInvalidParameter, text: `"spy"`},
		{method: wire.MethodAttach, in: object{"ring": 7, "role": "consumer"}, want: wire.ErrInvalidParameter, text: "ring"},
		{method: wire.MethodAttach, in: object{"ring": "md", "role": "consumer", "color": "red"}, want: wire.ErrInvalidParameter, text: "color"},
		{method: wire.MethodAttach, in: object{"ring": "md", "role": "consumer", "name": long}, want: wire.ErrInvalidParameter, text: "name"},
		{method: wire.MethodAttach, in: object{"ring": "../x", "role": "consumer"}, want: wire.ErrRingNotFound, text: `"../x"`},
		{method: wire.MethodAttach, in: object{"ring": "md", "role": "consumer", "epoch": 1}, want: wire.ErrEpochChanged},
		{method: wire.MethodDescribeRing, in: object{"name": "../x"}, want: wire.ErrRingNotFound, text: `"../x"`},
		{method: wire.MethodDescribeRing, in: object{"name": long}, want: wire.ErrRingNotFound, text: "none can have that name"},
		{method: wire.MethodRemoveRing, in: object{"name": "."}, want: wire.ErrRingNotFound},
		{method: wire.MethodCreateRing, in: object{"ring": object{"name": "../x", "capacity": 65536}}, want: wire.ErrInvalidRing, text: `"../x"`},
		{method: wire.MethodCreateRing, in: object{"ring": object{"name": long, "capacity": 65536}}, want: wire.ErrInvalidRing, text: "300 bytes"},
		{method: wire.MethodCreateRing, in: object{"ring": object{"name": "a", "capacity": "64KiB"}}, want: wire.ErrInvalidParameter, text: "ring.capacity"},
		{method: wire.MethodCreateRing, in: object{"ring": object{"name": "md", "capacity": 65536}}, want: wire.ErrRingExists, text: "md"},
		{method: wire.MethodDetach, in: object{"id": "md/c0.1"}, want: wire.ErrAttachmentNotFound, text: "md/c0.1"},
		{method: wire.MethodStats, in: object{"ring": "nosuch"}, want: wire.ErrRingNotFound},
		{method: wire.MethodStats, in: object{"ring": "nosuch"}, flag: "more", want: wire.ErrRingNotFound},
		{method: wire.MethodStats, in: object{"interval_ms": 9}, want: wire.ErrInvalidParameter, text: "from 10 to 3600000"},
		{method: wire.MethodStats, in: object{"interval_ms": 9}, flag: "more", want: wire.ErrInvalidParameter},
		{method: wire.MethodStats, in: object{"interval_ms": 3600001}, flag: "more", want: wire.ErrInvalidParameter},
		{method: wire.MethodListRings, in: []int{1}, want: wire.ErrInvalidParameter, text: "parameters"},
	} {
		c := c
		if _, isList := test.in.([]int); isList {
			c = h.dial() // costs the connection
		}
		var flags []string
		if test.flag != "" {
			flags = append(flags, test.flag)
		}
		c.send(test.method, test.in, flags...)
		reply, _ := c.receive()
		refused(t, reply.Decode(nil), test.want, test.text)
		if reply.Continues {
			t.Errorf("%s: an error that continues", test.method)
		}
	}
	// None of it cost the connection.
	c.must(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(10))}, &wire.StatsOut{})
	c.must(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(3600000))}, &wire.StatsOut{})
	if n := h.seen("unknown MethodNotFound"); n != 4 {
		t.Errorf("%d unknown methods observed under one label, want 4: %v", n, h.observed)
	}
}

func TestMalformedCallsGetANamedErrorAndTheDoor(t *testing.T) {
	h := newHost(t, nil, nil)
	for _, text := range []string{
		"", "{", "nonsense", "[]", "null", `"x"`, "{}", `{"method":7}`, `{"method":""}`,
		`{"method":"io.brokerd.Broker.ListRings"} trailing`, `{"method":"a.b","color":"red"}`,
		`{"method":"a.b","method":"a.b"}`, `{"method":"a.b","more":"yes"}`, "\xff\xfe",
	} {
		c := h.dial()
		c.raw(text + "\x00")
		reply, _ := c.receive()
		refused(t, reply.Decode(nil), wire.ErrInvalidParameter)
		c.ended()
	}
}

func TestFlags(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	// Oneway calls are carried out and not answered, refused ones included, and
	// Attach is not carried out: nobody would have its files.
	c.send(wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: "oneway", Capacity: 64 << 10}}, "oneway")
	c.send("no.such.Method", nil, "oneway")
	c.send(wire.MethodStats, nil, "oneway", "more")
	c.send(wire.MethodAttach, attachIn("md", wire.RoleConsumer), "oneway")
	c.send(wire.MethodListRings, nil, "more")
	reply, _ := c.receive()
	var out wire.ListRingsOut
	if err := reply.Decode(&out); err != nil || len(out.Rings) != 2 || reply.Continues {
		t.Fatalf("first reply after the oneway calls: %+v %+v %v", reply, out, err)
	}
	var list wire.ListAttachmentsOut
	if c.must(wire.MethodListAttachments, nil, &list); len(list.Attachments) != 0 {
		t.Errorf("a oneway Attach was carried out: %+v", list)
	}
}

func TestPipelinedCallsAreAnsweredInOrder(t *testing.T) {
	h := newHost(t, nil, nil)
	for _, name := range []string{"a", "b", "c", "d"} {
		h.ring(wire.RingSpec{Name: name})
	}
	c := h.dial()
	order := strings.Split(strings.Repeat("abxcd", 10), "")
	for _, name := range order {
		c.send(wire.MethodDescribeRing, wire.DescribeRingIn{Name: name})
	}
	for i, name := range order {
		reply, _ := c.receive()
		var out wire.DescribeRingOut
		err := reply.Decode(&out)
		if name == "x" {
			refused(t, err, wire.ErrRingNotFound)
		} else if err != nil || out.Ring.Name != name {
			t.Fatalf("reply %d is about %q (%v), want %q", i, out.Ring.Name, err, name)
		}
	}
}

func TestDaemonState(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	create := wire.CreateRingIn{Ring: wire.RingSpec{Name: "x", Capacity: 64 << 10}}

	h.state.Store(string(wire.DaemonStarting))
	for method, in := range map[string]any{
		wire.MethodListRings: nil, wire.MethodStats: nil, wire.MethodCreateRing: create,
		wire.MethodAttach: attachIn("md", wire.RoleConsumer), wire.MethodDetach: wire.DetachIn{ID: "x"},
		wire.MethodListAttachments: nil, wire.MethodRemoveRing: wire.RemoveRingIn{Name: "md"},
		wire.MethodDescribeRing: wire.DescribeRingIn{Name: "md"},
	} {
		refused(t, c.call(method, in, nil), wire.ErrNotReady, "starting")
	}
	var status wire.GetStatusOut
	c.must(wire.MethodGetInfo, nil, &wire.GetInfoOut{})
	c.must(wire.MethodGetStatus, nil, &status)
	if status.State != wire.DaemonStarting {
		t.Errorf("state %q while starting", status.State)
	}

	h.state.Store(string(wire.DaemonDraining))
	refused(t, c.call(wire.MethodAttach, attachIn("md", wire.RoleConsumer), nil), wire.ErrNotReady, "stopping")
	refused(t, c.call(wire.MethodCreateRing, create, nil), wire.ErrNotReady, "stopping")
	c.must(wire.MethodListRings, nil, &wire.ListRingsOut{})
}

func TestAPanicCostsOneConnection(t *testing.T) {
	h := newHost(t, func(o *Options) {
		state := o.State
		o.State = func() string {
			if s := state(); s != "panic" {
				return s
			}
			panic("planted")
		}
	}, nil)
	h.ring(wire.RingSpec{Name: "md"})
	other := h.dial()
	other.must(wire.MethodAttach, attachIn("md", wire.RoleConsumer), &wire.AttachOut{})
	h.state.Store("panic")
	for _, flags := range [][]string{nil, {"more"}} {
		c := h.dial()
		c.send(wire.MethodStats, nil, flags...)
		reply, _ := c.receive()
		refused(t, reply.Decode(nil), wire.ErrFailed, "report")
		c.ended()
	}
	h.state.Store(string(wire.DaemonReady))
	var list wire.ListAttachmentsOut
	if other.must(wire.MethodListAttachments, nil, &list); len(list.Attachments) != 1 {
		t.Errorf("attachments of others after a panic: %+v", list)
	}
}

func TestClosedBrokerIsAFailureNotARefusal(t *testing.T) {
	h := newHost(t, nil, nil)
	c := h.dial()
	if err := h.broker.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, c.call(wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: "x", Capacity: 64 << 10}}, nil),
		wire.ErrFailed, "CreateRing failed", "closed")
	if h.seen("CreateRing Failed") != 1 {
		t.Errorf("observed %v", h.observed)
	}
}

func TestDescriptorsOfClientsAreNotTaken(t *testing.T) {
	h := newHost(t, nil, nil)
	c := h.dial()
	c.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	many := make([]*os.File, unixconn.FilesMax)
	for i := range many {
		many[i] = null
	}
	before := openFiles(t)
	for range 20 {
		if err := c.WriteMessage([]byte(`{"method":"`+wire.MethodGetStatus+"\"}\x00"), many); err != nil {
			t.Fatal(err)
		}
		reply, _ := c.receive()
		if err := reply.Decode(&wire.GetStatusOut{}); err != nil {
			t.Fatal(err)
		}
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d open files, %d before the client sent descriptors", after, before)
	}
}
