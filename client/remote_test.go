package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
)

// far is a daemon with a gateway, and what a test uses to reach it: a Client on its
// host, and a Remote that could be anywhere.
type far struct {
	*daemon
	address string
	near    *client.Client
	remote  *client.Remote
}

// farName is the Remote of the tests, as the gateway lists it.
const farName = "desk"

// startFar starts a daemon with rings, in YAML. The Remote may do all with those
// called md and orders, and read those called open.
func startFar(t *testing.T, rings string) *far {
	t.Helper()
	d, err := newDaemon()
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(d.remove)
	f := &far{daemon: d}
	if f.address, err = freeAddress(); err == nil {
		err = f.write(rings)
	}
	if err == nil {
		err = d.start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(d.base + "/log")
			t.Logf("log of brokerd:\n%s", log)
		}
	})
	f.near = dialDaemon(t, d)
	f.remote = f.dial(t)
	return f
}

func (f *far) write(rings string) error {
	text := fmt.Sprintf(`dir: %s/rings
control: {socket: %s}
rings: %s
gateway:
  name: far
  listen: %s
  tls: off
  export: [open]
  peers:
    - {name: %s, allow: {export: [md, orders], import: [md, orders], gate: [md, orders]}}
`, f.base, f.socket, rings, f.address, farName)
	return os.WriteFile(f.config, []byte(text), 0o600)
}

