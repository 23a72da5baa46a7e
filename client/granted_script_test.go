package client

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// TestConnectionBreaksAfterTheGrant: a daemon that dies while the ring that it has just
// granted is being opened has told its successor nothing but what is on record. The
// client asks again with the token, and gets that attachment.
func TestConnectionBreaksAfterTheGrant(t *testing.T) {
	s, mem := newScript(t), lender(t)
	c, p := s.dial()
	out, files := grant(t, mem, 3)
	first, broken := p.conn, false
	in := wire.AttachIn{Ring: "md", Role: wire.RoleConsumer}
	var a *attachment
	done := background(func() (err error) {
		a, err = c.attach(t.Context(), in, func(_ *attachment, f lent) (func() error, error) {
			if !broken {
				broken = true
				err := errors.Join(first.Close(), away(t.Context(), c))
				unixconn.CloseFiles(append(f.cursors, f.data))
				return func() error { return nil }, err
			}
			r, err := shmring.OpenConsumer(f.data, f.cursors[0], shmring.ConsumerOptions{Slot: 1, Generation: 3, Policy: shmring.PolicySkip})
			if err != nil {
				return nil, err
			}
			return r.Close, nil
		})
		return err
	})
	tokens := []string{tokenOf(t, p)}
	p.reply(out, files...)
	p = s.accept()
	tokens = append(tokens, tokenOf(t, p))
	data, cursor, err := mem.LendConsumer(1)
	if err != nil {
		t.Fatal(err)
	}
	p.reply(out, []*os.File{cursor, data}...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if tokens[0] != tokens[1] || tokens[0] == "" || a.id() != out.Attachment.ID {
		t.Errorf("tokens %q, attachment %s", tokens, a.id())
	}
	closing := background(a.close)
	p.next(wire.MethodDetach)
	p.reply(wire.DetachOut{})
	if err := <-closing; err != nil {
		t.Error(err)
	}
}

// tokenOf reads a call of Attach.
func tokenOf(t *testing.T, p *peer) string {
	t.Helper()
	var in wire.AttachIn
	if err := wire.DecodeParameters(p.next(wire.MethodAttach).Parameters, &in); err != nil {
		t.Fatal(err)
	}
	return in.Token
}

// away waits until the client knows that the connection is gone.
func away(ctx context.Context, c *Client) error {
	for ctx.Err() == nil {
		c.mu.Lock()
		gone := c.link == nil
		c.mu.Unlock()
		if gone {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}
