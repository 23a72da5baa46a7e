package shmring

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lendMirror opens the writer of a mirror in files.
func lendMirror(t testing.TB, r *Ring, o MirrorOptions) *Mirror {
	t.Helper()
	data, cursors, err := r.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenMirror(data, cursors, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// lendConsumer opens a reader of a ring in files, with options of its own.
func lendConsumer(t testing.TB, r *Ring, slot int, policy Policy, o ConsumerOptions) *Consumer {
	t.Helper()
	if err := r.BindConsumer(slot, Binding{Generation: 1, Policy: policy, DemoteAfter: time.Second, Parks: true}); err != nil {
		t.Fatal(err)
	}
	data, cursor, err := r.LendConsumer(slot)
	if err != nil {
		t.Fatal(err)
	}
	o.Slot, o.Generation, o.Policy = slot, 1, policy
	c, err := OpenConsumer(data, cursor, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A private ring of a remote reader: it starts anywhere, has no names, and tells
// how far its reader is, to the record.
func TestPrivateRing(t *testing.T) {
	before := openFDs(t)
	config := testConfig(1 << 20)
	config.Mirror, config.ConsumersMax = true, 1
	r, err := CreatePrivate(config, Boundary{1 << 30, 12345})
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range []*os.File{r.data, r.pages[0]} {
		if flags, err := unix.FcntlInt(fd.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Fatalf("%s: flags %#x, %v", fd.Name(), flags, err)
		}
	}
	m := lendMirror(t, r, MirrorOptions{Missed: true, KeptByReaders: true})
	if kept, _, err := m.Progress(); err != nil || kept != m.End() || m.End() != (Boundary{1 << 30, 12345}) {
		t.Fatalf("%+v, %+v, %v", kept, m.End(), err)
	}
	c := lendConsumer(t, r, 0, PolicySkip, ConsumerOptions{KeepCursor: true, From: FromOldest()})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		_, limit, err := m.Progress()
		if err != nil {
			t.Fatal(err)
		}
		if limit-m.tail >= JumpBytesMax && rng.IntN(10) == 0 {
			if err := m.Jump(m.tail+160, 3); err != nil {
				t.Fatal(err)
			}
		} else if limit > m.tail {
			place(t, m, rng, int(limit-m.tail))
		}
		for range rng.IntN(30) {
			_, err := c.TryReceive()
			done := Boundary{c.Position(), c.Sequence()}
			if err != nil { // all was given, and is done with
				break
			}
			kept, _, err := m.Progress()
			if err != nil || kept.Sequence > done.Sequence || kept.Sequence+1 < done.Sequence-c.Stats().MissedRecords {
				t.Fatalf("kept %+v, the reader is at %+v, %v", kept, done, err)
			}
		}
	}
	for {
		if _, err := c.TryReceive(); err == ErrEmpty {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s := balanced(t, c, 12345)
	if kept, _, err := m.Progress(); err != nil || kept != m.End() || s.MissedRecords == 0 || s.GapRecords != 0 {
		t.Fatalf("kept %+v of %+v, %v, %+v", kept, m.End(), err, s)
	}
	if err := errors.Join(c.Close(), m.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if after := openFDs(t); after != before {
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

// A private ring of a remote producer: an ordinary producer at any start, whose
// records a reader of spans takes.
func TestPrivateProducer(t *testing.T) {
	for _, many := range []bool{false, true} {
		config := testConfig(CapacityBytesMin)
		config.Many, config.ConsumersMax = many, 1
		start := Boundary{7<<20 + 48, 99}
		r, err := CreatePrivate(config, start)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		feed := lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{Spans: true, From: FromOldest(), KeepCursor: true})
		p := openProducer(t, r)
		if feed.EndBoundary() != start || p.Position() != start.Position || !many && p.Sequence() != start.Sequence {
			t.Fatalf("%+v, producer %d, %d", feed.EndBoundary(), p.Position(), p.Sequence())
		}
		records := uint64(0)
		for i := range 2000 {
			mustSend(t, p, payload(i, i%2000))
			s, err := feed.NextSpan(1 << 20)
			if err != nil || s.Missed+s.Gaps != 0 || !s.Stable {
				t.Fatalf("%+v %v", s, err)
			}
			n, _ := parts(t, &feed.geometry, s)
			if records += n; records <= uint64(i) { // a pad goes first
				if s, err = feed.NextSpan(1 << 20); err != nil {
					t.Fatal(err)
				}
				n, _ = parts(t, &feed.geometry, s)
				records += n
			}
			if err := feed.Release(feed.EndBoundary()); err != nil {
				t.Fatal(err)
			}
		}
		if records != 2000 || feed.EndBoundary() != (Boundary{p.Position(), start.Sequence + 2000}) {
			t.Fatalf("%d records, %+v", records, feed.EndBoundary())
		}
	}
}

// Starts that no ring can have, and writers of the wrong kind, are refused.
func TestCreateAtRefuses(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	for _, bad := range []Boundary{{8, 0}, {16, 2}, {positionMax, 0}} {
		if r, err := CreatePrivate(config, bad); err == nil {
			r.Close()
			t.Errorf("start at %+v", bad)
		}
	}
	for _, mirror := range []bool{false, true} {
		config.Mirror = mirror
		r, err := CreatePrivate(config, Boundary{16, 1})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.BindProducer(0, Binding{Generation: 1}); err != nil {
			t.Fatal(err)
		}
		data, cursors, err := r.LendProducer()
		if err != nil {
			t.Fatal(err)
		}
		p, err := OpenProducer(data, cursors, ProducerOptions{Generation: 1})
		if (err == nil) == mirror {
			t.Errorf("a producer, mirror %v: %v", mirror, err)
		}
		if err == nil {
			p.Close()
		}
		if data, cursors, err = r.LendProducer(); err != nil {
			t.Fatal(err)
		}
		m, err := OpenMirror(data, cursors, MirrorOptions{})
		if (err == nil) != mirror {
			t.Errorf("a mirror's writer, mirror %v: %v", mirror, err)
		}
		if err == nil {
			m.Close()
		}
	}
}

// CreateAt in files, opened again: the same ring.
func TestCreateAt(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "shmring-test-")
	if err != nil {
		t.Skip("needs a tmpfs at /dev/shm: ", err)
	}
	defer os.RemoveAll(dir)
	config := testConfig(CapacityBytesMin)
	config.Mirror, config.Many = true, true
	r, err := CreateAt(dir, config, Boundary{1 << 40, 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := r.Stats()
	if err != nil || s.Position != 1<<40 || s.Sequence != 1<<30 || !r.Config().Mirror || s.Producers != 0 {
		t.Fatalf("%+v %v", s, err)
	}
	if claims, err := r.OpenClaims(); err != nil || len(claims) != 0 {
		t.Fatal(claims, err)
	}
	if gaps, err := r.Repair(0); err != nil || gaps != 0 {
		t.Fatal(gaps, err)
	}
}

// A reader that truncates its page while the mirror looks at it is evicted; one
// whose data file is truncated is an error.
func TestMirrorFaults(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	config.Mirror = true
	r, err := CreatePrivate(config, Boundary{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m := lendMirror(t, r, MirrorOptions{KeptByReaders: true})
	lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{From: FromOldest(), KeepCursor: true})
	if err := r.pages[0].Truncate(0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, limit, err := m.Progress(); err != nil || limit == 0 {
			t.Fatal(limit, err)
		}
	}
	if err := r.data.Truncate(dataOff); err != nil {
		t.Fatal(err)
	}
	b, err := m.Place(0, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := Guarded(func() { b[0] = 1 }); !errors.Is(err, ErrFault) {
		t.Fatal(err)
	}
	if err := m.Commit(Chunk{Bytes: 32, First: [16]byte(partBytes(m, 0, kindPad, 16, 16))}); !errors.Is(err, ErrFault) {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Guarded hid a panic that is no fault")
			}
		}()
		_ = Guarded(func() { panic("no fault") })
	}()
	if err := Guarded(func() {}); err != nil {
		t.Fatal(err)
	}
}

// A demote reader that holds a mirror is demoted after its time, one that moves is
// not, and a link that is down is not held against it.
func TestMirrorDemotes(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	h, m := mirrorOf(t, config, boundary{}, MirrorOptions{})
	c := h.consumer(t, 0, PolicyDemote, ConsumerOptions{From: FromOldest()}) // one second
	rng := rand.New(rand.NewPCG(4, 4))
	now := int64(1)
	fill := func() {
		for m.progress(now); m.credit()-m.tail > 2000; m.progress(now) {
			place(t, m, rng, int(m.credit()-m.tail))
		}
	}
	fill()
	now += 3600 * 1e9 // the link was down
	m.progress(now)
	if !c.holds() {
		t.Fatal("demoted for the time that the link was down")
	}
	for range 9 {
		now += holdStepNanosMax
		m.progress(now)
	}
	if held := load64(h.b, producerEntry(0)+psHeldNanos); c.holds() && held < 9e8 {
		t.Fatalf("held %d ns", held)
	}
	now += holdStepNanosMax
	m.progress(now)
	if c.holds() || m.credit() == m.tail || load64(h.b, producerEntry(0)+psDemotions) != 1 {
		t.Fatalf("not demoted: credit %d, tail %d", m.credit(), m.tail)
	}
}
