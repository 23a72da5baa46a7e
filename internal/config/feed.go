package config

import "time"

// Limits of a feed.
const (
	FeedsMax           = 256
	FrameBytesMin      = 1
	FrameBytesMax      = 16 << 20
	FeedIdleTimeoutMax = 24 * time.Hour
	FeedConnectionsMax = 4096
)

// Defaults of a feed.
const (
	DefaultFrameMaxBytes   = 64 << 10
	DefaultFeedConnections = 16
)

// Values of direction and framing.
const (
	DirectionIn  = "in"
	DirectionOut = "out"
	FramingLine  = "line"
	FramingU16   = "u16be"
	FramingU32   = "u32be"
	FramingFIX   = "fix"
)

const (
	wantFrameMax    = "a size from 1B to 16MiB, such as 64KiB"
	wantIdleTimeout = "a time from 0s (none) to 24h, such as 30s"
)

// Feed is a raw TCP stream whose frames are the records of a ring.
type Feed struct {
	Name           string
	Ring           string        // a configured ring, or for direction out a mirror
	Connect        string        // host:port to connect to; "" when it listens
	Listen         string        // host:port to listen on; "" when it connects
	Direction      string        // in: frames become records; out: records become frames
	Framing        string        // line, u16be, u32be or fix
	FrameMax       Size          // bytes of the longest frame, without its delimiter or prefix
	IdleTimeout    time.Duration // a connection silent for so long is closed; 0: never
	ConnectionsMax int           // at a time, of a feed that listens
}

func defaultFeed() Feed {
	return Feed{FrameMax: DefaultFrameMaxBytes, ConnectionsMax: DefaultFeedConnections}
}

func framingWords() []string { return []string{FramingLine, FramingU16, FramingU32, FramingFIX} }

func directionWords() []string { return []string{DirectionIn, DirectionOut} }
