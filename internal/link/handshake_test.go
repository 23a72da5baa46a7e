package link

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"brokerd/internal/wire"
)

func helloOf(change func(*wire.LinkHelloFrame)) []byte {
	f := wire.LinkHelloFrame{VersionMin: 1, VersionMax: 1, DeadAfterMS: 1000, Name: "b", Agent: "test"}
	change(&f)
	return f.Append(nil)
}

func TestHandshake(t *testing.T) {
	p := newPair(t, time.Second)
	a, b := p.acceptor.Status(), p.dialer.Status()
	if !a.Ready || !b.Ready || a.PeerName != "b" || a.Agent != "test" || b.PeerName != "a" {
		t.Errorf("after the handshake: acceptor %+v, dialer %+v", a, b)
	}
}

func TestAcceptorRefusesHello(t *testing.T) {
	for name, test := range map[string]struct {
		frame   []byte
		code    wire.LinkCode
		message string
	}{
		"of the future":    {helloOf(func(f *wire.LinkHelloFrame) { f.VersionMin, f.VersionMax = 2, 9 }), wire.CodeVersion, "speaks versions 2 to 9"},
		"without a name":   {helloOf(func(f *wire.LinkHelloFrame) { f.Name = "" }), wire.CodeProtocol, "name"},
		"a browser":        {[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), wire.CodeProtocol, "header"},
		"tls":              {append([]byte{0x16, 3, 1, 2, 0}, make([]byte, 60)...), wire.CodeProtocol, "TLS"},
		"a beat first":     {wire.LinkBeatFrame{}.Append(nil), wire.CodeProtocol, "the first frame is beat, want hello"},
		"a welcome":        {wire.LinkWelcomeFrame{Version: 1, StreamsMax: 1, Name: "x"}.Append(nil), wire.CodeProtocol, "want hello"},
		"damaged":          {flip(helloOf(func(*wire.LinkHelloFrame) {}), 40), wire.CodeChecksum, "checksum"},
		"open at once":     {append(helloOf(func(*wire.LinkHelloFrame) {}), wire.LinkOpenFrame{Stream: 1, Mode: wire.LinkRead, Ring: "x"}.Append(nil)...), wire.CodeProtocol, "open before this side said welcome"},
		"hello once again": {append(helloOf(func(*wire.LinkHelloFrame) {}), helloOf(func(*wire.LinkHelloFrame) {})...), wire.CodeProtocol, "hello before"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pair{t: t}
			p.refused(New(Config{Name: "a"}, 0), test.frame, test.code, test.message)
		})
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 4
	return b
}

func TestDialerRefusesWelcome(t *testing.T) {
	p := &pair{t: t}
	later := wire.LinkWelcomeFrame{Version: 2, StreamsMax: 1, Name: "a"}.Append(nil)
	p.refused(New(Config{Dialer: true, Name: "b"}, 0), later, wire.CodeVersion, "chose version 2")
	p = newPair(t, 0)
	p.refused(p.dialer, wire.LinkWelcomeFrame{Version: 1, StreamsMax: 1, Name: "a"}.Append(nil), wire.CodeProtocol, "comes once")
}

// TestRefusedByTheOwner: an acceptor that answers Close instead of Welcome.
func TestRefusedByTheOwner(t *testing.T) {
	a := New(Config{Name: "a"}, 0)
	d := New(Config{Dialer: true, Name: "b"}, 0)
	p := &pair{t: t, dialer: d, acceptor: a}
	p.exchange()
	p.expect(a, EventHello)
	a.Close(wire.CodeIdentity, "nobody here knows b")
	a.Close(wire.CodeInternal, "and a second reason")
	p.exchange()
	if e := p.expect(d, EventClose); e.Close.Code != wire.CodeIdentity || e.Close.Message != "nobody here knows b" {
		t.Errorf("told is %+v", e.Close)
	}
	if _, err := d.Open(wire.LinkOpenFrame{}); !errors.Is(err, ErrNotReady) {
		t.Errorf("open after close: %v", err)
	}
	if err := d.Input(1, []byte("whatever follows")); err != nil {
		t.Errorf("input after close: %v", err)
	}
}

// TestBeats: both sides beat, know the round trip, and notice silence; a side that
// wants no beats gets none.
func TestBeats(t *testing.T) {
	const dead = 300 * time.Millisecond
	p := newPair(t, dead)
	for p.now = 1; p.now < int64(2*time.Second); p.now += int64(5 * time.Millisecond) {
		for _, c := range []*Conn{p.dialer, p.acceptor} {
			if _, err := c.Tick(p.now); err != nil {
				t.Fatalf("at %s: %v", time.Duration(p.now), err)
			}
		}
		b := collect(p.dialer)
		p.now += int64(3 * time.Millisecond)
		if err := p.acceptor.Input(p.now, b); err != nil && len(b) > 0 {
			t.Fatal(err)
		}
		if b := collect(p.acceptor); len(b) > 0 {
			p.give(b)
		}
	}
	if rtt := p.dialer.Status().RTT; rtt != 6*time.Millisecond {
		t.Errorf("round trip %s, want 6ms: 3 each way", rtt)
	}
	next, err := p.dialer.Tick(p.now)
	if err != nil || next > p.now+int64(dead)/beatsPerDeadTime {
		t.Errorf("next tick in %s (%v), beats are due each %s", time.Duration(next-p.now), err, dead/beatsPerDeadTime)
	}
	heard := p.dialer.Status().Heard
	if _, err := p.dialer.Tick(heard + int64(dead) - 1); err != nil {
		t.Errorf("just before the dead time: %v", err)
	}
	failure := (*Error)(nil)
	if _, err := p.dialer.Tick(heard + int64(dead)); !errors.As(err, &failure) || failure.Code != wire.CodeSilent {
		t.Errorf("at the dead time: %v", err)
	}
}

func TestNoBeatsForThoseWhoWantNone(t *testing.T) {
	a := New(Config{Name: "a", DeadAfter: time.Second}, 0)
	d := New(Config{Dialer: true, Name: "b"}, 0)
	p := &pair{t: t, dialer: d, acceptor: a}
	p.exchange()
	p.expect(a, EventHello)
	a.Welcome(0)
	p.exchange()
	for _, c := range []*Conn{a, d} {
		if next, err := c.Tick(int64(time.Hour)); next != math.MaxInt64 || err != nil || len(c.Output()) > 0 {
			t.Errorf("an idle connection without beats wakes at %d (%v)", next, err)
		}
	}
}

// TestBeatsWaitForOneAnother: a peer that does not read has one beat waiting, not
// a heap of them.
func TestBeatsWaitForOneAnother(t *testing.T) {
	p := newPair(t, time.Second)
	for now := int64(0); now < int64(900*time.Millisecond); now += int64(time.Millisecond) {
		if _, err := p.acceptor.Tick(now); err != nil {
			t.Fatal(err)
		}
	}
	beat := len(wire.LinkBeatFrame{}.Append(nil))
	if n := len(collect(p.acceptor)); n != beat {
		t.Errorf("%d bytes wait, want one beat of %d", n, beat)
	}
}
