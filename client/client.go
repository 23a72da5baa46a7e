package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// Redial delays: the first, and the longest that doubling leads to.
const (
	redialDelayMin = 10 * time.Millisecond
	redialDelayMax = 250 * time.Millisecond
)

// detachTimeout bounds how long closing an attachment waits for the daemon.
const detachTimeout = 2 * time.Second

// Client is a connection to the daemon that mends itself. Dial makes one.
type Client struct {
	server server
	life   context.Context // ends with Close
	end    context.CancelFunc
	joined chan struct{} // closed when the goroutine of Dial has returned

	mu      sync.Mutex
	link    *link         // nil while the daemon is away
	turned  chan struct{} // closed and renewed whenever link changes
	away    error         // why link is nil
	held    map[*attachment]struct{}
	dropped []wire.DetachIn // to send when the daemon is back
}

// Dial connects to the daemon. It fails with ErrUnreachable, after o.WaitFor or
// when ctx ends. It starts the Client's one goroutine, which Close joins.
func Dial(ctx context.Context, o Options) (*Client, error) {
	to := serverAt(o.Socket)
	conn, err := to.dialFor(ctx, o.WaitFor)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	c := &Client{
		server: to, life: life, end: end, joined: make(chan struct{}),
		link: newLink(conn), turned: make(chan struct{}), held: map[*attachment]struct{}{},
	}
	go c.run(c.link)
	return c, nil
}

// sleep waits for d; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Socket is the path of the control socket that this Client uses.
func (c *Client) Socket() string { return c.server.socket }

// Close closes the Producers and Consumers that are still open, which must not
// be in use at that moment, and the connection. While the daemon is away it
// cannot be told: it keeps their slots until this process ends. The error is
// the first one that closing an attachment gave.
func (c *Client) Close() error {
	c.mu.Lock()
	var open []*attachment
	for a := range c.held {
		open = append(open, a)
	}
	c.mu.Unlock()
	var first error
	for _, a := range open {
		if err := a.close(); err != nil && first == nil {
			first = err
		}
	}
	c.end()
	c.mu.Lock()
	if c.link != nil {
		c.link.shut(ErrClosed)
	}
	c.mu.Unlock()
	<-c.joined
	return first
}

// answered is call for methods that may safely be carried out twice: it asks
// again when the connection breaks.
func (c *Client) answered(ctx context.Context, method string, in any) (answer, *link, error) {
	for begin := time.Now(); ; {
		a, l, err := c.once(ctx, begin, method, in)
		if !errors.Is(err, errBroken) {
			return a, l, err
		}
	}
}

// once makes one call over the connection, after waiting for one; begin is when
// the caller began to wait. Errors are ErrUnreachable (wrapping errBroken when
// the call may have been carried out) and ErrClosed.
func (c *Client) once(ctx context.Context, begin time.Time, method string, in any) (answer, *link, error) {
	l, err := c.connected(ctx, begin)
	if err != nil {
		return answer{}, nil, err
	}
	a, err := l.call(ctx, method, in)
	switch {
	case err == nil:
		return a, l, nil
	case c.life.Err() != nil:
		return a, l, ErrClosed
	case errors.Is(err, errBroken):
		return a, l, unreachable(c.server.socket, fmt.Errorf("%s may or may not have been carried out: %w", method, err))
	case ctx.Err() != nil:
		return a, l, c.late(ctx, begin, fmt.Errorf("%w to %s", errUnanswered, method))
	default:
		return a, l, err
	}
}

// late is the error of a context that ended before the daemon answered.
func (c *Client) late(ctx context.Context, begin time.Time, what error) error {
	if !errors.Is(ctx.Err(), context.Canceled) && !errors.Is(what, ErrUnreachable) {
		what = unreachable(c.server.socket, what)
	}
	return overdue(ctx, begin, what)
}

// connected waits for the connection; begin is when the caller began to.
func (c *Client) connected(ctx context.Context, begin time.Time) (*link, error) {
	for {
		c.mu.Lock()
		l, turned, away := c.link, c.turned, c.away
		c.mu.Unlock()
		if c.life.Err() != nil {
			return nil, ErrClosed
		}
		if l != nil && !l.isBroken() {
			return l, nil
		}
		select {
		case <-turned:
		case <-c.life.Done():
		case <-ctx.Done():
			if away == nil {
				away = errBroken
			}
			return nil, c.late(ctx, begin, away)
		}
	}
}

// call makes a call that must not be carried out twice and decodes its reply.
func (c *Client) call(ctx context.Context, method string, in, out any) error {
	a, _, err := c.once(ctx, time.Now(), method, in)
	if err != nil {
		return err
	}
	return a.decode(out)
}

// query makes a call that changes nothing and decodes its reply.
func (c *Client) query(ctx context.Context, method string, in, out any) error {
	a, _, err := c.answered(ctx, method, in)
	if err != nil {
		return err
	}
	return a.decode(out)
}

// decode fills out from a reply that bears no files, or returns its *Error.
func (a answer) decode(out any) error {
	unixconn.CloseFiles(a.files)
	return a.reply.Decode(out)
}
