package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// exporter is a host with ring "r" that everybody may read.
func exporter(t *testing.T, spec wire.RingSpec, change func(*Settings)) *host {
	t.Helper()
	leaks(t)
	s := settingsOf("a")
	s.Export = []string{"r"}
	s.Peers = []Peer{{Name: "p", Allow: Allow{Gate: []string{"r"}}}}
	if change != nil {
		change(&s)
	}
	a := newHost(t, ringDir(t), s)
	spec.Name = "r"
	a.ring(spec)
	return a
}

// readRemote reads the records [from, to).
func readRemote(t testing.TB, r *remote, in *private, from, to int) {
	t.Helper()
	for deadline := time.Now().Add(patience); from < to; r.step() {
		rec, err := in.reader.TryReceive()
		switch {
		case errors.Is(err, shmring.ErrEmpty) && time.Now().Before(deadline) && r.over == nil:
		case err != nil:
			t.Fatalf("record %d: %v (%v)", from, err, r.over)
		case string(rec.Payload) != string(record(from)) || rec.Missed+rec.Gaps > 0:
			t.Fatalf("record %d: got %d of %d bytes, missed %d, gaps %d", from, rec.Sequence, len(rec.Payload), rec.Missed, rec.Gaps)
		default:
			from++
		}
	}
}

// beginRead opens a stream and its private ring.
func beginRead(t testing.TB, r *remote, o wire.LinkOpenFrame) (*private, wire.LinkOpenedFrame) {
	t.Helper()
	o.Mode, o.Ring = wire.LinkRead, "r"
	stream := r.open(o)
	opened := r.await(link.EventOpened).Opened
	in := inbound(t, opened)
	if err := r.link.Receive(stream, in.mirror); err != nil {
		t.Fatal(err)
	}
	return in, opened
}

// TestRemoteReader: positions, policies and starts are those of a local reader.
func TestRemoteReader(t *testing.T) {
	a := exporter(t, wire.RingSpec{Policy: wire.PolicySkip}, nil)
	w := a.writer("r")
	publish(t, w, 0, 10)
	middle := w.Position()
	publish(t, w, 10, 20)
	r := dialRemote(t, a.g.Address(), "p", 1, nil)
	r.await(link.EventWelcome)

	oldest, o := beginRead(t, r, wire.LinkOpenFrame{From: wire.LinkFromOldest, Label: "one"})
	if shmring.Policy(o.Policy) != shmring.PolicySkip || o.ID == "" || o.Ring == "" {
		t.Errorf("opened: %+v", o)
	}
	readRemote(t, r, oldest, 0, 20)
	position, _ := beginRead(t, r, wire.LinkOpenFrame{From: wire.LinkFromPosition, Position: middle})
	readRemote(t, r, position, 10, 20)
	latest, _ := beginRead(t, r, wire.LinkOpenFrame{From: wire.LinkFromLatest, Policy: uint8(shmring.PolicyBlock)})
	publish(t, w, 20, 30)
	readRemote(t, r, latest, 20, 30)
	readRemote(t, r, oldest, 20, 30)

	names := map[string]int{}
	for _, at := range a.attachments("r") {
		names[at.Name]++
	}
	if names["p"] != 2 || names["p.one"] != 1 {
		t.Errorf("attachments: %v", names)
	}
	var labelled wire.Link
	for _, l := range a.g.Links().Links {
		if l.Role != wire.LinkRoleReader || l.Peer != "p" || l.State != wire.LinkConnected || l.Ring != "r" || l.BytesOut == 0 {
			t.Errorf("link: %+v", l)
		}
		if l.Label == "one" {
			labelled = l
		}
	}
	if labelled.ID != o.ID {
		t.Errorf("the labelled reader is %+v, its attachment %s", labelled, o.ID)
	}
	_ = r.conn.Close()
	soon(t, "readers do not outlive their connection", func() bool { return len(a.attachments("r")) == 1 })
}

