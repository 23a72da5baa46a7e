package shmring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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

// A door sleeps for readers and mirrors: what comes while it sleeps wakes it, what
// came before does not let it sleep.
func TestDoor(t *testing.T) {
	const rings, rounds = 5, 400
	d, err := NewDoor()
	if err != nil {
		t.Fatal(err)
	}
	var readers []*Consumer
	var producers []*Producer
	for range rings {
		r, err := CreatePrivate(testConfig(CapacityBytesMin), Boundary{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c := lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{Spans: true})
		if err := d.Add(c); err != nil {
			t.Fatal(err)
		}
		readers, producers = append(readers, c), append(producers, openProducer(t, r))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	done := make(chan error)
	turn := make(chan struct{}, 1)
	go func() {
		rng := rand.New(rand.NewPCG(seed, 1))
		for i := range rounds {
			if rng.IntN(2) == 0 {
				time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
			}
			if err := producers[rng.IntN(rings)].Send(context.Background(), payload(i, 64)); err != nil {
				done <- err
				return
			}
			<-turn
		}
		done <- nil
	}()
	got := 0
	for got < rounds {
		idle := d.Arm()
		began := time.Now()
		if idle {
			d.Sleep(10 * time.Second)
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("a wake-up was lost")
		}
		d.Disarm()
		for _, c := range readers {
			if s, err := c.NextSpan(1 << 20); err == nil {
				got += int(s.Records)
				turn <- struct{}{}
			} else if err != ErrEmpty {
				t.Fatal(err)
			}
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, c := range readers {
		if load32(c.page, cuSleep)&1 != 0 {
			t.Fatal("a reader is left asleep")
		}
	}
}

// sleeps runs one Sleep in a goroutine; what it returns says how long it took.
func (d *Door) sleeps(limit time.Duration) <-chan time.Duration {
	took := make(chan time.Duration)
	go func() {
		began := time.Now()
		d.Sleep(limit)
		took <- time.Since(began)
	}()
	return took
}

func TestDoorKnock(t *testing.T) {
	d, err := NewDoor()
	if err != nil {
		t.Fatal(err)
	}
	d.Knock() // before the next sleep
	if !d.Arm() {
		t.Fatal("news of nobody")
	}
	if took := <-d.sleeps(10 * time.Second); took > 5*time.Second {
		t.Fatal("a knock before Sleep was lost")
	}
	d.Disarm()
	if !d.Arm() {
		t.Fatal("news of nobody")
	}
	if took := <-d.sleeps(20 * time.Millisecond); took < 10*time.Millisecond {
		t.Fatalf("slept %v, nobody had knocked", took)
	}
	asleep := d.sleeps(10 * time.Second)
	time.Sleep(5 * time.Millisecond)
	d.Knock()
	if took := <-asleep; took > 5*time.Second {
		t.Fatal("a knock in a Sleep was lost")
	}
	d.Disarm()

	// Added, removed and closed while it sleeps.
	r, err := CreatePrivate(testConfig(CapacityBytesMin), Boundary{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{Spans: true})
	for _, change := range []func() error{
		func() error { return d.Add(c) },
		func() error { d.Remove(c); return c.Close() },
	} {
		if !d.Arm() {
			t.Fatal("news of nobody")
		}
		asleep := d.sleeps(10 * time.Second)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if took := <-asleep; took > 5*time.Second {
			t.Fatal("a change did not end the sleep")
		}
		d.Disarm()
	}
	for range DoorRingsMax {
		if err := d.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Add(c); err == nil {
		t.Fatal("one more than fit")
	}
	if d.Arm() {
		t.Fatal("a closed reader has no news")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// A door that waits for a mirror wakes when the reader that limits it gives way.
func TestDoorMirror(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	config.Mirror = true
	r, err := CreatePrivate(config, Boundary{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m := lendMirror(t, r, MirrorOptions{})
	c := lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
	d, err := NewDoor()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddMirror(m); err != nil {
		t.Fatal(err)
	}
	if !d.Arm() {
		t.Fatal("news of a mirror that nobody limits")
	}
	d.Disarm()
	rng := rand.New(rand.NewPCG(3, 3))
	for {
		_, limit, err := m.Progress()
		if err != nil {
			t.Fatal(err)
		}
		if place(t, m, rng, int(limit-m.tail)); limit-m.tail < 2000 {
			break
		}
	}
	for !d.Arm() {
		d.Disarm()
	}
	if load32(m.b, offSpaceWaiters) != 1 {
		t.Fatal("the reader is not told that somebody waits")
	}
	asleep := d.sleeps(10 * time.Second)
	for range 60 {
		if _, err := c.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.TryReceive(); err != nil && err != ErrEmpty {
		t.Fatal(err)
	}
	if took := <-asleep; took > 5*time.Second {
		t.Fatal("the gate moved, and nobody woke")
	}
	d.Disarm()
	if load32(m.b, offSpaceWaiters) != 0 {
		t.Fatal("somebody is left waiting")
	}
	_, limit, err := m.Progress()
	if err != nil || limit <= m.tail {
		t.Fatal(limit, m.tail, err)
	}
	d.RemoveMirror(m)
	if err := d.Close(); err != nil {
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

// Notes survive the daemon, are bounded, and say what was published to the record.
func TestJournal(t *testing.T) {
	path := t.TempDir() + "/sessions"
	open := func() *Journal {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		return j
	}
	session := func(n int) (s [16]byte) {
		binary.LittleEndian.PutUint64(s[3:], uint64(n+1))
		return s
	}
	j := open()
	i, known := j.Entry(session(0))
	none := func(uint64) bool { return false }
	all := func(uint64) bool { return true }
	if known || j.Applied(i, all) != (Boundary{}) {
		t.Fatal(i, known)
	}
	j.Note(i, 160, Boundary{32, 1})
	if got := j.Applied(i, none); got != (Boundary{}) {
		t.Fatalf("%+v", got)
	}
	j.Note(i, 320, Boundary{64, 2})
	for _, j := range []*Journal{j, open()} {
		i, known := j.Entry(session(0))
		if !known || j.Applied(i, all) != (Boundary{64, 2}) || j.Applied(i, none) != (Boundary{32, 1}) {
			t.Fatal(known, j.Applied(i, all), j.Applied(i, none))
		}
	}
	j = open()
	j.Settle(none)
	if got := j.Applied(i, all); got != (Boundary{32, 1}) {
		t.Fatalf("settled, then %+v", got)
	}
	j.Settle(all)
	j.Note(i, 480, Boundary{96, 3})
	if got := j.Applied(i, none); got != (Boundary{32, 1}) {
		t.Fatalf("%+v", got)
	}
	for n := 1; n < JournalSessionsMax; n++ {
		at, known := j.Entry(session(n))
		if known || at < 0 {
			t.Fatal(n, at, known)
		}
		j.Note(at, uint64(n), Boundary{uint64(n) * 16, 1})
	}
	if at, known := j.Entry(session(0)); !known || at != i {
		t.Fatal(at, known)
	}
	if at, _ := j.Entry(session(1000)); at != -1 {
		t.Fatalf("entry %d is held", at)
	}
	for n := range JournalSessionsMax {
		j.Leave(n)
	}
	at, known := j.Entry(session(1000)) // session 0 was noted first
	if known || at != i || j.Applied(at, all) != (Boundary{}) {
		t.Fatal(at, known)
	}
	if at, known := j.Entry(session(5)); !known || j.Applied(at, all) != (Boundary{80, 1}) {
		t.Fatal(at, known)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(f); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

// What the ring says about a claim, in each of its states.
func TestPublished(t *testing.T) {
	for _, many := range []bool{false, true} {
		config := testConfig(CapacityBytesMin)
		config.Many = many
		h := newHeapRing(t, config)
		p := h.producer(t, ProducerOptions{})
		want := func(claim uint64, what bool, when string) {
			t.Helper()
			if done, err := h.Published(claim); err != nil || done != what {
				t.Fatalf("many %v: %s: %v, %v", many, when, done, err)
			}
		}
		reserve := func(n int) uint64 {
			t.Helper()
			if _, err := p.Reserve(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			return p.ClaimPosition()
		}
		commit := func() {
			t.Helper()
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		first := reserve(100)
		want(first, false, "open")
		commit()
		want(first, true, "committed")
		want(24, false, "no position")
		for p.Position()&h.mask < h.capacity-4096 {
			mustSend(t, p, payload(1, 1000))
		}
		padded := reserve(5000)
		if p.pad == 0 || padded != p.tail {
			t.Fatal("no pad")
		}
		want(padded, false, "open with a pad")
		if many { // the pad alone, then the death
			p.part(kindPad, p.pad, p.pad)
			want(padded, false, "pad committed")
		} else {
			commit()
			want(padded, true, "committed with a pad")
		}
		if many {
			if _, err := h.Repair(0); err != nil {
				t.Fatal(err)
			}
			want(padded, false, "a gap")
			p = h.producer(t, ProducerOptions{Slot: 1})
		}
		want(first, true, "a lap ago, still there")
		for range 200 {
			mustSend(t, p, payload(2, 1000))
		}
		want(first, true, "overwritten")
		if fmt.Sprint(first) != "0" {
			t.Fatal(first)
		}
	}
}
