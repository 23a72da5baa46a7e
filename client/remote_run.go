package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"brokerd/internal/wire"
)

// run serves the connection, and when it breaks makes another one, until Close. It
// is the goroutine of DialTCP.
func (r *Remote) run(l *line) {
	defer close(r.joined)
	for l != nil {
		r.serve(l)
		l = r.redial()
	}
}

// redial returns a new connection, or nil after Close.
func (r *Remote) redial() *line {
	for delay := remoteRedialMin; sleep(r.life, jittered(delay)); delay = min(2*delay, remoteRedialMax) {
		l, err := r.dial(r.life)
		if errors.Is(err, errFiles) { // while they are being replaced, perhaps
			err = unreachable(r.o.Address, err)
		}
		r.mu.Lock()
		if IsRefused(err) { // it knows us no more
			for s := range r.held {
				s.lose(err)
			}
		}
		r.turn(l, err)
		r.mu.Unlock()
		if err == nil {
			return l
		}
	}
	return nil
}

// serve moves bytes over l until it breaks or Close ends it. Here the goroutine
// that reads is started and joined.
func (r *Remote) serve(l *line) {
	var reading sync.WaitGroup
	reading.Go(func() { r.read(l) })
	// Close lets what is under way end soon.
	stop := context.AfterFunc(r.life, func() { _ = l.conn.SetDeadline(time.Now().Add(closeTimeMax)) })
	r.move(l)
	stop()
	_ = l.conn.Close() // why it ends is known already
	reading.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range l.streams {
		s.adrift()
	}
	r.turn(nil, unreachable(r.o.Address, l.broken))
}

// read takes in what comes.
func (r *Remote) read(l *line) {
	buf := make([]byte, readBytesMax)
	for {
		n, err := l.conn.Read(buf)
		r.mu.Lock()
		if n > 0 {
			l.wrong(l.link.Input(r.now(), buf[:n]))
			r.react(l)
			r.heard(l)
		}
		if err != nil {
			l.fail(err)
		}
		done := l.broken != nil
		r.mu.Unlock()
		r.door.Knock()
		if done {
			return
		}
	}
}

// move sends what there is to send, and sleeps at the door when there is nothing.
func (r *Remote) move(l *line) {
	for {
		r.mu.Lock()
		out, next := r.due(l)
		broken := l.broken != nil
		if !broken && len(out) == 0 {
			r.rest(l, next)
		}
		r.mu.Unlock()
		switch {
		case len(out) > 0:
			r.send(l, out)
		case broken:
			return
		}
	}
}

// rest sleeps until a time, unless there are news. r.mu is held but while it sleeps.
func (r *Remote) rest(l *line, until int64) {
	for _, status := range l.link.Streams() {
		if s := l.streams[status.Stream]; s != nil {
			s.cargo.watch(status)
		}
	}
	quiet := r.door.Arm()
	r.mu.Unlock() // also when there are news: others want the lock, too
	if quiet {
		r.door.Sleep(time.Duration(until - r.now()))
	}
	r.mu.Lock()
	r.door.Disarm()
}

// due does what is due on l, and returns what is to be written, or until when
// there is nothing to do.
func (r *Remote) due(l *line) (out []byte, next int64) {
	now := r.now()
	if l.broken == nil && r.life.Err() != nil {
		if out = l.take(); len(out) > 0 {
			return out, 0 // what the streams had to say
		}
		l.link.Close(wire.CodeGoodbye, "")
		l.fail(ErrClosed)
		l.last = true
	}
	if l.broken != nil {
		if l.last && !l.mute {
			out = l.take()
		}
		return out, 0
	}
	next = r.reopen(l, now)
	l.wrong(l.link.Pump(now))
	tick, err := l.link.Tick(now)
	l.wrong(err)
	r.react(l)
	return l.take(), min(next, tick, r.silence(l, now))
}

// send writes what was taken out of the link.
func (r *Remote) send(l *line, out []byte) {
	limit := r.o.DeadAfter
	if r.life.Err() != nil {
		limit = closeTimeMax
	}
	err := l.conn.SetWriteDeadline(time.Now().Add(limit))
	if err == nil {
		_, err = l.conn.Write(out)
	}
	if err != nil {
		r.mu.Lock()
		l.stop(err)
		r.mu.Unlock()
	}
}
