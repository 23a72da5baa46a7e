package linkclient

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// golden are the frames of internal/wire/testdata/link, by name.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../internal/wire/testdata/link/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	frames := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			_, bytes, _ := strings.Cut(line, "  ")
			digits.WriteString(strings.Join(strings.Fields(bytes), ""))
		}
		frame, err := hex.DecodeString(digits.String())
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		frames[strings.TrimSuffix(filepath.Base(file), ".hex")] = frame
	}
	return frames
}

// play plays the golden conversations with the state machine of brokerd on both
// sides: what the page shows is what is said.
type play struct {
	t        *testing.T
	frames   map[string][]byte
	dialer   *link.Conn
	acceptor *link.Conn
	now      [2]int64 // the clock of either
}

const (
	dialer = iota
	acceptor
)

// says takes the whole output of one side, which has to be the named frames, and
// gives it to the other side.
func (p *play) says(side int, names ...string) {
	p.t.Helper()
	from, to := p.dialer, p.acceptor
	if side == acceptor {
		from, to = to, from
	}
	var want []byte
	for _, name := range names {
		if p.frames[name] == nil {
			p.t.Fatalf("there is no golden frame %s", name)
		}
		want = append(want, p.frames[name]...)
	}
	got := slices.Concat(from.Output()...)
	if !bytes.Equal(got, want) {
		p.t.Fatalf("%v: said is\n%swant\n%s", names, hex.Dump(got), hex.Dump(want))
	}
	p.must(from.Sent(len(got)))
	p.must(to.Input(p.now[1-side], got))
}

func (p *play) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// hears is the next event of a side, which has to be of that kind.
func (p *play) hears(side int, kind link.EventKind) link.Event {
	p.t.Helper()
	c := p.dialer
	if side == acceptor {
		c = p.acceptor
	}
	e, ok := c.Next()
	if !ok || e.Kind != kind {
		p.t.Fatalf("event %+v, want kind %d", e, kind)
	}
	return e
}

// dial makes both sides; the dialer says what is in its hello.
func (p *play) dial(hello string) {
	h, err := wire.DecodeLinkHello(p.frames[hello])
	p.must(err)
	p.now = [2]int64{4_000_000_000, 80_000_000}
	p.dialer = link.New(link.Config{Dialer: true, Name: h.Name, Agent: h.Agent, Session: h.Session,
		DeadAfter: time.Duration(h.DeadAfterMS) * time.Millisecond}, p.now[dialer])
	p.acceptor = link.New(link.Config{Name: "exch-1", Agent: "brokerd 1.0.0", DeadAfter: 3 * time.Second}, p.now[acceptor])
}

// ring is one with the geometry that an opened frame tells, for one reader.
func (p *play) ring(o wire.LinkOpenedFrame, mirror bool) *shmring.Ring {
	ring, err := shmring.CreatePrivate(shmring.Config{
		Capacity: o.Capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key, ConsumersMax: 1,
		Many: o.Many, Timestamps: o.Timestamps, Checksum: o.Checksum, Mirror: mirror,
	}, shmring.Boundary{})
	p.must(err)
	p.t.Cleanup(func() { p.must(ring.Close()) })
	return ring
}

func (p *play) mirror(ring *shmring.Ring) *shmring.Mirror {
	p.must(ring.BindProducer(0, shmring.Binding{Generation: 1}))
	data, cursors, err := ring.LendProducer()
	p.must(err)
	m, err := shmring.OpenMirror(data, cursors, shmring.MirrorOptions{})
	p.must(err)
	p.t.Cleanup(func() { p.must(m.Close()) })
	return m
}

func (p *play) reader(ring *shmring.Ring) *shmring.Consumer {
	p.must(ring.BindConsumer(0, shmring.Binding{Generation: 1, Policy: shmring.PolicyDemote, DemoteAfter: time.Hour, Parks: true}))
	data, cursor, err := ring.LendConsumer(0)
	p.must(err)
	c, err := shmring.OpenConsumer(data, cursor, shmring.ConsumerOptions{Generation: 1, Policy: shmring.PolicyDemote, From: shmring.FromOldest(), Spans: true})
	p.must(err)
	p.t.Cleanup(func() { p.must(c.Close()) })
	return c
}

// commit puts the ring bytes of a golden data frame into a mirror.
func (p *play) commit(m *shmring.Mirror, name string) {
	f, err := wire.DecodeLinkData(p.frames[name])
	p.must(err)
	body := p.frames[name][wire.LinkDataHeaderBytes:]
	_, _, err = m.Progress() // which grants
	p.must(err)
	b, err := m.Place(f.Position, len(body))
	p.must(err)
	copy(b, body[16:])
	p.must(m.Commit(shmring.Chunk{Position: f.Position, Sequence: f.Sequence, Records: f.Records, Bytes: len(body), First: [16]byte(body)}))
}

