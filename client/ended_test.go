package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brokerd/client"
)

func wantRemoved(t *testing.T, what string, err error, ring string, epoch, current uint64, says string) {
	t.Helper()
	wantError(t, what, err, client.ErrRemoved, ring, fmt.Sprint(epoch), says)
	var removed *client.RemovedError
	if !errors.As(err, &removed) || removed.Ring != ring || removed.Epoch != epoch || removed.Current != current {
		t.Errorf("%s: got %#v, want ring %s, epoch %d, current %d", what, removed, ring, epoch, current)
	}
}

// TestRemovedRing tells readers and producers, however they ask.
func TestRemovedRing(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	ctx := t.Context()
	attach := func() (uint64, []*client.Producer, []*client.Consumer) {
		r := createSpec(t, c, client.RingSpec{Name: "md", Capacity: 64 << 10, Producers: client.ProducersMany})
		var producers []*client.Producer
		var consumers []*client.Consumer
		for range 5 {
			producers = append(producers, producer(t, c, "md", client.ProducerOptions{}))
			consumers = append(consumers, consumer(t, c, "md", client.ConsumerOptions{}))
		}
		return r.Epoch, producers, consumers
	}
	check := func(p []*client.Producer, r []*client.Consumer, epoch, current uint64, says string) {
		t.Helper()
		_, reserve := p[0].Reserve(ctx, 1)
		_, batch := p[3].SendBatch(ctx, [][]byte{{1}})
		_, receive := r[0].Receive(ctx)
		_, try := r[1].TryReceive()
		_, poll := r[2].Poll(func(client.Record) error { return nil }, 1)
		var records error
		for _, err := range r[3].Records(ctx) {
			records = err
		}
		_, again := r[0].TryReceive()
		for what, err := range map[string]error{
			"Reserve": reserve, "Send": p[1].Send(ctx, nil), "TrySend": p[2].TrySend(nil), "SendBatch": batch, "End": p[4].End(ctx),
			"Receive": receive, "TryReceive": try, "Poll": poll, "Records": records, "TryReceive again": again,
		} {
			wantRemoved(t, what, err, "md", epoch, current, says)
			if errors.Is(err, client.ErrLost) || client.IsRefused(err) {
				t.Errorf("%s: got %v, want nothing but a removed ring", what, err)
			}
		}
	}
	epoch, p, r := attach()
	if err := c.RemoveRing(ctx, "md", true); err != nil {
		t.Fatal(err)
	}
	check(p, r, epoch, 0, "there is no ring of that name now")
	epoch, p, r = attach()
	if err := c.RemoveRing(ctx, "md", true); err != nil {
		t.Fatal(err)
	}
	current := createRing(t, c, "md").Epoch
	check(p, r, epoch, current, fmt.Sprintf("made anew with epoch %d", current))
	for i := range p {
		if err := errors.Join(p[i].Close(), r[i].Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// TestRemovedRingWithoutDaemon must not wait long for the one that could tell.
func TestRemovedRingWithoutDaemon(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	epoch := createRing(t, c, "md").Epoch
	r := consumer(t, c, "md", client.ConsumerOptions{})
	if err := c.RemoveRing(t.Context(), "md", true); err != nil {
		t.Fatal(err)
	}
	d.kill()
	begin := time.Now()
	_, err := r.TryReceive()
	wantRemoved(t, "no daemon", err, "md", epoch, 0, "is unknown")
	if strings.Contains(err.Error(), "no ring of that name") || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v, which says what nobody knows, or is ErrUnreachable", err)
	}
	if took := time.Since(begin); took > waitMax/4 {
		t.Errorf("it took %v", took)
	}
	begin = time.Now()
	_, again := r.TryReceive()
	if took := time.Since(begin); again != err || took > 100*time.Millisecond {
		t.Errorf("the second time: %v after %v; want the same, and nobody asked", again, took)
	}
}

// TestRemovedWhileTheDaemonWasAway comes back to another ring, and to none.
func TestRemovedWhileTheDaemonWasAway(t *testing.T) {
	for _, anew := range []bool{true, false} {
		d := startDaemon(t)
		c := dialDaemon(t, d)
		epoch, current := createRing(t, c, "md").Epoch, uint64(0)
		p, r := producer(t, c, "md", client.ProducerOptions{}), consumer(t, c, "md", client.ConsumerOptions{})
		d.kill()
		if err := os.RemoveAll(filepath.Join(d.base, "rings")); err != nil {
			t.Fatal(err)
		}
		says := "no ring of that name"
		refusal := client.ErrRingNotFound
		if anew {
			d.configure(t, "[{name: md, capacity: 64KiB}]")
			says, refusal = "made anew", client.ErrEpochChanged
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		_, err := r.Receive(t.Context())
		if anew {
			now, err := c.DescribeRing(t.Context(), "md")
			if err != nil {
				t.Fatal(err)
			}
			current = now.Ring.Epoch
		}
		wantError(t, "receive", err, client.ErrLost, r.ID())
		wantError(t, "receive", err, refusal)
		wantRemoved(t, "receive", err, "md", epoch, current, says)
		_, err = r.Poll(func(client.Record) error { return nil }, 1)
		wantRemoved(t, "poll", err, "md", epoch, current, says)
		// A producer would write into memory that nobody reads any more.
		eventually(t, "the producer is told", func() bool { err = p.Send(t.Context(), nil); return err != nil })
		wantRemoved(t, "send", err, "md", epoch, current, says)
		wantError(t, "send", err, client.ErrLost, p.ID())
		wantRemoved(t, "try to send", p.TrySend(nil), "md", epoch, current, says)
		_, err = p.Reserve(t.Context(), 1)
		wantRemoved(t, "reserve", err, "md", epoch, current, says)
		_, err = p.SendBatch(t.Context(), nil)
		wantRemoved(t, "batch", err, "md", epoch, current, says)
		wantRemoved(t, "end", p.End(t.Context()), "md", epoch, current, says)
	}
}

// TestDetachedSaysWhy ends attachments from another process, and from this one.
func TestDetachedSaysWhy(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	p, r := producer(t, c, "md", client.ProducerOptions{}), consumer(t, c, "md", client.ConsumerOptions{})
	for _, id := range []string{p.ID(), r.ID()} {
		if err := child(t, "detach", d.socket, id).Run(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.Receive(t.Context())
	wantError(t, "receive", err, client.ErrDetached, r.ID(), "an administrator ended it")
	wantError(t, "send", p.Send(t.Context(), nil), client.ErrDetached, p.ID(), "an administrator ended it")
	if err := errors.Join(p.Close(), r.Close()); err != nil {
		t.Errorf("close: %v", err)
	}

	r = consumer(t, c, "md", client.ConsumerOptions{})
	if err := c.Detach(t.Context(), r.ID()); err != nil {
		t.Fatal(err)
	}
	_, err = r.Receive(t.Context())
	wantError(t, "by itself", err, client.ErrDetached, r.ID(), "does not list it any more")
}

// TestErrorsOfCallbacks passes errors of Poll's callback on as they are, also
// those of another attachment.
func TestErrorsOfCallbacks(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	createRing(t, c, "in")
	epoch := createRing(t, c, "out").Epoch
	in, forward := producer(t, c, "in", client.ProducerOptions{}), producer(t, c, "out", client.ProducerOptions{})
	r := consumer(t, c, "in", client.ConsumerOptions{})
	if err := c.RemoveRing(t.Context(), "out", true); err != nil {
		t.Fatal(err)
	}
	sendNumbers(t, in, 0, 1)
	_, err := r.Poll(func(record client.Record) error { return forward.TrySend(record.Payload) }, 1)
	wantRemoved(t, "poll", err, "out", epoch, 0, "no ring of that name")
	sendNumbers(t, in, 1, 2)
	wantNumbers(t, r, 1, 2)
}

// TestTimeoutsSayWhatWasWaitedFor and how long, and not the words of package
// context.
func TestTimeoutsSayWhatWasWaitedFor(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	brief := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	check := func(what string, err error, is error, says ...string) {
		t.Helper()
		wantError(t, what, err, is, append(says, "(waited ")...)
		if strings.Contains(err.Error(), "context") || strings.Contains(err.Error(), "deadline") {
			t.Errorf("%s: got %q", what, err)
		}
	}
	err := c.WaitRing(brief(), "md")
	check("a ring", err, client.ErrRingNotFound, "no ring md")
	check("a ring", err, context.DeadlineExceeded)

	d.kill()
	eventually(t, "the loss is noticed", func() bool {
		_, err = c.Rings(brief())
		return err != nil
	})
	check("a daemon that went away", err, context.DeadlineExceeded)
	check("a daemon that went away", err, client.ErrUnreachable, d.socket)
	if strings.Count(err.Error(), "unreachable") != 1 {
		t.Errorf("got %q, which says twice that it is unreachable", err)
	}

	absent := client.Options{Socket: d.base + "/absent", WaitFor: 20 * time.Millisecond}
	_, err = client.Dial(t.Context(), absent)
	check("dial", err, client.ErrUnreachable, absent.Socket, "(waited 20ms)")
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial, no deadline: got %v", err)
	}
	absent.WaitFor = waitMax
	_, err = client.Dial(brief(), absent)
	check("dial until the context ends", err, client.ErrUnreachable, "does not exist")
	check("dial until the context ends", err, context.DeadlineExceeded)
	passed, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	_, err = client.Dial(passed, client.Options{Socket: d.socket})
	check("dial too late", err, client.ErrUnreachable, "(waited 0s)")
}
