package link

import (
	"time"

	"brokerd/internal/wire"
)

// hello is a dialer's first frame.
func (c *Conn) hello() {
	c.out.control(wire.LinkHelloFrame{
		VersionMin: wire.LinkVersion, VersionMax: wire.LinkVersion,
		DeadAfterMS: c.deadAfterMS(), Session: c.c.Session,
		Name: c.c.Name, Agent: c.c.Agent,
	}.Append)
}

func (c *Conn) deadAfterMS() uint32 {
	if c.c.DeadAfter <= 0 {
		return 0
	}
	return uint32(min(max(c.c.DeadAfter.Milliseconds(), wire.LinkDeadAfterMSMin), wire.LinkDeadAfterMSMax))
}

// gotHello is the first frame that an acceptor gets.
func (c *Conn) gotHello(frame []byte) error {
	if c.c.Dialer || c.phase != phaseGreeting {
		return c.fail(wire.CodeProtocol, "hello is the first frame of the one who dialled, and comes once")
	}
	f, err := wire.DecodeLinkHello(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	c.peer = peer{f.Name, f.Agent}
	if f.VersionMin > wire.LinkVersion || f.VersionMax < wire.LinkVersion {
		return c.fail(wire.CodeVersion, "%s speaks versions %d to %d of the protocol between hosts, this side speaks version %d; run the same version of brokerd on both",
			f.Name, f.VersionMin, f.VersionMax, wire.LinkVersion)
	}
	c.phase = phaseAsked
	c.beats.agree(f.DeadAfterMS, c.deadAfterMS())
	c.event(Event{Kind: EventHello, Hello: f})
	return nil
}

// Welcome takes the peer of an EventHello.
func (c *Conn) Welcome(now int64) {
	if c.phase != phaseAsked {
		return
	}
	c.phase = phaseReady
	c.beats.start(now)
	c.out.control(wire.LinkWelcomeFrame{
		Version: wire.LinkVersion, StreamsMax: uint16(c.c.StreamsMax),
		DeadAfterMS: c.deadAfterMS(), Name: c.c.Name, Agent: c.c.Agent,
	}.Append)
}

// gotWelcome is the answer to a dialer's hello.
func (c *Conn) gotWelcome(now int64, frame []byte) error {
	if !c.c.Dialer || c.phase != phaseGreeting {
		return c.fail(wire.CodeProtocol, "welcome answers a hello, and comes once")
	}
	f, err := wire.DecodeLinkWelcome(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	if f.Version != wire.LinkVersion {
		return c.fail(wire.CodeVersion, "%s chose version %d, offered was version %d", f.Name, f.Version, wire.LinkVersion)
	}
	c.phase = phaseReady
	c.peer = peer{f.Name, f.Agent}
	c.streamsMax = int(f.StreamsMax)
	c.beats.agree(f.DeadAfterMS, c.deadAfterMS())
	c.beats.start(now)
	c.event(Event{Kind: EventWelcome, Welcome: f})
	return nil
}

// gotClose is the peer's last frame, whatever came before it.
func (c *Conn) gotClose(frame []byte) error {
	f, err := wire.DecodeLinkClose(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	c.over()
	c.event(Event{Kind: EventClose, Close: f})
	return nil
}

// milliseconds in the unit of now.
func milliseconds(n uint32) int64 { return int64(n) * int64(time.Millisecond) }
