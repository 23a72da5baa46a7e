package client_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"brokerd/client"
)

// far is a daemon with a gateway, and what a test uses to reach it: a Client on its
// host, and a Remote that could be anywhere.
type far struct {
	*daemon
	address string
	near    *client.Client
	remote  *client.Remote
}

// farName is the Remote of the tests, as the gateway lists it.
const farName = "desk"

// startFar starts a daemon with rings, in YAML. The Remote may do all with those
// called md and orders, and read those called open.
func startFar(t *testing.T, rings string) *far {
	t.Helper()
	d, err := newDaemon()
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(d.remove)
	f := &far{daemon: d}
	if f.address, err = freeAddress(); err == nil {
		err = f.write(rings)
	}
	if err == nil {
		err = d.start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(d.base + "/log")
			t.Logf("log of brokerd:\n%s", log)
		}
	})
	f.near = dialDaemon(t, d)
	f.remote = f.dial(t)
	return f
}

func (f *far) write(rings string) error {
	text := fmt.Sprintf(`dir: %s/rings
control: {socket: %s}
rings: %s
gateway:
  name: far
  listen: %s
  tls: off
  export: [open]
  peers:
    - {name: %s, allow: {export: [md, orders], import: [md, orders], gate: [md, orders]}}
`, f.base, f.socket, rings, f.address, farName)
	return os.WriteFile(f.config, []byte(text), 0o600)
}

// freeAddress is one where nobody listens.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func (f *far) dial(t *testing.T) *client.Remote {
	t.Helper()
	r, err := client.DialTCP(bounded(t), client.TCPOptions{Address: f.address, Plain: true, Name: farName, WaitFor: waitMax})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil && !t.Failed() {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

func (f *far) consumer(t *testing.T, ring string, o client.ConsumerOptions) *client.Consumer {
	t.Helper()
	r, err := f.remote.Consumer(bounded(t), ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *far) producer(t *testing.T, ring string, o client.ProducerOptions) *client.Producer {
	t.Helper()
	p, err := f.remote.Producer(bounded(t), ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *far) nearProducer(t *testing.T, ring string) *client.Producer {
	t.Helper()
	p, err := f.near.Producer(bounded(t), ring, client.ProducerOptions{Name: "near"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func publish(t *testing.T, p *client.Producer, from, to int) {
	t.Helper()
	ctx := bounded(t)
	for i := from; i < to; i++ {
		if err := p.Send(ctx, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatalf("send %d: %v", i, err)
		}
	}
}

func expect(t *testing.T, r *client.Consumer, from, to int) (last client.Record) {
	t.Helper()
	ctx := bounded(t)
	for i := from; i < to; i++ {
		record, err := r.Receive(ctx)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if want := fmt.Sprint(i); string(record.Payload) != want || record.Missed+record.Gaps != 0 {
			t.Fatalf("record %d is %q, missed %d, gaps %d", i, record.Payload, record.Missed, record.Gaps)
		}
		last = record
	}
	return last
}

const farRings = "[{name: md, capacity: 1MiB, record_max: 1KiB}, {name: orders, capacity: 64KiB, producers: many, checksum: true, resume_for: 30s}, {name: open, capacity: 64KiB}, {name: secret, capacity: 64KiB}]"