// TestRemoteCursor: a reader with a label leaves a cursor that holds the ring, and
// goes on there: by resume, or by what it holds.
func TestRemoteCursor(t *testing.T) {
	a := exporter(t, wire.RingSpec{ResumeForNS: new(int64(time.Minute))}, nil)
	w := a.writer("r")
	publish(t, w, 0, 100)
	begin := func(o wire.LinkOpenFrame) (*remote, *private, wire.LinkOpenedFrame) {
		o.Label, o.Policy = "l", uint8(shmring.PolicyBlock)
		r := dialRemote(t, a.g.Address(), "p", 1, nil)
		r.await(link.EventWelcome)
		in, opened := beginRead(t, r, o)
		return r, in, opened
	}
	fill := func(n int) int {
		for ; ; n++ {
			if err := w.TrySend(record(n)); errors.Is(err, shmring.ErrFull) {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	r, in, o := begin(wire.LinkOpenFrame{From: wire.LinkFromOldest})
	if o.Resumed {
		t.Error("resumed, and there was no cursor")
	}
	readRemote(t, r, in, 0, 100)
	soon(t, "everything is acknowledged", func() bool {
		_ = tryOne(in.reader) // which is done with the last one only then
		r.step()
		l, _ := a.link(wire.LinkRoleReader, "r")
		return l.Sequence == 100
	})
	publish(t, w, 100, 120)
	soon(t, "some more is here, and was not acknowledged", func() bool {
		l, _ := a.link(wire.LinkRoleReader, "r")
		if l.Sequence != 100 {
			t.Fatalf("acknowledged is %d before it was read", l.Sequence)
		}
		r.step()
		return in.mirror.End().Sequence == 120
	})
	held := in.mirror.End()
	_ = r.conn.Close()
	soon(t, "the cursor is kept", func() bool {
		list := a.attachments("r")
		return len(list) == 2 && list[0].State == wire.StateResumable && list[0].Name == "p.l"
	})
	n := fill(120) // the cursor holds the producer

	r, in, o = begin(wire.LinkOpenFrame{From: wire.LinkFromHeld, Epoch: o.Epoch, Position: held.Position, Sequence: held.Sequence})
	if !o.Resumed || o.Position != held.Position {
		t.Errorf("with what it holds: %+v", o)
	}
	readRemote(t, r, in, 120, n)
	_ = r.conn.Close()
	soon(t, "the cursor is kept", func() bool { return a.attachments("r")[0].State == wire.StateResumable })
	at := int(a.attachments("r")[0].Sequence)
	fill(n)
	r, in, o = begin(wire.LinkOpenFrame{From: wire.LinkFromResume})
	if !o.Resumed || int(o.Sequence) != at {
		t.Errorf("resumed at %d, the cursor was at %d (%+v)", o.Sequence, at, o)
	}
	readRemote(t, r, in, at, n)
	r2, _, o := begin(wire.LinkOpenFrame{From: wire.LinkFromOldest}) // the same session again: the first connection goes
	if o.Resumed {
		t.Error("a start at the oldest record is no resumption")
	}
	for r.over == nil {
		r.step()
	}
	_ = r2.conn.Close()
}

// TestManyLinks: a hundred links, each with a connection of its own, over TLS.
func TestManyLinks(t *testing.T) {
	const hosts, records = 100, 50
	leaks(t)
	sa := settingsOf("a")
	sa.Peers = []Peer{{Name: "b"}}
	names := []string{"a"} // it calls itself by all the names that b has for it
	for n := range hosts {
		sa.Export = append(sa.Export, ringName(n))
		names = append(names, ringName(n))
	}
	ca := newAuthority(t, "lab")
	fa, fb := ca.issue(time.Hour, "a").named(names...).files(t.TempDir(), ca), ca.issue(time.Hour, "b").files(t.TempDir(), ca)
	sa.TLS = &fa
	a := newHost(t, ringDir(t), sa)
	s := settingsOf("b")
	s.TLS = &fb
	for n := range hosts {
		a.ring(wire.RingSpec{Name: ringName(n), ConsumersMax: new(4)})
		s.Peers = append(s.Peers, Peer{Name: ringName(n), Address: a.g.Address(), Mirror: []Mirror{{Ring: ringName(n), As: ringName(n), ConsumersMax: 2}}})
	}
	b := newHost(t, ringDir(t), s)
	for n := range hosts {
		publish(t, a.writer(ringName(n)), 0, records)
	}
	for n := range hosts {
		b.wait(wire.LinkRoleMirror, ringName(n), wire.LinkConnected)
		expect(t, b.reader(ringName(n), shmring.PolicyBlock, shmring.FromOldest()), 0, records)
	}
	if n := len(a.g.Links().Links); n != hosts {
		t.Errorf("%d links at the origin", n)
	}
}

func ringName(n int) string { return "r" + string(rune('a'+n/26)) + string(rune('a'+n%26)) }

// TestBusyPolledRings: the loop looks at the rings itself.
func TestBusyPolledRings(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, func(a, b *Settings) { a.BusyPoll, b.BusyPoll = true, true })
	w := a.writer("r")
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	go publish(t, w, 0, 2000)
	expect(t, r, 0, 2000)
	if len(a.g.doors) != 0 {
		t.Error("there is a door")
	}
}

// TestEvictedReader: an administrator ends a reader of a ring that is quiet; and
// one whose slot is given again before that was noticed does not touch it any more.
func TestEvictedReader(t *testing.T) {
	a := exporter(t, wire.RingSpec{ConsumersMax: new(1)}, nil)
	w := a.writer("r")
	r := dialRemote(t, a.g.Address(), "p", 1, nil)
	r.await(link.EventWelcome)
	_, o := beginRead(t, r, wire.LinkOpenFrame{From: wire.LinkFromLatest, Policy: uint8(shmring.PolicyBlock)})
	if err := a.b.Evict(o.ID, "for a test"); err != nil {
		t.Fatal(err)
	}
	if e := r.await(link.EventEnd); e.End.Code != wire.CodeDetached {
		t.Fatalf("ended: %+v", e.End)
	}
	_, first := beginRead(t, r, wire.LinkOpenFrame{From: wire.LinkFromLatest, Policy: uint8(shmring.PolicyBlock)})
	a.g.loop.mu.Lock() // so that nothing comes in between
	if err := a.b.Evict(first.ID, "for a test"); err != nil {
		t.Fatal(err)
	}
	x, err := a.g.lend(identity{name: "p"}, wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "r", From: wire.LinkFromLatest, Policy: uint8(shmring.PolicyBlock)})
	for c := range a.g.conns {
		if len(c.exports) > 0 {
			t.Error("the former reader of the slot can still write to its page")
		}
	}
	a.g.loop.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		a.g.loop.mu.Lock()
		defer a.g.loop.mu.Unlock()
		a.g.release(x, "")
	}()
	if e := r.await(link.EventEnd); e.End.Code != wire.CodeDetached {
		t.Errorf("ended: %+v", e.End)
	}
	for n := 0; !errors.Is(w.TrySend(record(n)), shmring.ErrFull); n++ { // nothing is read: the ring is held
		if n > 1000 {
			t.Fatal("the former reader of the slot has let go of the ring for its successor")
		}
	}
}

