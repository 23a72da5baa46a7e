package link

import (
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// beatsPerDeadTime is how many beats fit into the time that the peer bears
// silence, so that a late one or two do not matter.
const beatsPerDeadTime = 3

// beats keep both sides sure of each other. They flow when both want them.
type beats struct {
	heard    int64 // something was received last
	every    int64 // ns between two that are sent; 0: none
	silence  int64 // ns that this side bears; 0: for ever
	next     int64 // when to send
	echo     uint64
	echoedAt int64 // when echo came
	rtt      time.Duration
}

// agree sets the pace by what both sides said in the handshake.
func (b *beats) agree(peerMS, ownMS uint32) {
	if peerMS == 0 || ownMS == 0 {
		*b = beats{heard: b.heard}
		return
	}
	b.every = milliseconds(peerMS) / beatsPerDeadTime
	b.silence = milliseconds(ownMS)
}

func (b *beats) start(now int64) { b.heard, b.next = now, now }

// Tick does what is due at time now: beats, acks, a look at starved sinks, the
// verdict over a peer that is silent. It returns when to call it again, at the
// latest, never is math.MaxInt64; the other methods that are told the time may
// bring that forward.
func (c *Conn) Tick(now int64) (next int64, err error) {
	if c.phase == phaseOver {
		return never, c.verdict()
	}
	next = never
	if b := &c.beats; b.silence > 0 {
		if now-b.heard >= b.silence {
			return never, c.fail(wire.CodeSilent, "nothing was heard from %s for %s", c.peerName(), time.Duration(now-b.heard))
		}
		next = b.heard + b.silence
	}
	if c.phase != phaseReady {
		return next, nil
	}
	if c.beats.every > 0 {
		if now >= c.beats.next {
			c.beat(now)
		}
		next = min(next, c.beats.next)
	}
	for _, s := range c.streams {
		if s.rx == nil {
			continue
		}
		if now >= s.rx.lookAt {
			c.progress(s, now, true)
		}
		if s.rx != nil {
			next = min(next, s.rx.lookAt)
		}
	}
	return next, c.verdict()
}

func (c *Conn) peerName() string {
	if c.peer.name == "" {
		return "the peer"
	}
	return c.peer.name
}

// beat queues a beat, unless the peer reads so little that others wait already.
func (c *Conn) beat(now int64) {
	b := &c.beats
	b.next = now + b.every
	if c.out.beats > 0 {
		return
	}
	f := wire.LinkBeatFrame{Time: uint64(now), Echo: b.echo}
	if b.echo != 0 {
		f.EchoDelay = uint64(now - b.echoedAt)
	}
	for _, s := range c.streams {
		if s.tx != nil && s.stage == stageFlows {
			at := s.tx.newest()
			f.Sent = append(f.Sent, wire.LinkSent{Stream: s.number, Position: at.Position, Sequence: at.Sequence})
		}
	}
	c.out.push(outFrame{kind: outBeat, head: c.out.encode(frameRoomBytes, f.Append)})
}

// newest is how far the ring of a sender goes: the receiver learns what is still
// to come. A ring that cannot tell shows with what is sent next.
func (t *sender) newest() shmring.Boundary {
	if at, err := t.source.Newest(); err == nil && follows(t.sent, at) {
		return at
	}
	return t.sent
}

func (c *Conn) gotBeat(now int64, frame []byte) error {
	f, err := wire.DecodeLinkBeat(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	b := &c.beats
	b.echo, b.echoedAt = f.Time, now
	if f.Echo != 0 && f.Echo <= uint64(now) && f.EchoDelay <= uint64(now)-f.Echo {
		b.rtt = time.Duration(uint64(now) - f.Echo - f.EchoDelay)
	}
	for _, sent := range f.Sent {
		if s := c.find(sent.Stream); s != nil && s.rx != nil && sent.Position >= s.announced.Position {
			s.announced.Position, s.announced.Sequence = sent.Position, sent.Sequence
		}
	}
	return nil
}
