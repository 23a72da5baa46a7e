package control

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/process"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// session is one connection. Its methods run in the goroutine of run, and read
// in that of readAhead while a stream is sent.
type session struct {
	server  *Server
	seat    *seat
	conn    *unixconn.Conn
	subject subject
	peer    unixconn.Peer
	ahead   *message // read while a stream was sent

	process    *process.Handle // of the peer, opened when first needed; owned
	processErr error
}

// message is one call as it was read, or why there is none.
type message struct {
	data []byte
	err  error
}

func newSession(s *Server, seat *seat, conn *unixconn.Conn, peer unixconn.Peer) *session {
	t := &session{server: s, seat: seat, conn: conn, peer: peer, subject: seat.who}
	if peer.PIDFD == nil {
		t.who() // by number alone, so at once, before the number means another
	}
	return t
}

// run answers calls in the order they come until the connection ends.
func (t *session) run(ctx context.Context) {
	defer t.leave()
	for {
		m := t.next()
		if m.err != nil {
			t.farewell(m.err)
			return
		}
		if !t.server.seats.begin(t.seat) {
			return
		}
		goesOn := t.serve(ctx, m.data)
		if !t.server.seats.end(t.seat) || !goesOn {
			return
		}
	}
}

// leave ends the connection. The broker hears of it only when the client ended
// it: what a stopping daemon closes stays attached for the next one.
func (t *session) leave() {
	_ = t.conn.Close() // the server may have closed it already
	if t.process != nil {
		_ = t.process.Close() // a pidfd: nothing to lose
	}
	if byServer := t.server.seats.leave(t.seat); !byServer {
		t.server.o.Broker.ConnectionClosed(t.seat.conn)
	}
}

// next is the next call, be it one that readAhead has read already.
func (t *session) next() message {
	if m := t.ahead; m != nil {
		t.ahead = nil
		return *m
	}
	return t.read()
}

func (t *session) read() message {
	data, _, err := t.conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.CallBytesMax, PartialTimeout: t.server.waits.halfCall})
	return message{data, err}
}

// farewell tells a client that broke the framing what it did. Nothing can be
// read after that: where the next call begins is unknown.
func (t *session) farewell(err error) {
	var why *wire.Error
	switch {
	case errors.Is(err, unixconn.ErrMessageTooLarge):
		why = wire.InvalidParameter("call", "the call has no end within %d bytes, which is the longest call taken", wire.CallBytesMax)
	case errors.Is(err, unixconn.ErrPartialTimeout):
		why = wire.InvalidParameter("call", "the call was begun and not ended with a NUL byte within %v", t.server.waits.halfCall)
	default:
		return // the client or the server closed the connection
	}
	t.quiet("connection closed for a malformed call", why)
	_ = t.send(why.Reply(), nil) // the connection ends either way
}

// send writes one reply; the files ride with it and stay the caller's.
func (t *session) send(r wire.Reply, files []*os.File) error {
	return send(t.conn, r, files, t.server.waits.replyWrite)
}

func send(conn *unixconn.Conn, r wire.Reply, files []*os.File, patience time.Duration) error {
	frame, err := wire.EncodeReply(r)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return conn.WriteMessage(frame, files)
}

// who is the process at the other end. The handle stays the session's. What failed
// is tried again where the kernel has given a descriptor for the process: a number
// may mean another by then.
func (t *session) who() (*process.Handle, error) {
	if t.process == nil && (t.processErr == nil || t.peer.PIDFD != nil) {
		t.process, t.processErr = process.FromPeer(t.peer.PID, t.peer.PIDFD)
	}
	return t.process, t.processErr
}

// quiet logs what the client provoked.
func (t *session) quiet(text string, err error, fields ...zap.Field) {
	fields = append(fields, zap.Error(err))
	t.server.quiet.Warn(text, append(fields, t.fields()...)...)
}

func (t *session) fields() []zap.Field {
	return []zap.Field{zap.Int("pid", t.subject.pid), zap.Uint32("uid", t.subject.uid), zap.Uint64("connection", t.seat.conn)}
}

// shortName is the last part of a method's or an error's name.
func shortName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// quoted renders a client's word for a message or the log.
func quoted(s string) string {
	if short := clip(s); short != s {
		return strconv.Quote(short) + "..."
	}
	return strconv.Quote(s)
}

// clip bounds a client's word for the log, which does its own quoting.
func clip(s string) string { return s[:min(len(s), quoteBytesMax)] }
