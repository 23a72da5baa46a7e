package client_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"brokerd/client"
)

// resumable makes a ring that keeps cursors for a minute.
func resumable(t *testing.T, c *client.Client, name string) client.Ring {
	t.Helper()
	keep := time.Minute.Nanoseconds()
	return createSpec(t, c, client.RingSpec{Name: name, Capacity: 64 << 10, ResumeForNS: &keep})
}

func createSpec(t *testing.T, c *client.Client, spec client.RingSpec) client.Ring {
	t.Helper()
	r, err := c.CreateRing(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func producer(t *testing.T, c *client.Client, ring string, o client.ProducerOptions) *client.Producer {
	t.Helper()
	p, err := c.Producer(t.Context(), ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func consumer(t *testing.T, c *client.Client, ring string, o client.ConsumerOptions) *client.Consumer {
	t.Helper()
	r, err := c.Consumer(t.Context(), ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sendNumbers publishes the numbers from first to last-1.
func sendNumbers(t *testing.T, p *client.Producer, first, last int) {
	t.Helper()
	for n := first; n < last; n++ {
		if err := p.Send(t.Context(), fmt.Append(nil, n)); err != nil {
			t.Fatalf("send %d: %v", n, err)
		}
	}
}

// wantNumbers receives the numbers from first to last-1, with nothing missed.
func wantNumbers(t *testing.T, r *client.Consumer, first, last int) {
	t.Helper()
	for n := first; n < last; n++ {
		record, err := r.Receive(t.Context())
		if err != nil || string(record.Payload) != fmt.Sprint(n) || record.Missed != 0 || record.Sequence != uint64(n) {
			t.Fatalf("record %d: got %+v, %v", n, record, err)
		}
	}
}

// wantState waits until the only attachment of a name is in a state.
func wantState(t *testing.T, c *client.Client, name string, state client.AttachmentState) client.Attachment {
	t.Helper()
	var got []client.Attachment
	eventually(t, fmt.Sprintf("%s is %s", name, state), func() bool {
		list, err := c.Attachments(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		got = slices.DeleteFunc(list, func(a client.Attachment) bool { return a.Name != name })
		return len(got) == 1 && got[0].State == state
	})
	return got[0]
}

// TestResumeAfterClose goes on behind the last record that was given out, with
// each policy, as often as it is closed.
func TestResumeAfterClose(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicyDemote, client.PolicySkip} {
		ring := string(policy)
		resumable(t, c, ring)
		p := producer(t, c, ring, client.ProducerOptions{})
		sendNumbers(t, p, 0, 10)
		o := client.ConsumerOptions{Name: ring, Policy: policy, From: client.FromResume()}
		first := consumer(t, c, ring, o)
		if first.Resumed() || first.Start() != 0 {
			t.Errorf("%s: without a cursor: resumed %v, starts at %d; want the oldest record", policy, first.Resumed(), first.Start())
		}
		wantNumbers(t, first, 0, 4)
		next := first.Position()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		kept := wantState(t, c, ring, client.StateResumable)
		if kept.ID != first.ID() || kept.ResumeUntilNS == 0 {
			t.Errorf("%s: left %+v", policy, kept)
		}
		sendNumbers(t, p, 10, 20)
		second := consumer(t, c, ring, o)
		if !second.Resumed() || second.Start() != next || second.Sequence() != 4 {
			t.Errorf("%s: resumed %v, starts at %d, sequence %d; want %d, 4", policy, second.Resumed(), second.Start(), second.Sequence(), next)
		}
		wantNumbers(t, second, 4, 20)
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		third := consumer(t, c, ring, o)
		if _, err := third.TryReceive(); err != client.ErrEmpty || !third.Resumed() {
			t.Errorf("%s: resumed at the end: %v, resumed %v", policy, err, third.Resumed())
		}
	}
}

// TestResumeHoldsTheProducer keeps a closed block reader's records.
func TestResumeHoldsTheProducer(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	resumable(t, c, "md")
	p := producer(t, c, "md", client.ProducerOptions{OnFull: client.OnFullFail})
	o := client.ConsumerOptions{Name: "risk", Policy: client.PolicyBlock, From: client.FromResume()}
	r := consumer(t, c, "md", o)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, p)
	sent := p.Sequence()
	r = consumer(t, c, "md", o)
	for n := range sent {
		record, err := r.TryReceive()
		if err != nil || record.Sequence != n || record.Missed != 0 {
			t.Fatalf("record %d of %d: got %+v, %v", n, sent, record, err)
		}
	}
	// Who begins anew discards the cursor, and with it the hold.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o.From, o.Policy = client.FromLatest(), client.PolicySkip
	if r = consumer(t, c, "md", o); r.Resumed() {
		t.Error("resumed without being asked to")
	}
	for range 2 * sent {
		if err := p.TrySend(make([]byte, 1000)); err != nil {
			t.Fatalf("the discarded cursor holds the producer: %v", err)
		}
	}
}

// TestResumeOverwritten counts exactly what the ring no longer held.
func TestResumeOverwritten(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	resumable(t, c, "md")
	p := producer(t, c, "md", client.ProducerOptions{})
	o := client.ConsumerOptions{Name: "risk", Policy: client.PolicySkip, From: client.FromResume()}
	sendNumbers(t, p, 0, 3)
	r := consumer(t, c, "md", o)
	wantNumbers(t, r, 0, 2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 500 { // several times the ring
		if err := p.Send(t.Context(), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	r = consumer(t, c, "md", o)
	record, err := r.Receive(t.Context())
	if err != nil || !r.Resumed() || record.Missed == 0 || record.Sequence != 2+record.Missed {
		t.Errorf("got sequence %d, missed %d, %v, resumed %v; want sequence = 2 + missed", record.Sequence, record.Missed, err, r.Resumed())
	}
}

func TestResumeRefusals(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	resumable(t, c, "md")
	o := client.ConsumerOptions{Name: "risk", From: client.FromResume()}
	r := consumer(t, c, "md", o)
	_, err := dialDaemon(t, d).Consumer(t.Context(), "md", o)
	wantError(t, "its reader lives", err, client.ErrCursorInUse, "risk", fmt.Sprint(os.Getpid()))
	_, err = c.Consumer(t.Context(), "md", client.ConsumerOptions{From: client.FromResume()})
	wantError(t, "no name", err, client.ErrInvalidParameter, "name")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	// Nothing is kept of a reader without a name, or where the ring keeps nothing.
	createRing(t, c, "plain")
	for _, r := range []*client.Consumer{
		consumer(t, c, "md", client.ConsumerOptions{}),
		consumer(t, c, "plain", client.ConsumerOptions{Name: "book", From: client.FromResume()}),
	} {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.Attachments(t.Context(), "")
	if err != nil || len(list) != 1 || list[0].Name != "risk" {
		t.Errorf("left are %+v, %v; want the cursor of risk", list, err)
	}
}

// TestNothingIsKeptWithoutResumeFor while the daemon is away, either: a reader
// that closes then holds the producer no longer.
func TestNothingIsKeptWithoutResumeFor(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	p := producer(t, c, "md", client.ProducerOptions{})
	r := consumer(t, c, "md", client.ConsumerOptions{Name: "risk", Policy: client.PolicyBlock})
	fill(t, p)
	d.kill()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.TrySend(make([]byte, 1000)); err != nil {
		t.Errorf("send after it has closed: %v", err)
	}
}

// TestResumeKilledReaders goes on where killed processes stopped.
func TestResumeKilledReaders(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	resumable(t, c, "md")
	p := producer(t, c, "md", client.ProducerOptions{})
	sendNumbers(t, p, 0, 30)
	next := 0
	policies := []client.Policy{client.PolicyBlock, client.PolicySkip, client.PolicyBlock, client.PolicyDemote}
	for i, last := range []string{doneWith, inHand, inHand, doneWith} {
		for _, line := range killedReader(t, d, "md", "risk", policies[i], 5, last) {
			if want := fmt.Sprintf("0 %d", next); line != want {
				t.Fatalf("got %q (missed, payload), want %q", line, want)
			}
			next++
		}
		if last == inHand {
			next-- // comes again
		}
		wantState(t, c, "risk", client.StateResumable)
	}
	wantNumbers(t, consumer(t, c, "md", client.ConsumerOptions{Name: "risk", From: client.FromResume()}), next, 30)
}

// TestResumeAcrossDaemons has a resumed reader outlive one daemon, and its cursor
// another that was dead when the reader closed.
func TestResumeAcrossDaemons(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	resumable(t, c, "md")
	p := producer(t, c, "md", client.ProducerOptions{})
	o := client.ConsumerOptions{Name: "risk", Policy: client.PolicyBlock, From: client.FromResume()}
	sendNumbers(t, p, 0, 10)
	r := consumer(t, c, "md", o)
	wantNumbers(t, r, 0, 2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = consumer(t, c, "md", o)
	wantNumbers(t, r, 2, 4)
	for range 2 {
		d.kill()
		wantNumbers(t, r, 4, 5)
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		if a := wantState(t, c, "risk", client.StateAttached); a.ID != r.ID() {
			t.Fatalf("attached again as %s, was %s", a.ID, r.ID())
		}
		wantNumbers(t, r, 5, 6)

		d.kill()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		wantState(t, c, "risk", client.StateResumable)
		r = consumer(t, c, "md", o)
		if !r.Resumed() {
			t.Fatal("the cursor is gone")
		}
		wantNumbers(t, r, 6, 10)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		// Again from record 4 on, under a new daemon.
		if err := c.RemoveRing(t.Context(), "md", true); err != nil {
			t.Fatal(err)
		}
		resumable(t, c, "md")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		p = producer(t, c, "md", client.ProducerOptions{})
		sendNumbers(t, p, 0, 10)
		r = consumer(t, c, "md", o)
		wantNumbers(t, r, 0, 4)
	}
}
