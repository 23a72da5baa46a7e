package link

import (
	"errors"
	"strings"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// pair is both sides of a connection without a network in between.
type pair struct {
	t                *testing.T
	dialer, acceptor *Conn
	now              int64
}

func newPair(t *testing.T, deadAfter time.Duration) *pair {
	p := &pair{
		t:        t,
		dialer:   New(Config{Dialer: true, Name: "b", Agent: "test", DeadAfter: deadAfter}, 0),
		acceptor: New(Config{Name: "a", DeadAfter: deadAfter, StreamsMax: 3}, 0),
	}
	p.exchange()
	p.expect(p.acceptor, EventHello)
	p.acceptor.Welcome(p.now)
	p.exchange()
	p.expect(p.dialer, EventWelcome)
	return p
}

// move gives all that from has to say to to.
func (p *pair) move(from, to *Conn) error {
	b := collect(from)
	return to.Input(p.now, b)
}

// collect takes all of the output.
func collect(c *Conn) (b []byte) {
	for {
		n := 0
		for _, s := range c.Output() {
			b = append(b, s...)
			n += len(s)
		}
		if n == 0 {
			return b
		}
		_ = c.Sent(n)
	}
}

// exchange lets both talk until they have nothing to say.
func (p *pair) exchange() {
	p.t.Helper()
	for range 100 {
		if len(p.dialer.Output())+len(p.acceptor.Output()) == 0 {
			return
		}
		if err := errors.Join(p.move(p.dialer, p.acceptor), p.move(p.acceptor, p.dialer)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Fatal("they do not come to an end")
}

func (p *pair) expect(c *Conn, kind EventKind) Event {
	p.t.Helper()
	e, ok := c.Next()
	if !ok || e.Kind != kind {
		p.t.Fatalf("event %+v, want kind %d", e, kind)
	}
	return e
}

func (p *pair) quiet(c *Conn) {
	p.t.Helper()
	if e, ok := c.Next(); ok {
		p.t.Fatalf("unexpected event %+v", e)
	}
}

// memorySink is a Sink that keeps what it is given.
type memorySink struct {
	at     shmring.Boundary
	kept   shmring.Boundary
	limit  uint64
	placed []byte
	data   []byte
	asked  int
	refuse error
}

func (m *memorySink) Place(position uint64, n int) ([]byte, error) {
	m.placed = make([]byte, n-16)
	return m.placed, nil
}

func (m *memorySink) Commit(c shmring.Chunk) error {
	if m.refuse != nil {
		return m.refuse
	}
	m.data = append(append(m.data, c.First[:]...), m.placed...)
	m.at = shmring.Boundary{Position: c.Position + uint64(c.Bytes), Sequence: c.Sequence + c.Records}
	m.kept = m.at
	return nil
}

func (m *memorySink) Jump(to, lost uint64) error {
	m.at = shmring.Boundary{Position: to, Sequence: m.at.Sequence + lost}
	m.kept = m.at
	return m.refuse
}

func (m *memorySink) Progress() (shmring.Boundary, uint64, error) {
	m.asked++
	return m.kept, m.limit, nil
}

// receiving opens a stream whose acceptor is played by hand: the dialer receives
// into sink, and the frames of the test are its input.
func (p *pair) receiving(sink Sink) (stream uint16) {
	p.t.Helper()
	stream, err := p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkMirror, Ring: "feed"})
	if err != nil {
		p.t.Fatal(err)
	}
	p.give(wire.LinkOpenedFrame{Stream: stream, RecordMax: 1000, Capacity: 1 << 16, Key: 1 << 63, Epoch: 5}.Append(nil))
	p.expect(p.dialer, EventOpened)
	if err := p.dialer.Receive(stream, sink); err != nil {
		p.t.Fatal(err)
	}
	collect(p.dialer)
	return stream
}

// give is input of the dialer that has to be right.
func (p *pair) give(frame []byte) {
	p.t.Helper()
	if err := p.dialer.Input(p.now, frame); err != nil {
		p.t.Fatal(err)
	}
}

// refused checks that a frame ends the connection, and that the peer is told.
func (p *pair) refused(c *Conn, frame []byte, code wire.LinkCode, message string) {
	p.t.Helper()
	err := c.Input(p.now, frame)
	failure := (*Error)(nil)
	if !errors.As(err, &failure) || failure.Code != code || !strings.Contains(failure.Message, message) {
		p.t.Fatalf("error %v, want %s with %q", err, code, message)
	}
	told, err := wire.DecodeLinkClose(lastFrame(p.t, collect(c)))
	if err != nil || told.Code != code || told.Message != failure.Message {
		p.t.Fatalf("the peer is told %+v (%v), want %s: %s", told, err, code, failure.Message)
	}
	if again := c.Input(p.now, []byte{1}); again == nil {
		p.t.Fatal("it goes on after a failure")
	}
}

func lastFrame(t *testing.T, b []byte) []byte {
	t.Helper()
	for {
		h, err := wire.DecodeLinkHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if int(h.Bytes) == len(b) {
			return b
		}
		b = b[h.Bytes:]
	}
}

// data is a data frame for stream, of n bytes that say nothing.
func data(stream uint16, epoch, position, sequence, records uint64, n int) []byte {
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(position) + byte(i)
	}
	f := wire.LinkDataFrame{Stream: stream, Epoch: epoch, Position: position, Sequence: sequence, Records: records}
	return append(f.Append(nil, body), body...)
}
