package gateway

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// How the streams of mirrors end, and what follows.

// ended is the end of the stream: said by the peer, or err when the ring here
// failed, or did not take what came.
func (m *mirror) ended(end wire.LinkEndFrame, err error) {
	m.forget()
	var chunk *shmring.ChunkError
	switch {
	case errors.As(err, &chunk):
		m.stuck = true
		m.failed(wire.LinkRefused, fmt.Sprintf("what came is not what a ring holds (%v): not asked for again before the next connection or reload", err))
	case errors.Is(err, shmring.ErrRemoved):
		m.pause = askAgainMin
		m.failed(wire.LinkWaiting, "the mirror was removed here")
	case err != nil:
		m.failed(wire.LinkRefused, err.Error())
	case refuses(end.Code):
		m.failed(wire.LinkRefused, fmt.Sprintf("refused by the peer (%s): %s", end.Code, end.Message))
	default:
		m.failed(wire.LinkWaiting, fmt.Sprintf("ended by the peer (%s): %s", end.Code, end.Message))
	}
}

// refuses says whether a stream that ends with code was refused, rather than cut
// off by what may be over soon.
func refuses(code wire.LinkCode) bool {
	switch code {
	case wire.CodeGoodbye, wire.CodeRemoved, wire.CodeDetached, wire.CodeInternal:
		return false
	}
	return true
}

// failed puts the mirror back to its start, to be asked for again.
func (m *mirror) failed(state wire.LinkState, reason string) {
	m.forget()
	m.set(state, reason)
	m.due(m.pause)
	m.pause = min(2*m.pause, askAgainMax)
}

// give tells the peer that we do not want the stream any more.
func (m *mirror) give(end wire.LinkEndFrame) {
	if m.conn == nil || m.stream == 0 || m.conn.gone {
		return
	}
	if last, ok := m.conn.status(m.stream); ok {
		m.noteLast(last)
	}
	end.Stream = m.stream
	m.conn.link.End(m.stream, end)
	m.conn.sock.retick() // which sends it
}

// noteLast keeps what a stream that ends has done.
func (m *mirror) noteLast(s link.StreamStatus) {
	m.announced = s.Announced
	m.moved.add(movedBy(s))
}

// forget lets go of the stream and of the sink.
func (m *mirror) forget() {
	if m.conn != nil {
		delete(m.conn.mirrors, m.stream)
	}
	m.closeSink()
	m.attempt++
	m.phase, m.conn, m.stream = phaseIdle, nil, 0
}

func (m *mirror) closeSink() {
	if m.sink != nil {
		m.end = m.sink.End()
	}
	closeMirror(m.sink)
	m.sink = nil
}

func closeMirror(sink *shmring.Mirror) {
	if sink != nil {
		_ = sink.Close() // what it has committed is there, and nothing else matters
	}
}

// lost is for a connection that is gone: the next one begins anew.
func (m *mirror) lost(c *conn) {
	if m.conn == c {
		if last, ok := c.status(m.stream); ok {
			m.noteLast(last)
		}
		m.forget()
	}
	m.stuck, m.pause = false, askAgainMin
}

// logGaps tells of the gaps that came too fast for a line each.
func (m *mirror) logGaps() {
	if m.gapsUnlogged == 0 {
		return
	}
	m.peer.g.log.Warn("more gaps", zap.String("peer", m.peer.want.Name), zap.String("ring", m.want.Ring), zap.String("local", m.want.As),
		zap.Uint64("gaps", m.gapsUnlogged), zap.Uint64("records", m.gapRecordsUnlogged))
	m.gapsUnlogged, m.gapRecordsUnlogged = 0, 0
}

// look sees whether the ring of a quiet stream is still there.
func (m *mirror) look() {
	if m.phase != phaseRunning {
		return
	}
	if _, _, err := m.sink.Progress(); err != nil {
		m.give(wire.LinkEndFrame{Code: wire.CodeGoodbye, Message: "the mirror is gone: " + err.Error()})
		m.ended(wire.LinkEndFrame{}, err)
	}
}

// drop ends the mirror: it has left the configuration. Its ring stays.
func (m *mirror) drop(reason string) {
	m.give(wire.LinkEndFrame{Code: wire.CodeGoodbye, Message: reason})
	m.forget()
	m.dropped = true
	m.peer.g.broker.ReleaseMirror(m.want.As)
}

// set notes how the mirror is, and logs it once.
func (m *mirror) set(state wire.LinkState, reason string) {
	if m.state == state && m.reason == reason {
		return
	}
	if m.state != state {
		m.since = time.Now()
	}
	m.state, m.reason = state, reason
	fields := []zap.Field{zap.String("peer", m.peer.want.Name), zap.String("ring", m.want.Ring), zap.String("local", m.want.As), zap.String("state", string(state))}
	if state == wire.LinkConnected {
		end := m.sink.End()
		m.peer.g.log.Info("a ring is mirrored", append(fields, zap.Uint64("epoch", m.epoch), zap.Uint64("position", end.Position))...)
		return
	}
	m.peer.g.log.Warn("a ring is not mirrored; it is asked for again", append(fields, zap.String("reason", reason))...)
}
