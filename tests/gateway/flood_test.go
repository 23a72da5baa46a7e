package gateway

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	floodConnections = 10_000 // half of them plain, half at a port with TLS
	floodAddresses   = 100    // that they come from
	// floodOwnBytesMax is by how much the daemon's own memory may grow: 256
	// connections of 16 KiB, and what the collector leaves lying.
	floodOwnBytesMax = 48 << 20
)

// probe measures how long records of a take to a reader of b's mirror and to a
// remote client, in this process.
type probe struct {
	t       *testing.T
	p       *client.Producer
	readers []*client.Consumer
}

func newProbe(t *testing.T, a, b *host, remote *client.Remote) probe {
	t.Helper()
	ctx := harness.Bounded(t)
	p, err := a.client.Producer(ctx, "md", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near, err := b.client.Consumer(ctx, "md", client.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	far, err := remote.Consumer(ctx, "md", client.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return probe{t, p, []*client.Consumer{near, far}}
}

// lags sends records until end is closed, and at least so many, each when the
// one before is there. It returns the median and the longest.
func (p probe) lags(least int, end <-chan struct{}) (n int, p50, most time.Duration) {
	p.t.Helper()
	ctx := harness.Bounded(p.t)
	var took []time.Duration
	for over := false; !over || len(took) < least; {
		begin := time.Now()
		if err := p.p.Send(ctx, fmt.Appendf(nil, "%d", len(took))); err != nil {
			p.t.Fatal(err)
		}
		for _, r := range p.readers {
			record, err := r.Receive(ctx)
			if err != nil || string(record.Payload) != fmt.Sprint(len(took)) || record.Missed+record.Gaps > 0 {
				p.t.Fatalf("record %d: %q, missed %d, gaps %d, %v", len(took), record.Payload, record.Missed, record.Gaps, err)
			}
		}
		took = append(took, time.Since(begin))
		select {
		case <-end:
			over = true
		case <-time.After(time.Millisecond):
		}
	}
	slices.Sort(took)
	return len(took), took[len(took)/2], took[len(took)-1]
}

// flood makes n connections from many addresses, of which a third is silent, a
// third sends the start of what is due and no more, and a third drips. It returns
// when all were made; end closes them.
func flood(t *testing.T, address string, n int, start []byte) (end func()) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var made, attackers sync.WaitGroup
	stop := make(chan struct{})
	made.Add(floodAddresses)
	for host := range floodAddresses {
		attackers.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 3, byte(host+1))}, Timeout: harness.Patience}
			var conns []net.Conn
			defer func() {
				for _, conn := range conns {
					_ = conn.Close()
				}
			}()
			for i := range n / floodAddresses {
				conn, err := d.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					t.Errorf("connection %d from %s: %v", i, d.LocalAddr, err)
					break
				}
				conns = append(conns, conn)
				if i%3 == 1 {
					_, _ = conn.Write(start) // may be closed already, which is all right
				}
			}
			made.Done()
			for at := 0; ; at++ {
				for i, conn := range conns {
					if i%3 == 2 && at < len(start) {
						_, _ = conn.Write(start[at : at+1])
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	made.Wait()
	return func() {
		close(stop)
		attackers.Wait()
	}
}

// remoteOf dials h as a remote client of that name.
func remoteOf(t *testing.T, h *host, name string, pki *harness.Authority) *client.Remote {
	t.Helper()
	o := client.TCPOptions{Address: h.address, Name: name, Plain: pki == nil, WaitFor: harness.Patience}
	if pki != nil {
		f := pki.Files(name)
		o.Cert, o.Key, o.CA, o.ServerName = f.Cert, f.Key, f.CA, h.keys.name
	}
	r, err := client.DialTCP(harness.Bounded(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// TestFloodIsNotFelt: a gateway with a link and a remote client is flooded by
// connections that never say who they are. Both go on, without an outage, and
// somebody else is let in.
func TestFloodIsNotFelt(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name, keys := "plain", func(string) string { return "off" }
		start := []byte("\x38\x00\x00\x00\x01\x00\x00\x00BRKD") // the start of a hello
		var pki *harness.Authority
		if secure {
			name, pki = "tls", harness.NewAuthority(t, binaries)
			keys, start = func(name string) string { return pki.Issue(name) }, clientHello(t)
			pki.Issue("c")
			pki.Issue("d")
		}
		t.Run(name, func(t *testing.T) {
			a := startHost(t, mdRing, gatewayKeys{name: "a", tls: keys("a"), export: "[md]", peers: []string{"{name: b}", "{name: c}", "{name: d}"}})
			b := startHost(t, "[]", gatewayKeys{name: "b", tls: keys("b"), silent: true, peers: []string{a.asPeer("[md]")}})
			steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
			p := newProbe(t, a, b, remoteOf(t, a, "c", pki))
			calm := make(chan struct{})
			close(calm)
			_, calm50, calmMost := p.lags(300, calm)
			before := harness.UsageOf(t, a.PID())

			over := make(chan struct{})
			var end func()
			go func() {
				defer close(over)
				end = flood(t, a.address, floodConnections/2, start)
			}()
			n, under50, underMost := p.lags(300, over)
			defer end()
			under := harness.UsageOf(t, a.PID())
			remoteOf(t, a, "d", pki)
			if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS || now.Reconnects != 0 || now.Gaps != 0 {
				t.Errorf("the link was %+v and is %+v", steady, now)
			}
			grown := under.OwnBytes - before.OwnBytes
			if grown > floodOwnBytesMax || under.Files > before.Files+600 {
				t.Errorf("the daemon has grown by %d bytes, and has %d files, had %d", grown, under.Files, before.Files)
			}
			fmt.Printf("counts: hostile network: %s: %d connections that say nothing, %d records meanwhile: lag p50 %v (calm %v), most %v (calm %v); own memory +%d KiB, files +%d\n",
				name, floodConnections/2, n, under50, calm50, underMost, calmMost, grown>>10, under.Files-before.Files)
		})
	}
}

// clientHello is what a client of TLS sends first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: "a", MinVersion: tls.VersionTLS13}).Handshake()
		_ = near.Close()
	}()
	defer func() { _ = far.Close() }()
	hello := make([]byte, 16<<10)
	n, err := far.Read(hello) // crypto/tls writes a record at once, and a pipe hands it over so
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}
