package gateway

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Bounds of the pause before a ring that was refused, or whose stream ended, is
// asked for again on the same connection. It doubles each time.
const (
	askAgainMin = time.Second
	askAgainMax = 30 * time.Second
)

// phase is how far a mirror has come on the present connection.
type phase uint8

const (
	phaseIdle    phase = iota // nothing goes on
	phaseOpening              // a job opens the ring that we may have already
	phaseAsked                // the peer was asked for the stream
	phaseMaking               // granted: a job makes the ring, or makes it anew
	phaseRunning
)

// mirror is a ring of a peer that is mirrored here. Its ring has one writer, the
// sink, which is opened for each stream: what a broken one left half done is
// cleaned up then. While a job works for it, the job has the sink.
type mirror struct {
	peer *peer
	want Mirror

	phase   phase
	attempt uint64 // of them; a job that finds another one has come too late
	conn    *conn  // of the attempt
	stream  uint16
	sink    *shmring.Mirror
	askAt   int64
	pause   time.Duration
	stuck   bool // refused by us: not asked for on this connection again
	dropped bool // it has left the configuration

	state      wire.LinkState
	reason     string
	since      time.Time
	epoch      uint64           // of the origin, 0 until it is known
	end        shmring.Boundary // when the sink was closed
	announced  shmring.Boundary // by the peer, then
	gaps       uint64
	gapRecords uint64

	gapLoggedAt                      int64
	gapsUnlogged, gapRecordsUnlogged uint64 // since then
	crcErrors                        uint64
	moved                            moved // of earlier streams
}

func newMirror(p *peer, want Mirror) *mirror {
	return &mirror{peer: p, want: want, state: wire.LinkConnecting, since: time.Now(), pause: askAgainMin}
}

// due has the mirror asked for in a while, unless something goes on.
func (m *mirror) due(in time.Duration) {
	m.askAt = m.peer.g.loop.now() + in.Nanoseconds()
	m.peer.g.hurry()
}

// chores asks for the stream when it is time to.
func (m *mirror) chores(now int64) (next int64) {
	g := m.peer.g
	switch {
	case m.phase != phaseIdle || m.stuck:
		return never
	case now < m.askAt:
		return m.askAt
	case g.writing[m.want.As]: // a job for an earlier attempt; its end hurries us
		return never
	}
	m.phase, m.conn = phaseOpening, m.peer.conn
	m.attempt++
	var held *shmring.Mirror
	var err error
	m.job(func() { held, err = m.openHeld() }, func() *shmring.Mirror { return held }, func() {
		if err != nil {
			m.failed(wire.LinkRefused, err.Error())
			return
		}
		m.ask()
	})
	return never
}

// job does work without the lock, then goes on with it, having taken the sink
// back, if nothing has happened to the attempt meanwhile. One job for a ring runs
// at a time, and none while another has its sink.
func (m *mirror) job(work func(), sink func() *shmring.Mirror, then func()) {
	g, attempt, as := m.peer.g, m.attempt, m.want.As
	g.writing[as] = true
	g.joined.Go(func() {
		work()
		g.loop.mu.Lock()
		defer g.loop.mu.Unlock()
		delete(g.writing, as)
		g.hurry()
		if g.ending || m.attempt != attempt {
			closeMirror(sink())
			if m.dropped {
				g.broker.ReleaseMirror(as)
			}
			return
		}
		m.sink = sink()
		c := m.conn
		then()
		c.work()
	})
}

