//go:build !race

package gateway

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"
)

// heapBytes is what lives on the heap and the stacks.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestMemoryUnauthenticated: whatever it has sent, a connection that has not said
// who it is costs less than the limit. What it has sent stays in the kernel.
func TestMemoryUnauthenticated(t *testing.T) {
	const costBytesMax = 16 << 10
	ca := newAuthority(t, "lab")
	for _, test := range []struct {
		name string
		sent func(hello []byte) []byte
	}{
		{"silent", func([]byte) []byte { return nil }},
		{"half a record", func(p []byte) []byte { return p[:len(p)/2] }},
		{"a record, and no more", func(p []byte) []byte { return p }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLoopRig(t, loopOptions{Log: zap.NewNop()})
			address, _ := r.listen(listenOptions{Certs: ca.issue(time.Hour, "server").load(ca), HandshakeTimeout: time.Minute})
			hello := clientHello(t)
			before, n := heapBytes(), unauthenticatedPerAddressMax
			for range n {
				conn := connect(t, address, nil)
				if _, err := conn.Write(test.sent(hello)); err != nil {
					t.Fatal(err)
				}
			}
			soon(t, "all wait", func() bool {
				r.l.mu.Lock()
				defer r.l.mu.Unlock()
				return len(r.l.waiting.sockets) == n
			})
			each := (heapBytes() - before) / int64(n)
			t.Logf("%d bytes each, this end of it included", each)
			if each > costBytesMax {
				t.Errorf("%d bytes each", each)
			}
		})
	}
}

// TestMemoryIdle: both ends are in this process, so half of it is one.
func TestMemoryIdle(t *testing.T) {
	ca := newAuthority(t, "lab")
	for _, test := range []struct {
		name         string
		secret       bool
		costBytesMax int64
	}{{"plain", false, 2 << 10}, {"tls", true, 32 << 10}} {
		t.Run(test.name, func(t *testing.T) {
			r := newLoopRig(t, loopOptions{Log: zap.NewNop()})
			var o listenOptions
			var client *certs
			if test.secret {
				o.Certs, client = ca.issue(time.Hour, "server").load(ca), ca.issue(time.Hour, "client").load(ca)
			}
			address, sessions := r.listen(o)
			const n = 200
			before := heapBytes()
			var near, far []*echo
			for range n {
				result, _ := r.dial(dialOptions{Address: address, Certs: client, ServerName: "server"})
				got := receive(t, "dial", result)
				if got.err != nil {
					t.Fatal(got.err)
				}
				// Once as much as may blow up a buffer, both ways.
				r.with(func() { got.e.out = make([]byte, 200_000); got.e.s.flush() })
				near, far = append(near, got.e), append(far, receive(t, "accept", sessions))
				soon(t, "all is back", func() bool {
					r.l.mu.Lock()
					defer r.l.mu.Unlock()
					return len(got.e.kept) == 200_000
				})
				r.with(func() { got.e.kept, got.e.out, far[len(far)-1].out = nil, nil, nil })
			}
			each := (heapBytes() - before) / (2 * n)
			t.Logf("%d bytes each", each)
			if each > test.costBytesMax {
				t.Errorf("%d bytes each, at most %d are planned", each, test.costBytesMax)
			}
			runtime.KeepAlive(fmt.Sprint(len(near), len(far)))
		})
	}
}
