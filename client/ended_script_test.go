package client

import (
	"errors"
	"os"
	"strings"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// attached lends slot 1 of a ring to a consumer, which a daemon grants as out.
func attached(t *testing.T, c *Client, p *peer, o ConsumerOptions, out wire.AttachOut, files []*os.File) (*Consumer, wire.AttachIn) {
	t.Helper()
	var r *Consumer
	done := background(func() (err error) {
		r, err = c.Consumer(t.Context(), "md", o)
		return err
	})
	var in wire.AttachIn
	if err := wire.DecodeParameters(p.next(wire.MethodAttach).Parameters, &in); err != nil {
		t.Fatal(err)
	}
	p.reply(out, files...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return r, in
}

// receives is the error of TryReceive in the background.
func receives(r *Consumer) <-chan error {
	return background(func() error {
		_, err := r.TryReceive()
		return err
	})
}

// detached answers the calls of a consumer that closes.
func detached(t *testing.T, p *peer, r *Consumer) {
	t.Helper()
	done := background(r.Close)
	p.next(wire.MethodDetach)
	p.reply(wire.DetachOut{})
	if err := <-done; err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestWhatTheDaemonSaysOfAnEnd puts words to each of its answers, and asks once.
func TestWhatTheDaemonSaysOfAnEnd(t *testing.T) {
	removed := func(r *shmring.Ring) error { return r.SetState(shmring.StateRemoved) }
	ended := func(r *shmring.Ring) error { return r.UnbindConsumer(1) }
	list := func(a ...wire.Attachment) wire.Reply { return replyOf(t, wire.ListAttachmentsOut{Attachments: a}) }
	ring := func(epoch uint64) wire.Reply {
		return replyOf(t, wire.DescribeRingOut{Ring: wire.Ring{Name: "md", Epoch: epoch}})
	}
	for name, tc := range map[string]struct {
		end    func(*shmring.Ring) error
		method string
		reply  wire.Reply
		is     error
		says   string
	}{
		"the reason": {ended, wire.MethodListAttachments, list(wire.Attachment{ID: "md/c1.2", EndedReason: "another's"},
			wire.Attachment{ID: "md/c1.3", EndedReason: "allow.consume of ring md no longer names uid 7"}), ErrDetached,
			"attachment was ended by the daemon: md/c1.3: allow.consume of ring md no longer names uid 7"},
		"no reason":  {ended, wire.MethodListAttachments, list(wire.Attachment{ID: "md/c1.3"}), ErrDetached, "md/c1.3: it gives no reason"},
		"not listed": {ended, wire.MethodListAttachments, list(), ErrDetached, "md/c1.3: it does not list it any more"},
		"no ring":    {ended, wire.MethodListAttachments, wire.RingNotFound("md", "there is no ring md").Reply(), ErrDetached, "why is unknown: there is no ring md"},
		"removed":    {removed, wire.MethodDescribeRing, wire.RingNotFound("md", "there is no ring md").Reply(), ErrRemoved, "no ring of that name now"},
		"made anew":  {removed, wire.MethodDescribeRing, ring(6), ErrRemoved, "md of epoch 5; it was made anew with epoch 6"},
		"the same":   {removed, wire.MethodDescribeRing, ring(5), ErrRemoved, "unknown: the daemon still lists it as it was"},
		"a refusal":  {removed, wire.MethodDescribeRing, wire.Failed("out of memory").Reply(), ErrRemoved, "unknown: out of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := newScript(t).dial()
			mem := lender(t)
			out, files := grant(t, mem, 3)
			r, _ := attached(t, c, p, ConsumerOptions{}, out, files)
			if err := tc.end(mem); err != nil {
				t.Fatal(err)
			}
			done := receives(r)
			p.next(tc.method)
			p.send(tc.reply)
			first := <-done
			if !errors.Is(first, tc.is) || !strings.Contains(first.Error(), tc.says) || IsRefused(first) {
				t.Errorf("got %v, want %v that says %q", first, tc.is, tc.says)
			}
			if again := <-receives(r); again != first {
				t.Errorf("the second time: got %v", again)
			}
			detached(t, p, r)
		})
	}
}

func replyOf(t *testing.T, out any) wire.Reply {
	t.Helper()
	parameters, err := wire.EncodeParameters(out)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Reply{Parameters: parameters}
}

// TestNoAnswerOfAnEnd asks a daemon that does not answer, and goes on.
func TestNoAnswerOfAnEnd(t *testing.T) {
	c, p := newScript(t).dial()
	mem := lender(t)
	out, files := grant(t, mem, 3)
	r, _ := attached(t, c, p, ConsumerOptions{}, out, files)
	if err := mem.UnbindConsumer(1); err != nil {
		t.Fatal(err)
	}
	err := <-receives(r)
	if !errors.Is(err, ErrDetached) || !strings.Contains(err.Error(), "why is unknown") || errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	p.next(wire.MethodListAttachments)
	p.reply(wire.ListAttachmentsOut{})
	detached(t, p, r)
}

// TestLossesAreNotAskedAbout: the daemon has told already.
func TestLossesAreNotAskedAbout(t *testing.T) {
	c, p := newScript(t).dial()
	mem := lender(t)
	out, files := grant(t, mem, 3)
	r, _ := attached(t, c, p, ConsumerOptions{}, out, files)
	why := errors.New("the test says so")
	r.a.lose(why)
	if err := mem.SetState(shmring.StateRemoved); err != nil {
		t.Fatal(err)
	}
	if _, err := r.TryReceive(); !errors.Is(err, ErrLost) || !errors.Is(err, why) || errors.Is(err, ErrRemoved) {
		t.Errorf("got %v, want what the daemon said", err)
	}
	if err := r.Close(); !errors.Is(err, why) {
		t.Errorf("close: %v", err)
	}
}

// TestRefusalsOnReturn are what a daemon says that came back without the ring.
func TestRefusalsOnReturn(t *testing.T) {
	a := &attachment{ring: wire.Ring{Name: "md", Epoch: 5}, info: wire.Attachment{ID: "md/c1.3"}}
	for _, tc := range []struct {
		err     error
		removed bool
		current uint64
		says    string
	}{
		{wire.EpochChanged("md", 5, 9, "ring md was created again"), true, 9, "with epoch 9"},
		{wire.RingNotFound("md", "there is no ring md"), true, 0, "no ring of that name"},
		{&wire.Error{Name: ErrEpochChanged, Message: "x", Parameters: []byte(`{"current": "nine"}`)}, true, 0, "is unknown"},
		{wire.AccessDenied("allow.consume", "you may not"), false, 0, "you may not"},
	} {
		err := error(&lostError{id: a.info.ID, why: a.refusal(tc.err)})
		var removed *RemovedError
		if errors.As(err, &removed) != tc.removed || tc.removed && (removed.Current != tc.current || removed.Epoch != 5) {
			t.Errorf("%v: got %#v", tc.err, removed)
		}
		if !errors.Is(err, ErrLost) || !errors.Is(err, tc.err) || errors.Is(err, ErrRemoved) != tc.removed || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: got %v, want it to say %q", tc.err, err, tc.says)
		}
		if a.explain(err) != err {
			t.Errorf("%v: explained twice", err)
		}
	}
}

// TestResumedIsTheDaemonsWord starts at the cursor in the page only when the
// daemon says that it is the caller's.
func TestResumedIsTheDaemonsWord(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		c, p := newScript(t).dial()
		mem := lender(t)
		feed := feedOf(t, mem)
		out, files := grant(t, mem, 3)
		out.Ring.ResumeForNS = 1
		r, in := attached(t, c, p, ConsumerOptions{Name: "risk", From: FromOldest()}, out, files)
		if in.Resume {
			t.Error("asked to resume from oldest")
		}
		for range 3 {
			if err := feed.Send(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := r.TryReceive(); err != nil {
				t.Fatal(err)
			}
		}
		detached(t, p, r)

		if err := mem.ResumeConsumer(1, shmring.Binding{Generation: 4, Policy: shmring.PolicySkip}); err != nil {
			t.Fatal(err)
		}
		data, cursor, err := mem.LendConsumer(1)
		if err != nil {
			t.Fatal(err)
		}
		out.Attachment.Generation, out.Resumed = 4, resumed
		r, in = attached(t, c, p, ConsumerOptions{Name: "risk", From: FromResume()}, out, []*os.File{cursor, data})
		want := uint64(0)
		if resumed {
			want = 2
		}
		if !in.Resume || r.Resumed() != resumed || r.Sequence() != want {
			t.Errorf("daemon says resumed %v: asked %v, resumed %v, begins at record %d, want %d", resumed, in.Resume, r.Resumed(), r.Sequence(), want)
		}
		detached(t, p, r)
	}
}
