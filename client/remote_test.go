package client_test

import (
	"errors"
	"strings"
	"testing"

	"brokerd/client"
)

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
