package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// callWriteTimeout bounds how long a daemon that reads nothing holds a call up.
const callWriteTimeout = 5 * time.Second

// errBroken says that the connection broke before a call was answered.
var errBroken = errors.New("the connection broke")

// errUnanswered says that a context ended while a call was under way.
var errUnanswered = errors.New("no answer")

// link is one connection to the daemon, from dial to break. Calls take turns;
// one goroutine, the Client's, runs read.
type link struct {
	conn *unixconn.Conn
	turn chan struct{} // holds a token while a call is under way

	mu      sync.Mutex
	asked   *question     // the call under way
	cause   error         // why the link broke
	broken  chan struct{} // closed by shut
	closing bool
}

// question is one call and the place for its answer.
type question struct {
	answer    chan answer // has room for one
	abandoned bool        // under link.mu: nobody waits any more
}

// answer is a reply and the files that rode with it, which its taker closes.
type answer struct {
	reply wire.Reply
	files []*os.File
}

func newLink(conn *unixconn.Conn) *link {
	return &link{conn: conn, turn: make(chan struct{}, 1), broken: make(chan struct{})}
}

// call sends one call and waits for its answer, for its turn before that, or
// for ctx. The error wraps errBroken, or is the context's, or tells why the
// call cannot be sent at all. What the daemon replied is in the answer, errors
// too. An answer that comes after ctx has ended is undone by read.
func (l *link) call(ctx context.Context, method string, in any) (answer, error) {
	frame, err := encodeCall(method, in, false, false)
	if err != nil {
		return answer{}, err
	}
	select {
	case l.turn <- struct{}{}:
	case <-l.broken:
		return answer{}, l.why()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	q := &question{answer: make(chan answer, 1)}
	l.mu.Lock()
	l.asked = q
	l.mu.Unlock()
	if err := l.write(frame); err != nil {
		l.shut(err)
		return answer{}, l.why()
	}
	select {
	case a := <-q.answer:
		return a, nil
	case <-l.broken:
		return answer{}, l.why()
	case <-ctx.Done():
		return l.abandon(q, ctx.Err())
	}
}

// abandon gives a call up, unless its answer came at the same moment.
func (l *link) abandon(q *question, cause error) (answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case a := <-q.answer:
		return a, nil
	default:
		q.abandoned = true
		return answer{}, cause
	}
}

// ask is call for a caller that reads the connection itself, because read does
// not run yet.
func (l *link) ask(method string, in any) (answer, error) {
	frame, err := encodeCall(method, in, false, false)
	if err != nil {
		return answer{}, err
	}
	if err := l.write(frame); err != nil {
		return answer{}, err
	}
	return receive(l.conn)
}

// read hands answers to those who asked until the connection ends, and says why
// it did. One goroutine calls it, once.
func (l *link) read() error {
	for {
		a, err := receive(l.conn)
		if err != nil {
			return err
		}
		l.mu.Lock()
		q := l.asked
		l.asked = nil
		given := q != nil && !q.abandoned
		if given {
			q.answer <- a
		}
		l.mu.Unlock()
		if q == nil {
			unixconn.CloseFiles(a.files)
			if err := a.reply.Decode(nil); a.reply.Error != "" {
				return err // a daemon that turns a connection away says why
			}
			return fmt.Errorf("%w: a reply that nobody asked for", ErrProtocol)
		}
		if !given {
			l.undo(a)
		}
		<-l.turn
	}
}

// undo ends an attachment that was granted to a caller who is gone.
func (l *link) undo(a answer) {
	unixconn.CloseFiles(a.files)
	var out wire.AttachOut
	if a.reply.Decode(&out) != nil || out.Attachment.ID == "" {
		return
	}
	frame, err := encodeCall(wire.MethodDetach, wire.DetachIn{ID: out.Attachment.ID, Epoch: &out.Ring.Epoch}, true, false)
	if err == nil {
		err = l.write(frame)
	}
	if err != nil {
		l.shut(err) // the daemon takes the slot back when the connection ends
	}
}

func (l *link) write(frame []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(callWriteTimeout)); err != nil {
		return err
	}
	return l.conn.WriteMessage(frame, nil)
}

// shut ends the link for a reason; only the first one counts.
func (l *link) shut(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return
	}
	l.closing = true
	l.cause = cause
	close(l.broken)
	_ = l.conn.Close() // what it held is lost already, and the cause is known
}

func (l *link) isBroken() bool {
	select {
	case <-l.broken:
		return true
	default:
		return false
	}
}

func (l *link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Errorf("%w: %w", errBroken, l.cause)
}

func encodeCall(method string, in any, oneway, more bool) ([]byte, error) {
	parameters, err := wire.EncodeParameters(in)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCall(wire.Call{Method: method, Parameters: parameters, Oneway: oneway, More: more})
}

// receive reads one reply.
func receive(conn *unixconn.Conn) (answer, error) {
	data, files, err := conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax, WantFiles: true})
	if err != nil {
		return answer{}, err
	}
	reply, err := wire.DecodeReply(data)
	if err != nil {
		unixconn.CloseFiles(files)
		return answer{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return answer{reply: reply, files: files}, nil
}