// TestSuperseded: a peer that was started again has its former connection closed,
// and its reader, with what that has counted, goes on over the new one. As long as
// something is heard over the former one it is taken for that of another host with
// the same name, and the new one is refused.
func TestSuperseded(t *testing.T) {
	a := exporter(t, wire.RingSpec{}, nil)
	w := a.writer("r")
	publish(t, w, 0, 100)
	begin := func(session byte, o wire.LinkOpenFrame, want link.EventKind) (*remote, uint16, link.Event) {
		r := dialRemote(t, a.g.Address(), "p", session, nil)
		r.await(link.EventWelcome)
		o.Mode, o.Ring, o.Policy = wire.LinkMirror, "r", uint8(shmring.PolicyBlock)
		stream := r.open(o)
		return r, stream, r.await(want)
	}
	r1, stream, granted := begin(1, wire.LinkOpenFrame{From: wire.LinkFromOldest}, link.EventOpened)
	o := granted.Opened
	in := inbound(t, o)
	if err := r1.link.Receive(stream, in.mirror); err != nil {
		t.Fatal(err)
	}
	readRemote(t, r1, in, 0, 100)
	sent := a.wait(wire.LinkRoleExport, "r", wire.LinkConnected).BytesOut
	end := in.mirror.End()
	held := wire.LinkOpenFrame{From: wire.LinkFromHeld, Epoch: o.Epoch, Position: end.Position, Sequence: end.Sequence}
	if _, _, e := begin(3, held, link.EventEnd); e.End.Code != wire.CodeBusy || !strings.Contains(e.End.Message, r1.conn.LocalAddr().String()) {
		t.Errorf("beside one that is heard of: %+v", e.End)
	}
	s := a.g.settings
	s.DeadAfter = time.Nanosecond // so long is it that it was heard of
	if _, _, err := a.g.Apply(s); err != nil {
		t.Fatal(err)
	}
	r2, stream, again := begin(2, held, link.EventOpened)
	if again.Opened.ID != o.ID {
		t.Errorf("another reader, %s, takes the place of %s", again.Opened.ID, o.ID)
	}
	if err := r2.link.Receive(stream, in.mirror); err != nil {
		t.Fatal(err)
	}
	publish(t, w, 100, 110)
	readRemote(t, r2, in, 100, 110)
	l := a.wait(wire.LinkRoleExport, "r", wire.LinkConnected)
	if l.Reconnects != 1 || l.BytesOut <= sent {
		t.Errorf("export: %+v, had sent %d before", l, sent)
	}
	for r1.over == nil && len(r1.queue) == 0 {
		r1.step()
	}
	if len(r1.queue) == 0 || r1.queue[0].Close.Message != errSuperseded.Error() {
		t.Errorf("the former connection is told %+v, %v", r1.queue, r1.over)
	}
}
