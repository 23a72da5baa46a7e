package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"brokerd/internal/broker"
	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// host is a broker and a gateway, as one brokerd has them.
type host struct {
	t       testing.TB
	name    string
	dir     string
	b       *broker.Broker
	g       *Gateway
	log     *observer.ObservedLogs
	stopped sync.WaitGroup
	stop    context.CancelFunc
}

const patience = 10 * time.Second

var generous = broker.Limits{MemoryBytes: 256 << 20, Rings: 128, Attachments: 1024}

// leaks checks, at the end of a test and after its hosts, that nothing is left.
func leaks(t testing.TB) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	before := descriptors(t)
	t.Cleanup(func() {
		goleak.VerifyNone(t, ignore)
		soon(t, "every descriptor is closed", func() bool { return descriptors(t) <= before })
	})
}

func ringDir(t testing.TB) string {
	t.Helper()
	base, err := os.MkdirTemp("/dev/shm", "brokerd-gateway-")
	if err != nil {
		t.Skip("needs a tmpfs on /dev/shm: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	return filepath.Join(base, "rings")
}

// settingsOf are the settings of a host that listens on the loopback.
func settingsOf(name string) Settings {
	return Settings{Name: name, Listen: "127.0.0.1:0", HandshakeTimeout: 5 * time.Second, DeadAfter: 3 * time.Second}
}

func newHost(t testing.TB, dir string, s Settings) *host {
	t.Helper()
	h := &host{t: t, name: s.Name, dir: dir}
	var err error
	h.b, err = broker.Open(broker.Options{Dir: dir, Limits: generous, OwnerUID: uint32(os.Geteuid())})
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zap.DebugLevel)
	h.log = log
	h.g, err = New(Options{Broker: h.b, Log: zap.New(core), Settings: s, Version: "test", Beat: func() {}})
	if err != nil {
		_ = h.b.Close()
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	h.stopped.Go(func() { _ = h.b.Run(ctx, func() {}) })
	gatewayCtx, stopGateway := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.g.Run(gatewayCtx) }()
	h.stop = sync.OnceFunc(func() {
		stopGateway()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Run: %v", h.name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: Run does not return", h.name)
		}
		cancel()
		h.stopped.Wait()
		if err := h.b.Close(); err != nil {
			t.Errorf("%s: close the broker: %v", h.name, err)
		}
	})
	t.Cleanup(h.end)
	return h
}

// end stops the host, gateway first, and shows its log when the test has failed.
func (h *host) end() {
	h.stop()
	if !h.t.Failed() || h.log == nil {
		return
	}
	for _, e := range h.log.All() {
		h.t.Logf("%s: %s %s %v", h.name, e.Level, e.Message, e.ContextMap())
	}
	h.log = nil
}

func (h *host) ring(s wire.RingSpec) wire.Ring {
	h.t.Helper()
	if s.Capacity == 0 {
		s.Capacity = 64 << 10
	}
	r, err := h.b.CreateRing(s, uint32(os.Geteuid()))
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *host) apply(s Settings) (changed, kept []string) {
	h.t.Helper()
	if s.Listen == "127.0.0.1:0" {
		s.Listen = h.g.settings.Listen
	}
	changed, kept, err := h.g.Apply(s)
	if err != nil {
		h.t.Fatalf("%s: Apply: %v", h.name, err)
	}
	return changed, kept
}

// attach is what a local process gets.
func (h *host) attach(in wire.AttachIn) broker.Lease {
	h.t.Helper()
	self, err := process.Open(os.Getpid())
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = self.Close() }()
	lease, err := h.b.Attach(broker.AttachRequest{
		Conn: 1, Process: self, UID: uint32(os.Geteuid()), In: in, Authorize: func(wire.Ring) error { return nil },
	})
	if err != nil {
		h.t.Fatalf("%s: attach to %s: %v", h.name, in.Ring, err)
	}
	return lease
}

func (h *host) writer(ring string) *shmring.Producer {
	h.t.Helper()
	lease := h.attach(wire.AttachIn{Ring: ring, Role: wire.RoleProducer})
	p, err := shmring.OpenProducer(lease.Files[0], lease.Files[1:], shmring.ProducerOptions{
		Slot: lease.Out.Attachment.Slot, Generation: lease.Out.Attachment.Generation,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = p.Close() })
	return p
}

func (h *host) reader(ring string, policy shmring.Policy, from shmring.Start) *shmring.Consumer {
	h.t.Helper()
	lease := h.attach(wire.AttachIn{Ring: ring, Role: wire.RoleConsumer, Policy: wire.Policy(policy.String())})
	c, err := shmring.OpenConsumer(lease.Files[0], lease.Files[1], shmring.ConsumerOptions{
		Slot: lease.Out.Attachment.Slot, Generation: lease.Out.Attachment.Generation, Policy: policy, From: from,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// link finds the one link of that role and local ring name.
func (h *host) link(role wire.LinkRole, local string) (wire.Link, bool) {
	var found []wire.Link
	for _, l := range h.g.Links().Links {
		if l.Role == role && l.Local == local {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return wire.Link{}, false
	}
	return found[0], true
}

func (h *host) wait(role wire.LinkRole, local string, state wire.LinkState) wire.Link {
	h.t.Helper()
	var l wire.Link
	soonOr(h.t, func() bool {
		var ok bool
		l, ok = h.link(role, local)
		return ok && l.State == state
	}, func() string {
		return fmt.Sprintf("%s: %s of %s is not %s: %+v", h.name, role, local, state, h.g.Links().Links)
	})
	return l
}

// waitRefused waits for a refusal for a reason, whose text holds words.
func (h *host) waitRefused(reason, words string) {
	h.t.Helper()
	soonOr(h.t, func() bool {
		for _, r := range h.g.Links().Refusals {
			if r.Reason == reason && strings.Contains(r.Last, words) {
				return true
			}
		}
		return false
	}, func() string {
		return fmt.Sprintf("%s: no refusal %s with %q: %+v", h.name, reason, words, h.g.Links().Refusals)
	})
}

func soonOr(t testing.TB, is func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not soon: ", why())
		}
	}
}

// record is the n-th record of a test: its number, and a length that varies.
func record(n int) []byte {
	b := make([]byte, 8+n*37%200)
	binary.LittleEndian.PutUint64(b, uint64(n))
	for i := 8; i < len(b); i++ {
		b[i] = byte(n + i)
	}
	return b
}

// publish publishes the records [from, to).
func publish(t testing.TB, p *shmring.Producer, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := from; n < to; n++ {
		if err := p.Send(ctx, record(n)); err != nil {
			t.Errorf("publish record %d: %v", n, err) // any goroutine may publish
			return
		}
	}
}

// expect reads the records [from, to) and nothing else.
func expect(t testing.TB, c *shmring.Consumer, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := from; n < to; n++ {
		r, err := c.Receive(ctx)
		if err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		if string(r.Payload) != string(record(n)) || r.Missed != 0 || r.Gaps != 0 {
			t.Fatalf("record %d: got %d (%d bytes, sequence %d), missed %d, gaps %d", n,
				binary.LittleEndian.Uint64(r.Payload), len(r.Payload), r.Sequence, r.Missed, r.Gaps)
		}
	}
}
