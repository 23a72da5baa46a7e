package gateway

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

// roundTrips measures echoes of 64 bytes, one by one, until end is closed, and at
// least 300.
func roundTrips(t *testing.T, conn net.Conn, end <-chan struct{}) (n int, p50, p99 time.Duration) {
	t.Helper()
	var took []time.Duration
	p := make([]byte, 64)
	for over := false; !over || len(took) < 300; {
		start := time.Now()
		if _, err := conn.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, p); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
		select {
		case <-end:
			over = true
		default:
		}
	}
	slices.Sort(took)
	return len(took), took[len(took)/2], took[len(took)*99/100]
}

// TestFlood: 2000 connections that say nothing, drip, or let their handshake
// stand leave an established one its latency, and one that comes from elsewhere
// its place.
func TestFlood(t *testing.T) {
	const flood, hosts = 2000, 20
	// What an echo may take: far more than it does, because the attackers need
	// this machine, too, and far less than the seconds that it would take behind a
	// flood that is served first.
	const p50Max, p99Max = 25 * time.Millisecond, 500 * time.Millisecond
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{Log: zap.NewNop()})
	o := listenOptions{Address: "0.0.0.0:0", Certs: ca.issue(time.Hour, "server").load(ca)}
	var most int
	o.Refused = func(string, error) { most = max(most, len(r.l.waiting.sockets)) }
	address, _ := r.listen(o)
	_, port, _ := net.SplitHostPort(address)
	config := ca.issue(time.Hour, "client").config("server")
	link := connect(t, "127.0.0.1:"+port, config)
	exchange(t, link, []byte("established"))
	calm := make(chan struct{})
	close(calm)
	_, calm50, calm99 := roundTrips(t, link, calm)

	hello := clientHello(t)
	var attackers, arrived sync.WaitGroup
	arrived.Add(hosts)
	all := make(chan struct{})
	go func() {
		arrived.Wait()
		close(all)
	}()
	stop := make(chan struct{})
	for host := range hosts {
		attackers.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(host+1))}, Timeout: 5 * time.Second}
			var conns []net.Conn
			arrive := sync.OnceFunc(arrived.Done)
			defer arrive()
			defer func() {
				for _, conn := range conns {
					_ = conn.Close()
				}
			}()
			for i := range flood / hosts {
				conn, err := d.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					t.Errorf("attacker: %v", err)
					return
				}
				conns = append(conns, conn)
				if i%3 == 1 {
					_, _ = conn.Write(hello) // and then nothing
				}
			}
			arrive()
			for at := 0; ; at++ {
				for i, conn := range conns {
					if i%3 == 2 && at < len(hello) {
						_, _ = conn.Write(hello[at : at+1])
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	defer attackers.Wait()
	defer close(stop)
	n, flooded50, flooded99 := roundTrips(t, link, all)
	newcomer := connect(t, "127.0.0.1:"+port, config)
	exchange(t, newcomer, []byte("from elsewhere"))
	t.Logf("round trips p50 and p99: %v and %v, %d with the flood %v and %v", calm50, calm99, n, flooded50, flooded99)
	if flooded50 > p50Max || flooded99 > p99Max {
		t.Errorf("the flood is felt: p50 %v, p99 %v", flooded50, flooded99)
	}
	r.with(func() {
		if most > unauthenticatedMax || len(r.l.waiting.sockets) > unauthenticatedMax {
			t.Errorf("%d waited at a time", most)
		}
	})
}
