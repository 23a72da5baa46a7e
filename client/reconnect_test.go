package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"brokerd/client"
)

// stillThere is what an attachment must keep when the daemon is restarted.
type stillThere struct {
	id, name, ring  string
	epoch           uint64
	slot            int
	generation      uint32
	position        uint64
	policy          client.Policy
	pid             int
	state           client.AttachmentState
	records, missed uint64
}

func snapshot(t *testing.T, c *client.Client) []stillThere {
	t.Helper()
	list, err := c.Attachments(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []stillThere
	for _, a := range list {
		got = append(got, stillThere{a.ID, a.Name, a.Ring, a.Epoch, a.Slot, a.Generation, a.Position, a.Policy, a.PID, a.State, a.Sequence, a.MissedRecords})
	}
	return got
}

// TestAttachmentsSurviveRestarts kills the daemon, sees that records still
// move, starts it again, and compares attachments within the second that the
// client has to be back.
func TestAttachmentsSurviveRestarts(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	p, err := c.Producer(t.Context(), "md", client.ProducerOptions{Name: "feed"})
	if err != nil {
		t.Fatal(err)
	}
	var readers []*client.Consumer
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicyDemote, client.PolicySkip} {
		r, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{Name: string(policy), Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	next := uint64(0)
	exchange := func() {
		t.Helper()
		for range 100 {
			if err := p.Send(t.Context(), binary.LittleEndian.AppendUint64(nil, next)); err != nil {
				t.Fatal(err)
			}
			for _, r := range readers {
				record, err := r.Receive(t.Context())
				if err != nil || binary.LittleEndian.Uint64(record.Payload) != next {
					t.Fatalf("record %d: got %v, %v", next, record, err)
				}
			}
			next++
		}
		for _, r := range readers {
			if _, err := r.TryReceive(); err != client.ErrEmpty { // tells the position
				t.Fatal(err)
			}
		}
	}
	for range 5 {
		exchange()
		before := snapshot(t, c)
		d.kill()
		exchange()
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		for i := range before {
			before[i].records += 100
			before[i].position = readers[0].Position()
		}
		var after []stillThere
		eventually(t, "everybody is registered again", func() bool {
			after = snapshot(t, c)
			return !slices.ContainsFunc(after, func(a stillThere) bool { return a.state != client.StateAttached })
		})
		if took := time.Since(back); took > time.Second {
			t.Errorf("registered again only after %v", took)
		}
		if !slices.Equal(before, after) {
			t.Fatalf("attachments were\n%+v\nand are\n%+v", before, after)
		}
	}
	exchange()
	if p.Stats().Records != next {
		t.Errorf("published %d, counted %d", next, p.Stats().Records)
	}
}

// TestCallsWaitForTheDaemon makes calls while it is away.
func TestCallsWaitForTheDaemon(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	d.kill()
	eventually(t, "the loss is noticed", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := c.Rings(ctx)
		return errors.Is(err, client.ErrUnreachable) && errors.Is(err, context.DeadlineExceeded)
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Rings(ctx)
	wantError(t, "a call whose context was cancelled", err, context.Canceled)

	type result struct {
		rings []client.Ring
		err   error
	}
	done := make(chan result)
	go func() {
		rings, err := c.Rings(context.Background())
		done <- result{rings, err}
	}()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err != nil || len(got.rings) != 1 {
		t.Errorf("the call that waited: got %d rings, %v", len(got.rings), got.err)
	}
}

// TestCloseWhileTheDaemonIsAway is told to the daemon once it is back.
func TestCloseWhileTheDaemonIsAway(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	p, err := c.Producer(t.Context(), "md", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.kill()
	for _, closer := range []interface{ Close() error }{p, r} {
		if err := closer.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both slots are free", func() bool { return len(snapshot(t, c)) == 0 })
}

// TestClientCloseWhileTheDaemonIsAway must not wait for it.
func TestClientCloseWhileTheDaemonIsAway(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	if _, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{}); err != nil {
		t.Fatal(err)
	}
	d.kill()
	begin := time.Now()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("close took %v", took)
	}
}

// TestLostAttachment comes back to a ring that was made anew.
func TestLostAttachment(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	p, err := c.Producer(t.Context(), "md", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan error)
	go func() {
		_, err := r.Receive(context.Background())
		waits <- err
	}()
	d.kill()
	if err := os.RemoveAll(filepath.Join(d.base, "rings")); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waits:
		wantError(t, "receive", err, client.ErrLost, r.ID())
		wantError(t, "receive", err, client.ErrRingNotFound)
	case <-time.After(waitMax):
		t.Fatal("the reader still waits")
	}
	wantError(t, "close of the consumer", r.Close(), client.ErrLost)
	wantError(t, "close of the producer", p.Close(), client.ErrLost, p.ID())
	createRing(t, c, "md")
	if _, err = c.Producer(t.Context(), "md", client.ProducerOptions{}); err != nil {
		t.Errorf("attach to the new ring: %v", err)
	}
}

// TestDialWaits dials before the daemon starts.
func TestDialWaits(t *testing.T) {
	d, err := newDaemon()
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	defer d.remove()
	type result struct {
		c   *client.Client
		err error
	}
	dialed := make(chan result)
	go func() {
		c, err := client.Dial(t.Context(), client.Options{Socket: d.socket, WaitFor: waitMax})
		dialed <- result{c, err}
	}()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	got := <-dialed
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer func() {
		if err := got.c.Close(); err != nil {
			t.Error(err)
		}
	}()
	found := make(chan error)
	go func() { found <- got.c.WaitRing(t.Context(), "md") }()
	createRing(t, got.c, "md")
	if err := <-found; err != nil {
		t.Errorf("wait for the ring: %v", err)
	}
}

// TestWatchStatsEnds with the daemon, with its context, and with a refusal.
func TestWatchStatsEnds(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	for _, err := range c.WatchStats(t.Context(), "nowhere", time.Second) {
		wantError(t, "no such ring", err, client.ErrRingNotFound)
	}
	for _, err := range c.WatchStats(t.Context(), "", client.StatsIntervalMin-1) {
		if err == nil || client.IsRefused(err) {
			t.Errorf("too short an interval: got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	n := 0
	for _, err := range c.WatchStats(ctx, "", client.StatsIntervalMin) {
		if last = err; err == nil {
			n++
			cancel()
		}
	}
	wantError(t, "context", last, context.Canceled)
	last, n = nil, 0
	for _, err := range c.WatchStats(t.Context(), "", client.StatsIntervalMin) {
		if last = err; err == nil {
			if n++; n == 2 {
				d.kill()
			}
		}
	}
	wantError(t, "daemon gone", last, client.ErrUnreachable)
	if n < 2 {
		t.Errorf("%d snapshots, want 2 or more", n)
	}
}
