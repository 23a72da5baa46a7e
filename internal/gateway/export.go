package gateway

import (
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// export is a reader of a ring of ours for another host: its records go to a
// mirror there, or to a remote client.
type export struct {
	place
	conn   *conn // nil while parked
	stream uint16
	who    identity
	mode   wire.LinkMode
	label  string
	reader *shmring.Consumer
	keeps  bool // the reader leaves its cursor, to be resumed
	watch  watched

	remote                       string
	tls                          bool // its connection has it, or had
	since                        time.Time
	reason                       string           // why it is parked
	acked                        shmring.Boundary // while parked
	reconnects                   uint64
	gaps                         uint64 // of earlier streams
	gapRecords                   uint64
	gapsLogged, gapRecordsLogged uint64 // of this one
	crcErrors                    uint64
	moved                        moved
}

// openExport answers who wants to mirror or read a ring.
func (c *conn) openExport(o wire.LinkOpenFrame) error {
	if o.Mode == wire.LinkMirror {
		if err := c.supersedeMirror(o.Ring); err != nil {
			return err
		}
	}
	x := c.g.resumeParked(c.who, o)
	resumed := x != nil
	if !resumed {
		var err error
		if x, err = c.g.lend(c.who, o); err != nil {
			return err
		}
	}
	if err := c.link.Serve(o.Stream, x.opened(), x.reader); err != nil {
		c.g.release(x, err.Error())
		return &denial{wire.CodePosition, err.Error()}
	}
	x.conn, x.stream, x.tls, x.remote, x.since, x.reason = c, o.Stream, c.tls, c.sock.remote(), time.Now(), ""
	if c.exports == nil {
		c.exports = map[uint16]*export{}
	}
	c.exports[o.Stream] = x
	c.g.hurry()
	if p := c.g.takeParked(x.who, x.mode, x.ring.Name); p != nil { // it could not go on from there
		x.reconnects, x.gaps, x.gapRecords, x.moved, x.crcErrors = p.reconnects+1, p.gaps, p.gapRecords, p.moved, p.crcErrors
		c.g.release(p, "its peer is back and starts elsewhere")
	}
	c.g.log.Info("a ring is read by another host", append(x.fields(), zap.String("mode", o.Mode.String()), zap.String("policy", string(x.policy)),
		zap.Bool("resumed", resumed), zap.Uint64("position", x.reader.EndBoundary().Position))...)
	return nil
}

// opened describes the ring to the other side; the link adds where it starts.
func (x *export) opened() wire.LinkOpenedFrame {
	o := openedFor(x.reader.Config(), x.ring, x.id)
	o.Resumed = x.reader.Resumed()
	if policy, err := shmring.ParsePolicy(string(x.policy)); err == nil {
		o.Policy = uint8(policy)
	}
	return o
}

func openedFor(c shmring.Config, ring wire.Ring, id string) wire.LinkOpenedFrame {
	ring.Allow = wire.Allow{} // the users of this host are nobody else's business
	described, err := json.Marshal(ring)
	if err != nil || len(described) > wire.LinkRingBytesMax {
		described = nil
	}
	return wire.LinkOpenedFrame{
		Many: c.Many, Timestamps: c.Timestamps, Checksum: c.Checksum,
		RecordMax: c.RecordMax, Capacity: c.Capacity, Key: c.Key, Epoch: c.Epoch, ID: id, Ring: string(described),
	}
}

func (x *export) fields() []zap.Field {
	return []zap.Field{zap.String("peer", x.who.name), zap.String("address", x.remote), zap.String("ring", x.ring.Name), zap.String("id", x.id)}
}

// logGaps tells of what the reader could not send any more.
func (x *export) logGaps() {
	s, ok := x.conn.status(x.stream)
	if !ok || s.Gaps == x.gapsLogged {
		return
	}
	x.conn.g.log.Warn("gap: a reader of another host was too slow for the ring, or came back too late", append(x.fields(),
		zap.Uint64("gaps", s.Gaps-x.gapsLogged), zap.Uint64("records", s.GapRecords-x.gapRecordsLogged), zap.Uint64("position", s.Sent.Position))...)
	x.gapsLogged, x.gapRecordsLogged = s.Gaps, s.GapRecords
}

// release ends an export. why is for the log, "" for no line.
func (g *Gateway) release(x *export, why string) {
	x.watch.leave()
	_ = x.reader.Close() // the attachment ends next, whatever this says
	g.detach(x.place, x.keeps)
	if why != "" {
		g.log.Info("a ring is no longer read by another host", append(x.fields(), zap.String("reason", why))...)
	}
}
