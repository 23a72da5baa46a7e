package gateway

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// overEach runs a test with and without TLS, over IPv4 and IPv6.
func overEach(t *testing.T, test func(t *testing.T, listen, dial *certs, address string)) {
	ca := newAuthority(t, "lab")
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run("plain "+address, func(t *testing.T) { test(t, nil, nil, address) })
		t.Run("tls "+address, func(t *testing.T) {
			test(t, ca.issue(time.Hour, "server").load(ca), ca.issue(time.Hour, "client").load(ca), address)
		})
	}
}

func TestEcho(t *testing.T) {
	overEach(t, func(t *testing.T, listen, dial *certs, address string) {
		r := newLoopRig(t, loopOptions{})
		to, sessions := r.listen(listenOptions{Address: address, Certs: listen})
		result, _ := r.dial(dialOptions{Address: to, Certs: dial, ServerName: "server"})
		near := receive(t, "dial", result)
		if near.err != nil {
			t.Fatal(near.err)
		}
		r.with(func() { near.e.out = []byte("x"); near.e.s.flush() })
		far := receive(t, "accept", sessions)
		soon(t, "the first byte is back", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(near.e.kept) == 1
		})
		if listen != nil {
			r.with(func() {
				if got := far.s.identities(); len(got) != 1 || got[0] != "client" {
					t.Errorf("the client is %q", got)
				}
				if got := near.e.s.identities(); len(got) != 1 || got[0] != "server" {
					t.Errorf("the server is %q", got)
				}
			})
		}
		for _, n := range []int{1, 47, 16 << 10, 16<<10 + 1, 3 << 20} {
			want := noise(t, n)
			r.with(func() {
				near.e.kept, near.e.out = nil, bytes.Clone(want)
				near.e.s.flush()
			})
			soon(t, "all is back", func() bool {
				r.l.mu.Lock()
				defer r.l.mu.Unlock()
				return len(near.e.kept) >= n
			})
			r.with(func() {
				if !bytes.Equal(near.e.kept, want) {
					t.Errorf("%d bytes came back changed", n)
				}
			})
		}
		goodbye := errors.New("goodbye")
		r.with(func() {
			near.e.s.close(goodbye)
			near.e.s.close(errors.New("a second time"))
			if near.e.ended != 1 {
				t.Error("closed was not called before close returned")
			}
		})
		if err := near.e.ending(t); err != goodbye {
			t.Errorf("this end was closed by %v", err)
		}
		if err := far.ending(t); !errors.Is(err, errEnded) {
			t.Errorf("the other end was closed by %v", err)
		}
	})
}

// TestIdle: a loop with nothing to do takes no turns.
func TestIdle(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{})
	for range 20 {
		conn := connect(t, address, nil)
		exchange(t, conn, []byte("x"))
		receive(t, "accept", sessions)
	}
	var before int64
	soon(t, "a pause of 200 ms without a turn", func() bool {
		before = r.turns.Load()
		time.Sleep(200 * time.Millisecond)
		return r.turns.Load() == before
	})
}

func TestTicks(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{})
	conn := connect(t, address, nil)
	exchange(t, conn, []byte("x"))
	e := receive(t, "accept", sessions)
	count := func() (n int) {
		r.with(func() { n = e.ticks })
		return n
	}
	before := count()
	r.with(e.s.retick)
	soon(t, "a tick that was asked for", func() bool { return count() > before })

	start := r.l.now()
	due := start + int64(30*time.Millisecond)
	r.with(func() { e.nextDue = due; e.s.retick() })
	soon(t, "the tick at its time", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		if now := r.l.now(); e.ticks > before+2 && now < due {
			t.Fatalf("a tick %v early", time.Duration(due-now))
		}
		if e.ticks < before+3 {
			return false
		}
		e.nextDue = never
		return true
	})

	// A session that always asks for now is held to tickMin.
	r.with(func() { e.nextDue = 0; before, start = e.ticks, r.l.now(); e.s.retick() })
	soon(t, "many ticks", func() bool { return count() > before+20 })
	r.with(func() {
		if most := int((r.l.now()-start)/int64(tickMin)) + 2; e.ticks-before > most {
			t.Errorf("%d ticks where %d were to be had", e.ticks-before, most)
		}
		e.nextDue = never
	})
}

