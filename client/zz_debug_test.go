package client

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	a := os.Getenv("ZZ")
	if a == "" {
		t.Skip()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := DialTCP(ctx, TCPOptions{Address: a, Plain: true, Name: "cl"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Consumer(ctx, "md", ConsumerOptions{Name: "r", Policy: PolicyBlock, From: FromOldest()})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		_, err := c.Receive(ctx)
		if err != nil {
			t.Log(n, err, c.Stats())
			break
		}
		n++
		if n%5000 == 0 || n > 32760 {
			r.mu.Lock()
			k, l, err := c.a.origin.cargo.(*inbound).mirror.Progress()
			t.Log(n, c.Stats2(), k, l, err, r.line.link.Streams())
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	k, l, err := c.a.origin.cargo.(*inbound).mirror.Progress()
	t.Log(n, k, l, err, r.line.link.Streams())
	r.mu.Unlock()
	t.Log(r.Close())
}
func (r *Consumer) Stats2() any { return r.ring.Stats() }
