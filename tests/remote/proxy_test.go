package remote_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy forwards TCP connections, and breaks them when it is told to.
type proxy struct {
	address string
	to      string
	ln      net.Listener
	all     sync.WaitGroup

	mu      sync.Mutex
	open    map[*net.TCPConn]struct{}
	resets  int
	closing bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: ln.Addr().String(), to: to, ln: ln, open: map[*net.TCPConn]struct{}{}}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closing = true
		p.mu.Unlock()
		_ = ln.Close()
		p.reset()
		p.all.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		near, err := p.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil { // nobody is there now
			_ = near.Close()
			continue
		}
		p.forward(near.(*net.TCPConn), far.(*net.TCPConn))
		p.forward(far.(*net.TCPConn), near.(*net.TCPConn))
	}
}

// forward copies one way, and closes both when that ends.
func (p *proxy) forward(from, to *net.TCPConn) {
	p.mu.Lock()
	p.open[from] = struct{}{}
	closing := p.closing
	p.mu.Unlock()
	if closing {
		_ = from.Close()
	}
	p.all.Go(func() {
		_, _ = io.Copy(to, from) // a reset is what this is about
		p.mu.Lock()
		delete(p.open, from)
		p.mu.Unlock()
		_ = from.Close()
		_ = to.Close()
	})
}

// reset breaks all connections as a network does that lost its state: both ends
// get a reset, and what was on its way is gone.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	p.resets += len(p.open) / 2
}

// resetEvery resets until the test ends or stop is called, which says how often a
// connection was cut.
func (p *proxy) resetEvery(every time.Duration) (stop func() int) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.reset()
			case <-quit:
				return
			}
		}
	})
	return sync.OnceValue(func() int {
		close(quit)
		done.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.resets
	})
}
