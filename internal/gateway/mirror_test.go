package gateway

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// pairOf are two hosts: a exports ring "r", b mirrors it as "r.a".
func pairOf(t testing.TB, spec wire.RingSpec, mirror Mirror, change func(a, b *Settings)) (a, b *host) {
	t.Helper()
	leaks(t)
	sa, sb := settingsOf("a"), settingsOf("b")
	sa.Export = []string{"r"}
	sa.Peers = []Peer{{Name: "b"}}
	if mirror.Ring == "" {
		mirror.Ring, mirror.As = "r", "r.a"
	}
	sb.Peers = []Peer{{Name: "a", Mirror: []Mirror{mirror}}}
	if change != nil {
		change(&sa, &sb)
	}
	a = newHost(t, ringDir(t), sa)
	if spec.Name = "r"; spec.Capacity == 0 {
		spec.Capacity = 64 << 10
	}
	a.ring(spec)
	sb.Peers[0].Address = a.g.Address()
	b = newHost(t, ringDir(t), sb)
	return a, b
}

func TestMirror(t *testing.T) {
	for _, c := range []struct {
		name string
		spec wire.RingSpec
	}{
		{"one producer", wire.RingSpec{Name: "r"}},
		{"many producers", wire.RingSpec{Name: "r", Producers: wire.ProducersMany}},
		{"checksums", wire.RingSpec{Name: "r", Checksum: true}},
		{"no timestamps", wire.RingSpec{Name: "r", Timestamps: new(false)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pairOf(t, c.spec, Mirror{}, nil)
			origin := a.b.Rings()[0]
			w := a.writer("r")
			publish(t, w, 0, 100)
			b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
			r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
			expect(t, r, 0, 100)
			if r.Epoch() != origin.Epoch {
				t.Errorf("epoch %d, the origin's is %d", r.Epoch(), origin.Epoch)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				publish(t, w, 100, 20000) // many laps
			}()
			expect(t, r, 100, 20000)
			<-done
			if r.Position() != w.Position() || r.Sequence() != w.Sequence() {
				t.Errorf("the mirror ends at %d, %d; the origin at %d, %d", r.Position(), r.Sequence(), w.Position(), w.Sequence())
			}
			soon(t, "the origin knows", func() bool {
				l, ok := a.link(wire.LinkRoleExport, "r")
				return ok && l.Position == w.Position() && l.LagBytes == 0 && l.LagRecords == 0
			})
			l, _ := b.link(wire.LinkRoleMirror, "r.a")
			if l.Gaps != 0 || l.Sequence != w.Sequence() || l.Epoch != origin.Epoch || l.Ring != "r" || l.Peer != "a" || time.Since(time.Unix(0, l.SinceNS)) > time.Hour {
				t.Errorf("link: %+v", l)
			}
		})
	}
}

func TestMirrorOverTLS(t *testing.T) {
	ca := newAuthority(t, "lab")
	fa, fb := ca.issue(time.Hour, "a").files(t.TempDir(), ca), ca.issue(time.Hour, "b").files(t.TempDir(), ca)
	a, b := pairOf(t, wire.RingSpec{}, Mirror{}, func(sa, sb *Settings) {
		sa.TLS, sb.TLS = &fa, &fb
		sa.DeadAfter, sb.DeadAfter = 300*time.Millisecond, 300*time.Millisecond
	})
	w := a.writer("r")
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	go publish(t, w, 0, 5000)
	r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	expect(t, r, 0, 5000)
	soon(t, "the round trip was measured on both sides", func() bool {
		m, _ := b.link(wire.LinkRoleMirror, "r.a")
		x, _ := a.link(wire.LinkRoleExport, "r")
		return m.RTTNS > 0 && x.RTTNS > 0 && m.TLS && x.TLS && m.Reconnects == 0
	})
	// Certificates that are read again hold for the next connection, and cut none.
	ca.issue(time.Hour, "b", "b.example").files(filepath.Dir(fb.Cert), ca)
	b.apply(b.g.settings)
	publish(t, w, 5000, 5100)
	expect(t, r, 5000, 5100)
	if m, _ := b.link(wire.LinkRoleMirror, "r.a"); m.Reconnects != 0 {
		t.Errorf("a reload of certificates has cut the link: %+v", m)
	}
}

// cut closes every connection of a host, as a network does that fails.
func (h *host) cut() {
	h.g.loop.mu.Lock()
	defer h.g.loop.mu.Unlock()
	for c := range h.g.conns {
		c.sock.broken = true // no last words
		c.sock.close(errBroken)
	}
}

func TestMirrorOverBrokenConnections(t *testing.T) {
	for _, side := range []string{"a", "b"} {
		t.Run("cut at "+side, func(t *testing.T) {
			a, b := pairOf(t, wire.RingSpec{}, Mirror{}, nil)
			w := a.writer("r")
			b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
			r := b.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
			cutter := map[string]*host{"a": a, "b": b}[side]
			done := make(chan struct{})
			go func() {
				defer close(done)
				for n := 0; n < 20000; n += 1000 {
					publish(t, w, n, n+1000)
					cutter.cut()
				}
			}()
			expect(t, r, 0, 20000)
			<-done
			l := b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
			if l.Gaps != 0 || l.Reconnects == 0 {
				t.Errorf("a reader that holds its ring loses nothing: %+v", l)
			}
			soon(t, "one reader at the origin", func() bool { return len(a.attachments("r")) == 2 }) // and its producer
		})
	}
}

func (h *host) attachments(ring string) []wire.Attachment {
	h.t.Helper()
	list, err := h.b.Attachments(ring)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// TestParking: while the peer is away its reader holds the ring, and when it is
// back nothing is missing.
func TestParking(t *testing.T) {
	a, b := pairOf(t, wire.RingSpec{}, Mirror{Ring: "r", As: "r.a", Policy: wire.PolicyBlock}, func(a, b *Settings) { a.Peers[0].Allow.Gate = []string{"r"} })
	w := a.writer("r")
	b.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	settings := b.g.settings
	b.stop()
	l := a.wait(wire.LinkRoleExport, "r", wire.LinkWaiting)
	if l.Reason == "" || l.ID == "" || l.Peer != "b" {
		t.Errorf("parked: %+v", l)
	}
	n := 0
	for ; n < 10000; n++ {
		if err := w.TrySend(record(n)); errors.Is(err, shmring.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n == 10000 {
		t.Fatal("a parked block reader does not hold the ring")
	}
	b2 := newHost(t, b.dir, settings)
	b2.wait(wire.LinkRoleMirror, "r.a", wire.LinkConnected)
	r := b2.reader("r.a", shmring.PolicyBlock, shmring.FromOldest())
	first := r.Sequence() // the mirror lets its oldest records go for what is to come
	if first >= uint64(n) {
		t.Fatalf("the mirror holds nothing of the outage: from %d, %d were published", first, n)
	}
	expect(t, r, int(first), n)
	go publish(t, w, n, n+5000)
	expect(t, r, n, n+5000)
	l = a.wait(wire.LinkRoleExport, "r", wire.LinkConnected)
	if l.Reconnects != 1 || l.Gaps != 0 {
		t.Errorf("export: %+v", l)
	}
}
