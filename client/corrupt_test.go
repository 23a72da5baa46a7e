package client_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"brokerd/client"
)

// TestCorruptRing: who was attached to a ring that was spoilt learns the epoch of its
// successor, attaches to that, and may let go of the old one whenever it likes, though
// attachments of the new one have the same ids.
func TestCorruptRing(t *testing.T) {
	d := startDaemon(t)
	c, other := dialDaemon(t, d), dialDaemon(t, d)
	ctx := t.Context()
	was := createRing(t, c, "md")
	p, r, idle := producer(t, c, "md", client.ProducerOptions{}), consumer(t, c, "md", client.ConsumerOptions{}), consumer(t, c, "md", client.ConsumerOptions{})
	data := filepath.Join(d.base, "rings", "md", "data")
	if err := os.Truncate(data, 0); err != nil {
		t.Fatal(err)
	}
	_, err := r.Receive(ctx)
	var corrupt *client.CorruptError
	if !errors.As(err, &corrupt) || !errors.Is(err, client.ErrFault) {
		t.Fatalf("got %v, want a *CorruptError that is a fault", err)
	}
	now, err := c.DescribeRing(ctx, "md")
	if err != nil || now.Ring.Epoch <= was.Epoch || now.Stats.State != client.StateLive {
		t.Fatalf("%+v, %v", now, err)
	}
	if corrupt.Ring != "md" || corrupt.Epoch != was.Epoch || corrupt.Current != now.Ring.Epoch {
		t.Errorf("%+v, the epochs are %d and %d", corrupt, was.Epoch, now.Ring.Epoch)
	}
	if _, again := r.TryReceive(); again != error(corrupt) {
		t.Errorf("then %v, first %v", again, corrupt)
	}
	wantError(t, "the producer", p.Send(ctx, nil), client.ErrFault, fmt.Sprintf("made anew with epoch %d, attach again", corrupt.Current))

	p2, r2 := producer(t, other, "md", client.ProducerOptions{}), consumer(t, other, "md", client.ConsumerOptions{})
	if p2.ID() != p.ID() || r2.ID() != r.ID() || p2.Ring().Epoch != corrupt.Current {
		t.Fatalf("%s and %s of epoch %d", p2.ID(), r2.ID(), p2.Ring().Epoch)
	}
	if err := errors.Join(p.Close(), r.Close(), idle.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := p2.Send(ctx, []byte("on")); err != nil {
		t.Error(err)
	}
	if got, err := r2.Receive(ctx); err != nil || string(got.Payload) != "on" {
		t.Errorf("%q, %v", got.Payload, err)
	}
	if list, err := c.Attachments(ctx, "md"); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if out, err := c.CollectGarbage(ctx, false); err != nil || len(out.Garbage) != 1 || !out.Garbage[0].Deleted || out.Garbage[0].Kind != client.GarbageQuarantined {
		t.Errorf("%+v, %v", out, err)
	}
}
