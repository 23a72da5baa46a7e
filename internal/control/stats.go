package control

import (
	"context"
	"errors"
	"os"
	"time"

	"brokerd/internal/wire"
)

func (t *session) stats(in wire.StatsIn) (wire.StatsOut, error) {
	if _, err := interval(in); err != nil {
		return wire.StatsOut{}, err
	}
	return t.server.o.Broker.Stats(in.Ring)
}

// interval is the time between two replies of a stream.
func interval(in wire.StatsIn) (time.Duration, error) {
	if in.IntervalMS == nil {
		return statsIntervalDefault, nil
	}
	ms, least, most := *in.IntervalMS, statsIntervalMin.Milliseconds(), statsIntervalMax.Milliseconds()
	if ms < least || ms > most {
		return 0, wire.InvalidParameter("interval_ms", "interval_ms is %d; it must be from %d to %d milliseconds", ms, least, most)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// streamStats replies until the client closes the connection or sends another
// call, or the daemon stops; false when the connection must end.
func (t *session) streamStats(ctx context.Context, call wire.Call) (goesOn bool) {
	var in wire.StatsIn
	err := t.admits(call)
	if err == nil {
		err = wire.DecodeParameters(call.Parameters, &in)
	}
	var every time.Duration
	if err == nil {
		every, err = interval(in)
	}
	if err != nil {
		return t.finish(call, result{}, err)
	}
	t.observe(call.Method, nil)

	next := t.readAhead()
	defer t.joinReader(next)
	return t.stream(ctx, call, in, every, next)
}

// readAhead reads the next call in a goroutine of its own, for only so is it
// noticed that the client has gone. joinReader ends it; nobody else may read
// until then.
func (t *session) readAhead() <-chan message {
	next := make(chan message, 1)
	go func() { next <- t.read() }()
	return next
}

// joinReader wakes the reader unless it has ended. What it has read by then is
// kept, and what it has read of a call is still in the connection.
func (t *session) joinReader(next <-chan message) {
	if t.ahead != nil {
		return
	}
	_ = t.conn.SetReadDeadline(time.Unix(0, 1)) // fails on a closed connection only, which wakes it too
	if m := <-next; !errors.Is(m.err, os.ErrDeadlineExceeded) {
		t.ahead = &m
	}
	_ = t.conn.SetReadDeadline(time.Time{})
}

// stream sends replies. When the next call or the end of the connection comes
// first, that is left in t.ahead.
func (t *session) stream(ctx context.Context, call wire.Call, in wire.StatsIn, every time.Duration, next <-chan message) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := false; ; {
		out, err := t.server.o.Broker.Stats(in.Ring)
		reply, err := t.reply(call, result{out: out}, err)
		last = last || err != nil
		reply.Continues = !last
		if !t.deliver(call, reply, nil) {
			return false
		}
		if last {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			last = true
		case m := <-next:
			t.ahead, last = &m, true
			if m.err != nil {
				return true // run sees it
			}
		}
	}
}
