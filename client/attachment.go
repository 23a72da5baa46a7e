package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"brokerd/internal/shmring"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// tokenBytes is the length of the random token, in hex twice as many letters,
// by which a restarted daemon recognises an attachment.
const tokenBytes = 16

// side is who granted an attachment: the daemon of this host (Client) or one
// across TCP (stream).
type side interface {
	// forget makes an attachment one that is not held any more; false when it was not.
	forget(a *attachment) bool
	// giveBack tells that a slot is free, now or later.
	giveBack(a *attachment) error
	// why explains ErrRemoved or ErrDetached.
	why(a *attachment, err error) error
}

// attachment is the control side of a Producer or Consumer.
type attachment struct {
	side    side
	origin  *stream         // where the ring is one of another host, else nil
	request wire.AttachIn   // as made the first time, with the token
	ring    wire.Ring       // as lent
	info    wire.Attachment // as first granted
	resumed bool            // it took a cursor over
	unmap   func() error    // closes the mapped side
	gone    atomic.Pointer[ending]
	closed  bool // like the mapped side, used by one goroutine at a time
}

// lostError says why the daemon does not take an attachment again.
type lostError struct {
	id  string
	why []error // in other words of one another
}

func (e *lostError) Error() string   { return fmt.Sprintf("%v: %s: %v", ErrLost, e.id, e.why[0]) }
func (e *lostError) Unwrap() []error { return append([]error{ErrLost}, e.why...) }

// ending is how an attachment ended: the first that was known of it.
type ending struct{ err error }

// lent is what the daemon lends: the files are the taker's to close.
type lent struct {
	data    *os.File
	cursors []*os.File
}

// attach asks for an attachment and opens its mapped side with open, which
// closes the files in every case and returns what closes the mapping. It
// asks again when the connection breaks, be it that the attachment was granted
// over it and the daemon that comes back has yet to hear of it: the token makes
// that one attachment.
func (c *Client) attach(ctx context.Context, in wire.AttachIn, open func(*attachment, lent) (func() error, error)) (*attachment, error) {
	var token [tokenBytes]byte
	_, _ = rand.Read(token[:]) // never fails (crypto/rand)
	in.Token = hex.EncodeToString(token[:])
	in.NoMembarrier = !shmring.HasMembarrier()
	var granted *attachment // by a connection that has broken since
	for {
		a, l, err := c.granted(ctx, in, open)
		switch {
		case err == nil && c.keep(l, a):
			return a, nil
		case err == nil:
			granted, err = a, a.unmap()
		case a != nil:
			granted = a
		}
		if err != nil {
			if granted != nil {
				err = errors.Join(err, c.detach(granted.hold()))
			}
			return nil, err
		}
	}
}

// granted asks for an attachment and opens its mapped side, and says which
// connection granted it. With an error that came after the grant there is an
// attachment, too.
func (c *Client) granted(ctx context.Context, in wire.AttachIn, open func(*attachment, lent) (func() error, error)) (*attachment, *link, error) {
	got, l, err := c.answered(ctx, wire.MethodAttach, in)
	if err != nil {
		return nil, nil, err
	}
	var out wire.AttachOut
	if err := got.reply.Decode(&out); err != nil {
		unixconn.CloseFiles(got.files)
		return nil, nil, err
	}
	a := &attachment{side: c, request: in, ring: out.Ring, info: out.Attachment, resumed: out.Resumed}
	files, err := pick(out.Files, got.files)
	if err == nil {
		a.unmap, err = open(a, files)
		err = a.explain(err)
	}
	return a, l, err
}

// keep notes a for the time when the connection breaks. false: it has broken
// already since a was granted.
func (c *Client) keep(l *link, a *attachment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l || l.isBroken() {
		return false
	}
	c.held[a] = struct{}{}
	return true
}

// pick finds the lent files among those that came with the reply and closes
// the others. On error it closes all.
func pick(where wire.Files, files []*os.File) (lent, error) {
	left := append([]*os.File{}, files...)
	take := func(index int) *os.File {
		if index < 0 || index >= len(left) {
			return nil
		}
		f := left[index]
		left[index] = nil
		return f
	}
	got := lent{data: take(where.Data)}
	ok := got.data != nil
	for _, index := range where.Cursors {
		f := take(index)
		ok = ok && f != nil
		got.cursors = append(got.cursors, f)
	}
	if !ok {
		unixconn.CloseFiles(files)
		return lent{}, fmt.Errorf("%w: %d files came with the reply, and data %d, cursors %v do not name one each",
			ErrProtocol, len(files), where.Data, where.Cursors)
	}
	unixconn.CloseFiles(left)
	return got, nil
}

// lose ends the attachment for a reason, whose first words are shown.
func (a *attachment) lose(why ...error) {
	a.side.forget(a) // first: who is told of the loss finds that Close has nothing to do with it
	a.end(&lostError{id: a.info.ID, why: why})
}

// end ends the attachment with an error, unless it has ended already.
func (a *attachment) end(err error) { a.gone.CompareAndSwap(nil, &ending{err}) }

// id is the one that it is listed with.
func (a *attachment) id() string {
	if a.origin != nil {
		return a.origin.attachmentID()
	}
	return a.info.ID
}

// lost is the error that the attachment ended with, or nil.
func (a *attachment) lost() error {
	if e := a.gone.Load(); e != nil {
		return e.err
	}
	return nil
}

// close closes the mapped side first, so that the ring is right whatever comes
// of the daemon, and then gives the slot back.
func (a *attachment) close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	held := a.side.forget(a)
	err := a.unmap()
	if held {
		err = errors.Join(err, a.side.giveBack(a))
	}
	if lost := a.lost(); errors.Is(lost, ErrLost) && !errors.Is(err, ErrLost) {
		err = errors.Join(err, lost)
	}
	return err
}

func (c *Client) forget(a *attachment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := c.held[a]
	delete(c.held, a)
	return held
}

func (c *Client) giveBack(a *attachment) error { return c.detach(a.hold()) }

// hold names the attachment and no other, even when the ring is made anew: ids come
// again then.
func (a *attachment) hold() wire.DetachIn {
	return wire.DetachIn{ID: a.info.ID, Epoch: &a.ring.Epoch}
}

// detach gives a slot back now, or when the daemon is back. An attachment that
// the daemon has ended already is no error, and neither is a daemon that does
// not answer: the ring is in order without it, and the slot is free at the
// latest when this process ends.
func (c *Client) detach(hold wire.DetachIn) error {
	ctx, cancel := context.WithTimeout(c.life, detachTimeout)
	defer cancel()
	for !c.dropLater(hold, false) {
		err := c.call(ctx, wire.MethodDetach, hold, &wire.DetachOut{})
		switch {
		case errors.Is(err, errBroken):
			continue // now it is away, or back
		case errors.Is(err, ErrUnreachable):
			c.dropLater(hold, true)
			return nil
		case errors.Is(err, ErrAttachmentNotFound):
			return nil
		default:
			return err
		}
	}
	return nil
}

// dropLater leaves a detach to the next connection, if there is none now or if
// it must be.
func (c *Client) dropLater(hold wire.DetachIn, must bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !must && c.link != nil && !c.link.isBroken() {
		return false
	}
	c.dropped = append(c.dropped, hold)
	return true
}