// freeAddress is one where nobody listens.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func (f *far) dial(t *testing.T) *client.Remote {
	t.Helper()
	r, err := client.DialTCP(bounded(t), client.TCPOptions{Address: f.address, Plain: true, Name: farName, WaitFor: waitMax})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil && !t.Failed() {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

func (f *far) consumer(t *testing.T, ring string, o client.ConsumerOptions) *client.Consumer {
	t.Helper()
	r, err := f.remote.Consumer(bounded(t), ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *far) producer(t *testing.T, ring string, o client.ProducerOptions) *client.Producer {
	t.Helper()
	p, err := f.remote.Producer(bounded(t), ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *far) nearProducer(t *testing.T, ring string) *client.Producer {
	t.Helper()
	p, err := f.near.Producer(bounded(t), ring, client.ProducerOptions{Name: "near"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func publish(t *testing.T, p *client.Producer, from, to int) {
	t.Helper()
	ctx := bounded(t)
	for i := from; i < to; i++ {
		if err := p.Send(ctx, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatalf("send %d: %v", i, err)
		}
	}
}

func expect(t *testing.T, r *client.Consumer, from, to int) (last client.Record) {
	t.Helper()
	ctx := bounded(t)
	for i := from; i < to; i++ {
		record, err := r.Receive(ctx)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if want := fmt.Sprint(i); string(record.Payload) != want || record.Missed+record.Gaps != 0 {
			t.Fatalf("record %d is %q, missed %d, gaps %d", i, record.Payload, record.Missed, record.Gaps)
		}
		last = record
	}
	return last
}

const farRings = "[{name: md, capacity: 1MiB, record_max: 1KiB}, {name: orders, capacity: 64KiB, producers: many, checksum: true, resume_for: 30s}, {name: open, capacity: 64KiB}, {name: secret, capacity: 64KiB}]"

// TestRemoteIsLikeLocal reads the same ring from near and far, and compares.
func TestRemoteIsLikeLocal(t *testing.T) {
	f := startFar(t, farRings)
	p := f.nearProducer(t, "md")
	publish(t, p, 0, 1000)
	near, err := f.near.Consumer(bounded(t), "md", client.ConsumerOptions{From: client.FromOldest(), Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	r := f.consumer(t, "md", client.ConsumerOptions{Name: "book", From: client.FromOldest(), Policy: client.PolicyBlock})
	ctx := bounded(t)
	for range 1000 {
		want, err := near.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Payload) != string(want.Payload) || got.Position != want.Position || got.Sequence != want.Sequence || got.Timestamp != want.Timestamp || got.Timestamp == 0 {
			t.Fatalf("far %+v, near %+v", got, want)
		}
	}
	if r.Epoch() != near.Epoch() || r.Position() != near.Position() || r.Sequence() != near.Sequence() || r.Policy() != near.Policy() || r.Start() != near.Start() {
		t.Errorf("far %d %d %d %s, near %d %d %d %s", r.Epoch(), r.Position(), r.Sequence(), r.Policy(), near.Epoch(), near.Position(), near.Sequence(), near.Policy())
	}
	if ring := r.Ring(); ring.Name != "md" || ring.Capacity != 1<<20 || ring.RecordMax != 1<<10 || ring.Epoch != near.Ring().Epoch {
		t.Errorf("ring %+v", ring)
	}
	if s := r.Stats(); s.Delivered != 1000 || s.MissedRecords != 0 || s.Policy.String() != "block" || !s.Gating {
		t.Errorf("stats %+v", s)
	}
	list, err := f.near.Attachments(ctx, "md")
	if err != nil {
		t.Fatal(err)
	}
	listed := false
	for _, a := range list {
		listed = listed || a.ID == r.ID() && strings.Contains(a.Name, "book")
	}
	if !listed {
		t.Errorf("%s is not among %+v", r.ID(), list)
	}
	if err := p.End(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Receive(ctx); err != client.ErrEndOfStream {
		t.Errorf("the end: %v", err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
}

// TestRemoteProducer: tags, ends, reservations and gaps, and each record acknowledged.
func TestRemoteProducer(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	r, err := f.near.Consumer(ctx, "orders", client.ConsumerOptions{From: client.FromOldest(), Tags: []uint16{7}})
	if err != nil {
		t.Fatal(err)
	}
	p := f.producer(t, "orders", client.ProducerOptions{Name: "quoter", Tag: 3})
	if _, err := f.remote.Producer(ctx, "orders", client.ProducerOptions{Name: "quoter"}); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("the same name again: %v", err)
	}
	other := f.producer(t, "orders", client.ProducerOptions{Name: "hedger", Tag: 7})
	publish(t, p, 0, 10)
	p.SetTag(7)
	buf, err := p.Reserve(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, "10")
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reserve(ctx, 100); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Abort(), p.End(ctx), p.Flush(ctx)); err != nil {
		t.Fatal(err)
	}
	expect(t, r, 10, 11)
	if _, err := r.Receive(ctx); err != client.ErrEndOfStream {
		t.Errorf("the end: %v", err)
	}
	publish(t, other, 11, 12)
	expect(t, r, 11, 12)
	if s := p.Stats(); s.Records != 11 {
		t.Errorf("stats %+v", s)
	}
	var large *client.RecordTooLargeError
	if err := p.Send(ctx, make([]byte, p.Ring().RecordMax+1)); !errors.As(err, &large) {
		t.Errorf("too large: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	again := f.producer(t, "orders", client.ProducerOptions{Name: "quoter", Tag: 7})
	publish(t, again, 12, 14)
	expect(t, r, 12, 14)
}

// TestRemoteRefusals are those of a Client.
func TestRemoteRefusals(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	publish(t, f.nearProducer(t, "md"), 0, 3)
	_, err := f.remote.Consumer(ctx, "nothing", client.ConsumerOptions{})
	if !client.IsRefused(err) {
		t.Errorf("a ring that is not there: %v", err)
	}
	_, err = f.remote.Consumer(ctx, "secret", client.ConsumerOptions{})
	wantError(t, "a ring for others", err, client.ErrAccessDenied, "secret")
	_, err = f.remote.Producer(ctx, "open", client.ProducerOptions{})
	wantError(t, "producing without the right", err, client.ErrAccessDenied, "open")
	_, err = f.remote.Consumer(ctx, "open", client.ConsumerOptions{Policy: client.PolicyBlock})
	wantError(t, "gating without the right", err, client.ErrAccessDenied, "open")
	var position *client.PositionError
	_, err = f.remote.Consumer(ctx, "md", client.ConsumerOptions{From: client.FromPosition(1 << 30)})
	if !errors.As(err, &position) || position.Wanted != 1<<30 || position.Newest == 0 {
		t.Errorf("a position that is not held: %v", err)
	}
	for what, start := range map[string]client.ConsumerOptions{
		"between records": {From: client.FromPosition(17)}, "out of range": {From: client.FromPosition(1 << 62)},
		"a name": {Name: "a b"}, "a policy": {Policy: "best"}, "a wait strategy": {WaitStrategy: "pray"},
	} {
		if _, err := f.remote.Consumer(ctx, "md", start); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := f.remote.Consumer(ctx, "../md", client.ConsumerOptions{}); !errors.Is(err, client.ErrInvalidParameter) {
		t.Errorf("a ring's name: %v", err)
	}
	if _, err := f.remote.Producer(ctx, "md", client.ProducerOptions{}); !errors.Is(err, client.ErrProducerPresent) {
		t.Errorf("a second producer: %v", err)
	}
}

// TestRemoteRemoved: the ring goes, with and without a successor.
func TestRemoteRemoved(t *testing.T) {
	f := startFar(t, "[]")
	ctx := bounded(t)
	for _, again := range []bool{false, true} {
		ring := createRing(t, f.near, "md")
		r := f.consumer(t, "md", client.ConsumerOptions{From: client.FromOldest()})
		near := f.nearProducer(t, "md")
		publish(t, near, 0, 5)
		expect(t, r, 0, 4) // the last one is to be had afterwards
		eventually(t, "the last record came", func() bool { return r.Stats().Delivered == 4 })
		if err := f.near.RemoveRing(ctx, "md", true); err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		if again {
			want = createRing(t, f.near, "md").Epoch
		}
		var removed *client.RemovedError
		var err error
		for err == nil || err == client.ErrEmpty {
			_, err = r.TryReceive()
		}
		if !errors.As(err, &removed) || removed.Epoch != ring.Epoch || removed.Ring != "md" {
			t.Fatalf("got %v", err)
		}
		if removed.Current != want && !again {
			t.Errorf("its successor is %d, want %d: %v", removed.Current, want, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if again {
			if err := f.near.RemoveRing(ctx, "md", true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRemoteDetached by an administrator.
func TestRemoteDetached(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	r := f.consumer(t, "md", client.ConsumerOptions{Name: "book"})
	p := f.producer(t, "md", client.ProducerOptions{Name: "feed"})
	for _, id := range []string{r.ID(), p.ID()} {
		if err := f.near.Detach(ctx, id); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	_, err := r.Receive(ctx)
	wantError(t, "reading", err, client.ErrDetached, r.ID())
	err = nil
	for err == nil {
		err = p.Send(ctx, []byte("x"))
	}
	wantError(t, "sending", err, client.ErrDetached, p.ID())
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	var left *client.UnacknowledgedError
	if err := p.Close(); err != nil && !errors.As(err, &left) {
		t.Errorf("close: %v", err)
	}
}

// TestRemoteRestart: the daemon goes and comes back; streams go on, and the ring
// that is another one by then is told of.
func TestRemoteRestart(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	r := f.consumer(t, "md", client.ConsumerOptions{From: client.FromOldest(), Policy: client.PolicyBlock})
	p := f.producer(t, "md", client.ProducerOptions{})
	publish(t, p, 0, 100)
	expect(t, r, 0, 100)
	f.kill()
	publish(t, p, 100, 200) // into the air
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	expect(t, r, 100, 200)
	if err := p.Flush(ctx); err != nil {
		t.Error(err)
	}
	f.kill()
	if err := os.RemoveAll(f.base + "/rings/md"); err != nil {
		t.Fatal(err)
	}
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	_, err := r.Receive(ctx)
	wantError(t, "another ring", err, client.ErrLost, "made anew")
	wantError(t, "another ring", err, client.ErrRemoved)
	err = nil
	for err == nil {
		err = p.Send(ctx, []byte("x"))
	}
	wantError(t, "another ring", err, client.ErrRemoved)
	wantError(t, "close", r.Close(), client.ErrLost)
	wantError(t, "close", p.Close(), client.ErrLost)
}

// TestRemoteUnacknowledged: Close waits for a while, and says what is missing.
func TestRemoteUnacknowledged(t *testing.T) {
	f := startFar(t, farRings)
	p := f.producer(t, "md", client.ProducerOptions{})
	publish(t, p, 0, 3)
	if err := p.Flush(bounded(t)); err != nil {
		t.Fatal(err)
	}
	many, err := client.DialTCP(bounded(t), client.TCPOptions{Address: f.address, Plain: true, Name: farName})
	if err != nil {
		t.Fatal(err)
	}
	var all []*client.Producer
	for i := range 8 {
		one, err := many.Producer(bounded(t), "orders", client.ProducerOptions{Name: fmt.Sprint("p", i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	f.kill()
	for _, one := range all {
		publish(t, one, 0, 1)
	}
	publish(t, p, 3, 10)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var left *client.UnacknowledgedError
	if err := p.Flush(short); !errors.As(err, &left) || left.Records != 7 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush: %v", err)
	}
	begin := time.Now()
	err = p.Close()
	if !errors.As(err, &left) || left.Records != 7 || left.Ring != "md" {
		t.Errorf("close: %v", err)
	}
	if err := many.Close(); !errors.As(err, &left) || left.Records != 1 { // all wait at once
		t.Errorf("close of all: %v", err)
	}
	if took := time.Since(begin); took > waitMax/2 {
		t.Errorf("close took %v", took)
	}
	if err := f.start(); err != nil { // for the Client that is still open
		t.Fatal(err)
	}
}

// TestRemoteHeld: what a Producer does when a reader over there holds the ring.
func TestRemoteHeld(t *testing.T) {
	f := startFar(t, "[{name: md, capacity: 64KiB, record_max: 1KiB}]")
	ctx := bounded(t)
	holder, err := f.near.Consumer(ctx, "md", client.ConsumerOptions{From: client.FromOldest(), Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	p := f.producer(t, "md", client.ProducerOptions{OnFull: client.OnFullFail})
	sent := 0
	for err = nil; err == nil; sent++ {
		err = p.Send(ctx, fmt.Appendf(nil, "%d", sent))
		if err == client.ErrFull && sent < 3000 { // the network is slower
			err = nil
			sent--
			time.Sleep(time.Millisecond)
		}
	}
	if !errors.Is(err, client.ErrFull) {
		t.Fatalf("got %v", err)
	}
	sent--
	expect(t, holder, 0, sent)
	if err := p.Flush(ctx); err != nil {
		t.Error(err)
	}
}

// TestRemotePolicies: what a slow reader misses is told.
func TestRemotePolicies(t *testing.T) {
	const records = 20000
	f := startFar(t, "[{name: md, capacity: 64KiB, record_max: 1KiB}]")
	ctx := bounded(t)
	for _, policy := range []client.Policy{client.PolicySkip, client.PolicyLatest} {
		r := f.consumer(t, "md", client.ConsumerOptions{From: client.FromLatest(), Policy: policy})
		p := f.nearProducer(t, "md")
		publish(t, p, 0, records)
		if err := errors.Join(p.End(ctx), p.Close()); err != nil {
			t.Fatal(err)
		}
		var seen, missed uint64
		var last string
		for {
			record, err := r.Receive(ctx)
			if err == client.ErrEndOfStream {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			seen++
			missed += record.Missed
			last = string(record.Payload)
		}
		s := r.Stats()
		if seen+s.MissedRecords != records || last != fmt.Sprint(records-1) || s.MissedRecords == 0 || missed != s.MissedRecords {
			t.Errorf("%s: %d records, last %s, %d missed of which records told %d", policy, seen, last, s.MissedRecords, missed)
		}
		if s.Policy.String() != string(policy) || s.Gating || r.Policy() != policy || r.Demoted() {
			t.Errorf("%s: stats %+v", policy, s)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRemoteResume: the cursor is exactly behind what was read.
func TestRemoteResume(t *testing.T) {
	f := startFar(t, farRings)
	p := f.producer(t, "orders", client.ProducerOptions{})
	publish(t, p, 0, 100)
	o := client.ConsumerOptions{Name: "risk", From: client.FromResume(), Policy: client.PolicyBlock}
	r := f.consumer(t, "orders", o)
	if r.Resumed() {
		t.Error("there was no cursor")
	}
	for from := 0; from < 100; from += 20 {
		expect(t, r, from, from+20)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = f.consumer(t, "orders", o)
		if !r.Resumed() {
			t.Fatalf("it did not resume at record %d, but at %d", from+20, r.Sequence())
		}
	}
}

// TestRemotePoller waits for near and far at once.
func TestRemotePoller(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	near, err := f.near.Consumer(ctx, "md", client.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	readers := []*client.Consumer{near, f.consumer(t, "md", client.ConsumerOptions{}), f.consumer(t, "orders", client.ConsumerOptions{})}
	poller := client.NewPoller(client.PollerOptions{})
	for _, r := range readers {
		if err := poller.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, f.producer(t, "md", client.ProducerOptions{}), 0, 50)
	publish(t, f.producer(t, "orders", client.ProducerOptions{}), 0, 50)
	seen := map[*client.Consumer]int{}
	for total := 0; total < 150; {
		r, err := poller.Wait(ctx)
		if err != nil {
			t.Fatal(err, seen)
		}
		if _, err := r.TryReceive(); err == nil {
			seen[r]++
			total++
		} else if err != client.ErrEmpty {
			t.Fatal(err)
		}
	}
	for i, r := range readers {
		if seen[r] != 50 {
			t.Errorf("reader %d: %d records", i, seen[r])
		}
		poller.Remove(r)
	}
}

// TestRemoteUnreachable: nobody there, nobody known, and what is no gateway.
func TestRemoteUnreachable(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = client.DialTCP(t.Context(), client.TCPOptions{Address: address, Plain: true, WaitFor: 200 * time.Millisecond})
	wantError(t, "nobody", err, client.ErrUnreachable, address, "waited 200ms")
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("it waited %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.DialTCP(ctx, client.TCPOptions{Address: address, Plain: true, WaitFor: waitMax})
	wantError(t, "nobody, and no time", err, client.ErrUnreachable)
	wantError(t, "nobody, and no time", err, context.Canceled)

	f := startFar(t, farRings)
	f.kill()
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = f.remote.Consumer(ctx, "md", client.ConsumerOptions{})
	wantError(t, "gone", err, client.ErrUnreachable, f.address, "waited")
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	f.consumer(t, "md", client.ConsumerOptions{})
	if err := f.remote.Close(); err != nil {
		t.Error(err)
	}
	_, err = f.remote.Consumer(t.Context(), "md", client.ConsumerOptions{})
	wantError(t, "closed", err, client.ErrClosed)
}