// openHeld opens the ring that is here already, nil when there is none.
func (m *mirror) openHeld() (*shmring.Mirror, error) {
	b := m.peer.g.broker
	out, err := b.DescribeRing(m.want.As)
	if errors.Is(err, wire.ErrRingNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if of := out.Ring.Mirror; of == nil || *of != (wire.MirrorOf{Peer: m.peer.want.Name, Ring: m.want.Ring}) {
		return nil, fmt.Errorf("ring %s is here already and does not mirror ring %s of %s: give the mirror another name (as), or remove that ring",
			m.want.As, m.want.Ring, m.peer.want.Name)
	}
	return b.OpenMirror(m.want.As)
}

// ask opens the stream, from where the mirror ends.
func (m *mirror) ask() {
	policy := m.want.Policy
	if policy == "" {
		policy = wire.PolicyDemote
	}
	number, err := shmring.ParsePolicy(string(policy))
	if err != nil {
		m.failed(wire.LinkRefused, err.Error())
		return
	}
	o := wire.LinkOpenFrame{Mode: wire.LinkMirror, Policy: uint8(number), From: wire.LinkFromOldest, Ring: m.want.Ring}
	if m.sink != nil {
		end := m.sink.End()
		o.From, o.Epoch, o.Position, o.Sequence = wire.LinkFromHeld, m.sink.Config().Epoch, end.Position, end.Sequence
	}
	if m.stream, err = m.conn.link.Open(o); err != nil {
		m.failed(wire.LinkRefused, err.Error())
		return
	}
	m.phase = phaseAsked
	if m.conn.mirrors == nil {
		m.conn.mirrors = map[uint16]*mirror{}
	}
	m.conn.mirrors[m.stream] = m
}

// opened is the peer's grant. A ring of another epoch, or none, is made first.
func (m *mirror) opened(o wire.LinkOpenedFrame) {
	if m.phase != phaseAsked {
		return
	}
	m.phase = phaseMaking
	sink := m.sink
	m.sink = nil // the job's
	spec := m.spec(shmring.Config{
		Capacity: o.Capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key,
		Many: o.Many, Timestamps: o.Timestamps, Checksum: o.Checksum, Mirror: true,
	}, shmring.Boundary{Position: o.Position, Sequence: o.Sequence})
	var was uint64
	var err error
	m.job(func() { sink, was, err = m.peer.g.makeMirror(spec, sink) }, func() *shmring.Mirror { return sink }, func() {
		if err != nil {
			m.give(ending(err))
			m.failed(wire.LinkRefused, err.Error())
			return
		}
		if was != 0 {
			m.peer.g.log.Warn("the origin was made anew: the mirror was removed and is made anew, too", zap.String("peer", m.peer.want.Name),
				zap.String("ring", m.want.Ring), zap.String("local", m.want.As), zap.Uint64("was", was), zap.Uint64("epoch", o.Epoch))
		}
		m.epoch = o.Epoch
		m.receive()
	})
}

// spec is what the broker makes a mirror of.
func (m *mirror) spec(c shmring.Config, start shmring.Boundary) broker.MirrorSpec {
	return broker.MirrorSpec{
		Name: m.want.As, Peer: m.peer.want.Name, Ring: m.want.Ring, Config: c, Start: start,
		ConsumersMax: m.want.ConsumersMax, ResumeForNS: m.want.ResumeForNS, Allow: m.want.Allow,
	}
}

// makeMirror makes the ring of spec where it is not there yet, in the place of
// one of an earlier epoch if need be (then was is that), and opens it unless sink
// is it already. It runs without the lock.
func (g *Gateway) makeMirror(spec broker.MirrorSpec, sink *shmring.Mirror) (_ *shmring.Mirror, was uint64, err error) {
	_, err = g.broker.CreateMirror(spec)
	var other *wire.Error
	if errors.As(err, &other) && errors.Is(err, wire.ErrEpochChanged) {
		var p wire.EpochChangedParameters
		if err := other.Decode(&p); err == nil {
			was = p.Current
		}
		closeMirror(sink)
		sink = nil
		if err = g.broker.RemoveRing(spec.Name, true); err == nil {
			_, err = g.broker.CreateMirror(spec)
		}
	}
	if err == nil && sink == nil {
		sink, err = g.broker.OpenMirror(spec.Name)
	}
	return sink, was, err
}

// receive lets the stream flow.
func (m *mirror) receive() {
	if err := m.conn.link.Receive(m.stream, m.sink); err != nil {
		m.give(ending(err))
		m.failed(wire.LinkRefused, err.Error())
		return
	}
	m.phase, m.pause = phaseRunning, askAgainMin
	m.set(wire.LinkConnected, "")
}
