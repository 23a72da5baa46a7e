package config

import "os"

// Limits of the configuration. The reference, docs/CONFIGURATION.md, states
// the same numbers.
const (
	// fileBytesMax bounds a configuration file before it is parsed.
	fileBytesMax = 1 << 20
	// socketPathBytesMax is sun_path of a Unix socket address, less its NUL.
	socketPathBytesMax = 107
	// dirBytesMax leaves room for a ring's file name within PATH_MAX, 4096.
	dirBytesMax = 3072

	MemoryBytesMin = CapacityBytesMin
	MemoryBytesMax = 16 << 40
	RingsMax       = 4096
	AttachmentsMax = 65536
	ConnectionsMax = 65536
)

// Defaults of keys that a file leaves out. Those of a ring, of
// the gateway and of a feed stand with their limits.
const (
	DefaultMode        = os.FileMode(0o660)
	DefaultMemoryBytes = 1 << 30
	DefaultRings       = 256
	DefaultAttachments = 4096
	DefaultConnections = 4096
	DefaultLevel       = LevelInfo
	DefaultFormat      = FormatConsole
)

// Values of log.level and log.format.
const (
	LevelDebug    = "debug"
	LevelInfo     = "info"
	LevelWarn     = "warn"
	LevelError    = "error"
	FormatConsole = "console"
	FormatJSON    = "json"
)

// Config is everything that an operator can tell the daemon.
type Config struct {
	Dir     string // folder of the ring files, absolute; "" until Resolve
	Control Control
	Admin   Admin
	Limits  Limits
	Rings   []Ring // nil when there are none; names are unique
	Gateway Gateway
	Feeds   []Feed // nil when there are none; names are unique
	Log     Log
}

// Control is the control socket and who may use it.
type Control struct {
	Socket     string      // absolute path of at most 107 bytes; "" until Resolve
	Mode       os.FileMode // permission bits of the socket, owner rw at least
	Group      string      // name or number that the socket is given to; "" for the daemon's own
	AdminGroup string      // name or number whose members may use admin calls; "" for none
}

// Admin is the HTTP listener of /metrics, /healthz and /readyz.
type Admin struct {
	Listen string // host:port, port 0 for any free one; "" for no listener
}

// Limits bound what clients can make the daemon spend.
type Limits struct {
	Memory      Size // bytes, over the capacities of all rings
	Rings       int  // rings that exist at a time
	Attachments int  // attachments that exist at a time
	Connections int  // control connections open at a time
	PerUID      PerUID
}

// PerUID bounds what one user can make the daemon spend; 0 is no quota. Root and
// the daemon's own user have none.
type PerUID struct {
	Memory      Size // bytes, over the rings that the user has created
	Attachments int
	Connections int
}

// Log is the daemon's own log, on stderr.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // console or json
}

// Default returns the configuration of a daemon that was given no file. It
// equals what Parse makes of configs/brokerd.yaml.
func Default() *Config {
	c := withoutRings()
	md := DefaultRing("md")
	md.RecordMax = md.Capacity / recordMaxShareDefault
	c.Rings = []Ring{md}
	return c
}

// withoutRings returns what an empty file means: every default and no ring.
func withoutRings() *Config {
	return &Config{
		Control: Control{Mode: DefaultMode},
		Limits: Limits{
			Memory:      DefaultMemoryBytes,
			Rings:       DefaultRings,
			Attachments: DefaultAttachments,
			Connections: DefaultConnections,
		},
		Gateway: Gateway{HandshakeTimeout: DefaultHandshakeTimeout, DeadAfter: DefaultDeadAfter},
		Log:     Log{Level: DefaultLevel, Format: DefaultFormat},
	}
}
