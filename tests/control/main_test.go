// Package control tests the control socket from outside: a real broker and a
// real server, called with github.com/varlink/go, which knows nothing of
// brokerd. The interface description says what must come back.
package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varlink/go/varlink"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/control"
	"brokerd/internal/shmring"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// asUser names the socket for a child that this binary starts as another user.
const asUser = "BROKERD_TEST_AS_USER"

func TestMain(m *testing.M) {
	if path := os.Getenv(asUser); path != "" {
		if err := stranger(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const waitMax = 10 * time.Second

// service is a broker and its control socket.
type service struct {
	dir    string // readable by everybody
	path   string // of the socket
	rings  string // the broker's directory
	broker *broker.Broker
	server *control.Server
	state  atomic.Value // wire.DaemonState
	spoilt atomic.Bool  // what Reload finds
}

// configFile is where the configuration is said to come from.
const configFile = "/etc/brokerd/brokerd.yaml"

func (s *service) reload(context.Context) (wire.ReloadOut, error) {
	if s.spoilt.Load() {
		return wire.ReloadOut{}, wire.InvalidConfig(configFile, "%s:1: limts: unknown key (did you mean \"limits\"?)", configFile)
	}
	return wire.ReloadOut{File: configFile, Changed: wire.List[string]{"log.level is debug, was info"},
		Kept: wire.List[string]{"dir stays /dev/shm/brokerd"}}, nil
}

// links has one of everything.
func links() wire.ListLinksOut {
	return wire.ListLinksOut{
		Listen:       "[::]:7000",
		Links:        wire.List[wire.Link]{{Peer: "b", Role: wire.LinkRoleReader, Ring: "md", Local: "md", State: wire.LinkConnected}},
		Feeds:        wire.List[wire.FeedStatus]{{Name: "f", Ring: "md", Direction: "in", Framing: "line", State: "connected"}},
		Refusals:     wire.List[wire.LinkRefusal]{{Reason: "identity", Count: 1, Last: "somebody"}},
		Certificates: wire.List[wire.LinkCertificate]{{File: "a.pem", Names: wire.List[string]{"a"}, NotAfterNS: 1}},
	}
}

func start(t *testing.T) *service {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "brokerd-tests-control-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &service{dir: dir, path: filepath.Join(dir, "control.sock"), rings: filepath.Join(dir, "rings")}
	s.state.Store(wire.DaemonReady)
	s.broker, err = broker.Open(broker.Options{
		Dir: s.rings, OwnerUID: uint32(os.Getuid()), Limits: broker.Limits{MemoryBytes: 4 << 20, Rings: 4, Attachments: 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := unixconn.Listen(s.path, 0o666, -1)
	if err != nil {
		t.Fatal(err)
	}
	s.server = control.New(control.Options{
		Broker: s.broker, Log: zap.NewNop(), OwnerUID: uint32(os.Getuid()), AdminGID: -1,
		ConnectionsMax: 64, Version: "1.2.3",
		State:  func() string { return string(s.state.Load().(wire.DaemonState)) },
		Reload: s.reload,
		Config: func() (string, int64) { return configFile, time.Now().UnixNano() },
		Links:  links,
	})
	ctx, stop := context.WithCancel(context.Background())
	watched, served := make(chan error, 1), make(chan error, 1)
	go func() { watched <- s.broker.Run(ctx, func() {}) }()
	go func() { served <- s.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		<-watched
		if err := s.broker.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	return s
}

// dial connects with the varlink library.
func (s *service) dial(t *testing.T) *varlink.Connection {
	t.Helper()
	conn, err := varlink.NewConnection(deadline(t), "unix:"+s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *service) ring(t *testing.T, spec wire.RingSpec) wire.Ring {
	t.Helper()
	if spec.Capacity == 0 {
		spec.Capacity = 64 << 10
	}
	ring, err := s.broker.CreateRing(spec, uint32(os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// mirror makes a ring as the gateway does.
func (s *service) mirror(t *testing.T, name string) wire.Ring {
	t.Helper()
	ring, err := s.broker.CreateMirror(broker.MirrorSpec{
		Name: name, Peer: "b", Ring: "md", ConsumersMax: 2,
		Config: shmring.Config{Capacity: 64 << 10, RecordMax: 4096, Epoch: 7, Key: 1 << 62, Timestamps: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

func ptr[T any](v T) *T { return &v }
