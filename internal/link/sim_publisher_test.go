package link

import (
	"encoding/binary"
	"fmt"

	"brokerd/internal/shmring"
)

// simPublisher is the Sink of a stream that produces: it republishes record by
// record, and remembers for each session how far it has come.
type simPublisher struct {
	s         *produceSim
	config    shmring.Config // of the private ring
	placed    []byte
	queue     []queued // what the ring does not take yet
	received  uint64
	published shmring.Boundary
}

type queued struct {
	payload []byte
	tag     uint16
	end     bool // of the stream
	pad     bool
	after   shmring.Boundary
}

const simWindow = 32 << 10

func (p *simPublisher) Place(position uint64, n int) ([]byte, error) {
	if position != p.received {
		return nil, &shmring.ChunkError{Position: position, Reason: fmt.Sprintf("due was %d", p.received)}
	}
	p.placed = make([]byte, n)
	return p.placed[16:], nil
}

// Commit takes the chunk apart.
func (p *simPublisher) Commit(c shmring.Chunk) error {
	copy(p.placed, c.First[:])
	at := shmring.Boundary{Position: c.Position, Sequence: c.Sequence}
	for b := p.placed; len(b) > 0; {
		word := binary.LittleEndian.Uint64(b) ^ p.config.Key
		length := uint64(binary.LittleEndian.Uint32(b[8:]))
		if word&^15 != at.Position {
			return &shmring.ChunkError{Position: at.Position, Reason: "no part"}
		}
		q := queued{tag: uint16(binary.LittleEndian.Uint32(b[12:]))}
		frame := length
		switch word & 15 {
		case 1:
			frame = (16 + length + 15) &^ 15
			q.payload = b[16 : 16+length]
			at.Sequence++
		case 4:
			q.end = true
		default:
			q.pad = true
		}
		at.Position += frame
		q.after = at
		p.queue = append(p.queue, q)
		b = b[frame:]
	}
	p.received = at.Position
	return p.publish()
}

func (p *simPublisher) Jump(to, lost uint64) error {
	return &shmring.ChunkError{Position: p.received, Reason: "a producer has no gaps"}
}

// publish moves what the ring takes.
func (p *simPublisher) publish() error {
	for len(p.queue) > 0 {
		q := p.queue[0]
		var err error
		switch {
		case q.end:
			// The shared ring has other producers: its end is not theirs.
		case !q.pad:
			p.s.shared.SetTag(q.tag)
			err = p.s.shared.TrySend(q.payload)
		}
		if err == shmring.ErrFull {
			return nil
		}
		if err != nil {
			return err
		}
		p.published = q.after
		p.s.journal[p.s.session] = q.after
		p.queue = p.queue[1:]
		p.s.seen()
	}
	return nil
}

func (p *simPublisher) Progress() (shmring.Boundary, uint64, error) {
	err := p.publish()
	return p.published, p.published.Position + simWindow, err
}