// TestGoldenMirror has a ring that holds the golden records, and lost what the
// golden gap says, mirrored.
func TestGoldenMirror(t *testing.T) {
	p := &play{t: t, frames: golden(t)}
	opened, err := wire.DecodeLinkOpened(p.frames["m04-opened"])
	p.must(err)
	origin := p.ring(opened, true) // a mirror itself, for these can have holes
	source := p.mirror(origin)
	p.commit(source, "m06-data")
	gap, err := wire.DecodeLinkGap(p.frames["m07-gap"])
	p.must(err)
	p.must(source.Jump(gap.To, gap.Lost))
	p.commit(source, "m08-data")

	p.dial("m01-hello")
	p.says(dialer, "m01-hello")
	p.hears(acceptor, link.EventHello)
	p.acceptor.Welcome(p.now[acceptor])
	p.says(acceptor, "m02-welcome")
	p.hears(dialer, link.EventWelcome)
	_, err = p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkMirror, From: wire.LinkFromOldest, Ring: "md"})
	p.must(err)
	p.says(dialer, "m03-open")
	p.hears(acceptor, link.EventOpen)
	p.must(p.acceptor.Serve(1, opened, p.reader(origin)))
	p.says(acceptor, "m04-opened")
	p.hears(dialer, link.EventOpened)
	sink := p.mirror(p.ring(opened, true))
	p.must(p.dialer.Receive(1, sink))
	p.says(dialer, "m05-ack")
	p.must(p.acceptor.Pump(p.now[acceptor]))
	p.says(acceptor, "m06-data", "m07-gap", "m08-data")
	p.says(dialer, "m09-ack")
	p.now = [2]int64{5_000_000_000, 80_750_000}
	if _, err := p.dialer.Tick(p.now[dialer]); err != nil {
		t.Fatal(err)
	}
	p.says(dialer, "m10-beat", "m11-ack")
	p.now[acceptor] += 250_000
	if _, err := p.acceptor.Tick(p.now[acceptor]); err != nil {
		t.Fatal(err)
	}
	p.says(acceptor, "m12-beat")
	if end := sink.End(); end != source.End() {
		t.Errorf("the mirror ends at %+v, the origin at %+v", end, source.End())
	}
	p.acceptor.End(1, wire.LinkEndFrame{Code: wire.CodeRemoved, Message: "ring md was removed"})
	p.says(acceptor, "m13-end")
	p.says(dialer, "m14-end")
	p.dialer.Close(wire.CodeGoodbye, "desk-1 stops")
	p.says(dialer, "m15-close")
	p.hears(acceptor, link.EventClose)
}

// published is a sink that takes everything, as the gateway's does.
type published struct {
	at   shmring.Boundary
	body []byte
}

func (s *published) Place(_ uint64, n int) ([]byte, error) {
	s.body = make([]byte, n-16)
	return s.body, nil
}

func (s *published) Commit(c shmring.Chunk) error {
	s.at = shmring.Boundary{Position: c.Position + uint64(c.Bytes), Sequence: c.Sequence + c.Records}
	return nil
}

func (s *published) Jump(uint64, uint64) error { return nil }

func (s *published) Progress() (shmring.Boundary, uint64, error) {
	return s.at, s.at.Position + 1<<20, nil
}

// TestGoldenProduce has the golden record produced, cut off, and resumed.
func TestGoldenProduce(t *testing.T) {
	p := &play{t: t, frames: golden(t)}
	opened, err := wire.DecodeLinkOpened(p.frames["p04-opened"])
	p.must(err)
	open, err := wire.DecodeLinkOpen(p.frames["p03-open"])
	p.must(err)
	sink := &published{}
	connect := func() {
		p.dial("p01-hello")
		p.says(dialer, "p01-hello")
		p.hears(acceptor, link.EventHello)
		p.acceptor.Welcome(p.now[acceptor])
		p.says(acceptor, "p02-welcome")
		p.hears(dialer, link.EventWelcome)
	}
	connect()
	_, err = p.dialer.Open(open)
	p.must(err)
	p.says(dialer, "p03-open")
	p.hears(acceptor, link.EventOpen)
	p.must(p.acceptor.Take(1, opened, sink))
	p.says(acceptor, "p04-opened", "p05-ack")
	p.hears(dialer, link.EventOpened)

	ring := p.ring(opened, false)
	source := p.reader(ring)
	p.must(p.dialer.Supply(1, source))
	p.must(ring.BindProducer(0, shmring.Binding{Generation: 1}))
	data, cursors, err := ring.LendProducer()
	p.must(err)
	producer, err := shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1})
	p.must(err)
	t.Cleanup(func() { p.must(producer.Close()) })
	p.must(producer.Send(context.Background(), []byte("buy 10")))
	p.must(p.dialer.Pump(p.now[dialer]))
	p.says(dialer, "p06-data")

	connect()
	open.Epoch = opened.Epoch
	_, err = p.dialer.Open(open)
	p.must(err)
	p.says(dialer, "p07-open")
	p.hears(acceptor, link.EventOpen)
	p.acceptor.End(1, ending(t, p.frames["p09-end"]))
	p.says(acceptor, "p09-end")
	p.hears(dialer, link.EventEnd)

	connect()
	_, err = p.dialer.Open(open)
	p.must(err)
	p.says(dialer, "p07-open")
	p.hears(acceptor, link.EventOpen)
	opened, err = wire.DecodeLinkOpened(p.frames["p08-opened"])
	p.must(err)
	if at := (shmring.Boundary{Position: opened.Position, Sequence: opened.Sequence}); at != sink.at {
		t.Errorf("published is up to %+v, the golden frame says %+v", sink.at, at)
	}
	p.must(p.acceptor.Take(1, opened, sink))
	out := slices.Concat(p.acceptor.Output()...)
	if !bytes.HasPrefix(out, p.frames["p08-opened"]) {
		t.Errorf("said is\n%swant\n%s", hex.Dump(out), hex.Dump(p.frames["p08-opened"]))
	}
	p.must(p.dialer.Input(p.now[dialer], out))
	p.hears(dialer, link.EventOpened)
}

func ending(t *testing.T, frame []byte) wire.LinkEndFrame {
	t.Helper()
	e, err := wire.DecodeLinkEnd(frame)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