func TestBeat(t *testing.T) {
	l, err := newLoop(loopOptions{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	beats, done := make(chan time.Time, 100), make(chan error)
	go func() { done <- l.run(ctx, func() { beats <- time.Now() }) }()
	first := receive(t, "the first beat", beats)
	second := receive(t, "the second beat", beats)
	if gap := second.Sub(first); gap > 2*beatMax {
		t.Errorf("%v between two beats", gap)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.wake() // harmless when it is over
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.listen(listenOptions{Address: "127.0.0.1:0"}); !errors.Is(err, errStopped) {
		t.Errorf("listen after the end: %v", err)
	}
	l.dial(dialOptions{Address: "127.0.0.1:1"})()
}

// TestBusyPoll: the loop then asks BeforeSleep again and again.
func TestBusyPoll(t *testing.T) {
	r := newLoopRig(t, loopOptions{BusyPoll: true})
	address, _ := r.listen(listenOptions{})
	exchange(t, connect(t, address, nil), noise(t, 1<<20))
	before := r.turns.Load()
	soon(t, "turns without events", func() bool { return r.turns.Load() > before+1000 })
}

// TestForeignWork: goroutines other than the loop's flush, tick and close.
func TestForeignWork(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{})
	var all sync.WaitGroup
	for range 4 {
		conn := connect(t, address, nil)
		exchange(t, conn, []byte("x"))
		e := receive(t, "accept", sessions)
		all.Go(func() {
			for range 200 {
				r.with(func() {
					e.out = append(e.out, make([]byte, 10_000)...)
					e.s.flush()
				})
				r.with(e.s.retick)
				r.l.wake()
			}
		})
		all.Go(func() {
			buf := make([]byte, 1<<16)
			for got := 0; got < 200*10_000; {
				n, err := conn.Read(buf)
				if err != nil {
					t.Error(err)
					return
				}
				got += n
			}
			r.with(func() { e.s.close(errors.New("done")) })
		})
	}
	all.Wait()
}

// TestLateEvent: an event of a descriptor that has been closed and given out
// again is not the new socket's.
func TestLateEvent(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{})
	conn := connect(t, address, nil)
	exchange(t, conn, []byte("x"))
	e := receive(t, "accept", sessions)
	soon(t, "the session is at rest", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		return !e.s.readable && !e.s.queued
	})
	r.with(func() {
		r.l.dispatch(unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.s.fd), Pad: e.s.serial - 1})
		if e.s.readable || e.s.queued {
			t.Error("the event of a predecessor was taken")
		}
		r.l.dispatch(unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.s.fd), Pad: e.s.serial})
		if !e.s.readable || !e.s.queued {
			t.Error("its own event was not taken")
		}
	})
}

// TestPause: nothing is received meanwhile, and nothing lost.
func TestPause(t *testing.T) {
	overEach(t, func(t *testing.T, listen, dial *certs, address string) {
		r := newLoopRig(t, loopOptions{})
		to, sessions := r.listen(listenOptions{Address: address, Certs: listen})
		result, _ := r.dial(dialOptions{Address: to, Certs: dial, ServerName: "server"})
		near := receive(t, "dial", result)
		r.with(func() { near.e.out = append(near.e.out, 'x'); near.e.s.flush() })
		far := receive(t, "accept", sessions)
		want := noise(t, 10<<20) // more than the kernel takes for both ends
		r.with(func() {
			far.keep = true
			far.s.pause()
			near.e.out = bytes.Clone(want)
			near.e.s.flush()
		})
		kept := func() (n int) {
			r.with(func() { n = len(far.kept) })
			return n
		}
		soon(t, "the sender is blocked", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return near.e.s.blocked
		})
		before := kept()
		time.Sleep(20 * time.Millisecond)
		if now := kept(); now != before || now == len(want) {
			t.Fatalf("%d bytes came in while it paused", now-before)
		}
		r.with(far.s.resume)
		soon(t, "all is there", func() bool { return kept() >= len(want) })
		r.with(func() {
			if !bytes.Equal(far.kept[len(far.kept)-len(want):], want) {
				t.Error("it came changed")
			}
		})
	})
}

// TestEndInEveryPhase: run joins and frees, however far connections have come.
func TestEndInEveryPhase(t *testing.T) {
	ca := newAuthority(t, "lab")
	server, client := ca.issue(time.Hour, "server"), ca.issue(time.Hour, "client")
	r := newLoopRig(t, loopOptions{})
	tlsAddress, _ := r.listen(listenOptions{Certs: server.load(ca)})
	plainAddress, sessions := r.listen(listenOptions{})

	silent := connect(t, tlsAddress, nil) // sends nothing
	half := connect(t, tlsAddress, nil)   // half a record
	_, _ = half.Write([]byte{22, 3, 1, 1, 0, 5})
	stalled := connect(t, tlsAddress, nil) // a hello, and no answer to the server's
	_, _ = stalled.Write(clientHello(t))
	exchange(t, connect(t, tlsAddress, client.config("server")), []byte("x"))
	exchange(t, connect(t, plainAddress, nil), []byte("x"))
	e := receive(t, "accept", sessions)

	mute, err := net.Listen("tcp", "127.0.0.1:0") // never answers a TLS client
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	result, _ := r.dial(dialOptions{Address: mute.Addr().String(), Certs: client.load(ca), ServerName: "server"})
	soon(t, "both handshakes run", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		return len(r.l.incoming.running) == 1 && len(r.l.outgoing.running) == 1
	})
	r.end()
	if got := receive(t, "dial", result); !errors.Is(got.err, errStopped) {
		t.Errorf("the dial ended with %v", got.err)
	}
	if err := e.ending(t); !errors.Is(err, errStopped) {
		t.Errorf("the session ended with %v", err)
	}
	for _, conn := range []net.Conn{silent, half, stalled} {
		_ = conn.Close()
	}
}
