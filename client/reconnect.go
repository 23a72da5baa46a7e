package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// notReadyPause is how long to wait before asking a daemon again that starts, or
// lacks something.
const notReadyPause = 20 * time.Millisecond

// run reads the connection, and when it breaks makes another one, until Close.
// It is the Client's one goroutine.
func (c *Client) run(l *link) {
	defer close(c.joined)
	for l != nil {
		l.shut(l.read())
		c.lose(l)
		l = c.redial()
	}
}

// lose notes that there is no connection.
func (c *Client) lose(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.away = nil, l.why()
	c.announce()
}

// announce tells those who wait in connected. c.mu is held.
func (c *Client) announce() {
	close(c.turned)
	c.turned = make(chan struct{})
}

// redial returns a connection on which everything is registered again, or nil
// after Close.
func (c *Client) redial() *link {
	for delay := redialDelayMin; sleep(c.life, delay); delay = min(2*delay, redialDelayMax) {
		conn, err := c.server.dial(c.life)
		if err == nil {
			l := newLink(conn)
			if err = c.resume(l); err == nil {
				return l
			}
			l.shut(err)
		}
		c.mu.Lock()
		c.away = err
		c.mu.Unlock()
	}
	return nil
}

// resume registers again what this process holds, detaches what it gave back
// meanwhile, and then lets calls use l. Nobody reads l yet but this function.
// An error means that the connection broke.
func (c *Client) resume(l *link) error {
	stop := context.AfterFunc(c.life, func() { l.shut(ErrClosed) })
	defer stop()
	c.mu.Lock()
	var held []*attachment
	for a := range c.held {
		held = append(held, a)
	}
	c.mu.Unlock()
	for _, a := range held {
		if err := c.reattach(l, a); err != nil {
			return err
		}
	}
	for {
		c.mu.Lock()
		dropped := c.dropped
		c.dropped = nil
		if len(dropped) == 0 && c.life.Err() == nil {
			c.link, c.away = l, nil
			c.announce()
		}
		c.mu.Unlock()
		if len(dropped) == 0 {
			return c.life.Err()
		}
		if err := c.detachAll(l, dropped); err != nil {
			return err
		}
	}
}

// reattach registers one attachment again. A refusal ends the attachment; only
// a broken connection is an error.
func (c *Client) reattach(l *link, a *attachment) error {
	in := a.request
	in.Epoch = &a.ring.Epoch
	got, err := c.askReady(l, wire.MethodAttach, in)
	if err != nil {
		return err
	}
	unixconn.CloseFiles(got.files) // the ring is mapped already
	var out wire.AttachOut
	if err := got.reply.Decode(&out); err != nil {
		a.lose(a.refusal(err)...)
		return nil
	}
	now, before := out.Attachment, a.info
	if now.Slot == before.Slot && now.Generation == before.Generation && now.Epoch == before.Epoch {
		return nil
	}
	a.lose(fmt.Errorf("the daemon gave its slot away: it was %s and would be %s now", before.ID, now.ID))
	_, err = c.askReady(l, wire.MethodDetach, wire.DetachIn{ID: now.ID})
	return err
}

// detachAll gives attachments back; one that is gone already is no error. What
// the connection breaks off is kept for the next one.
func (c *Client) detachAll(l *link, holds []wire.DetachIn) error {
	for i, hold := range holds {
		if _, err := c.askReady(l, wire.MethodDetach, hold); err != nil {
			c.mu.Lock()
			c.dropped = append(c.dropped, holds[i:]...)
			c.mu.Unlock()
			return err
		}
	}
	return nil
}

// askReady asks until the daemon is ready to answer, and has what the answer takes:
// one that is short of descriptors now gets some back, and the process goes on
// meanwhile. Staying on one connection keeps what was registered on it.
func (c *Client) askReady(l *link, method string, in any) (answer, error) {
	for {
		a, err := l.ask(method, in)
		if err != nil {
			return answer{}, err
		}
		if err := a.reply.Decode(&struct{}{}); !errors.Is(err, ErrNotReady) && !errors.Is(err, ErrLimitExceeded) {
			return a, nil
		}
		if !sleep(c.life, notReadyPause) {
			return answer{}, ErrClosed
		}
	}
}
