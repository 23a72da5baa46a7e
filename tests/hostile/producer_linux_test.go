package hostile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// attacked are the rings that vandals produce to.
const attacked = "{name: one, capacity: 1MiB, resume_for: 1s}, {name: many, capacity: 64KiB, producers: many, checksum: true}"

// site is two daemons: a has the rings, and b mirrors them.
type site struct {
	t       *testing.T
	a, b    *harness.Daemon
	address string // of a's gateway
	client  *client.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	s.a = harness.NewPlace(t, binaries, "["+goodRing+", "+attacked+"]", `gateway:
  name: a
  listen: 127.0.0.1:0
  tls: off
  export: [good, one, many]
  peers:
  - name: far
    allow: {export: [one, many], import: [many]}
  - name: b`).Start()
	fields := s.a.Logged("gateway listens")
	if fields == nil {
		t.Fatal("the log does not say where the gateway listens")
	}
	s.address = fmt.Sprint(fields["address"])
	s.b = harness.NewPlace(t, binaries, "[]", fmt.Sprintf(`gateway:
  name: b
  tls: off
  peers:
  - name: a
    address: %q
    mirror: [{ring: good, as: good.m}, {ring: one, as: one.m}, {ring: many, as: many.m}]`, s.address)).Start()
	s.client = s.a.Dial()
	return s
}

// TestHostileProducers writes garbage into two rings while honest processes read
// and write them, here, over TCP and through mirrors, and another ring is in use.
func TestHostileProducers(t *testing.T) {
	seed, d := drawSeed(), *forFlag
	s := newSite(t)
	mirrors := s.b.Dial()
	for _, ring := range []string{"good.m", "one.m", "many.m"} {
		harness.Eventually(t, ring, func() bool { _, err := mirrors.DescribeRing(harness.Bounded(t), ring); return err == nil })
	}
	before, beforeB := look(s.a), look(s.b)
	epochs := map[string]uint64{"one": s.epoch("one"), "many": s.epoch("many")}

	reader := harness.Launch(t, role(s.a.Place, "good reader", "good", 4*d))
	reader.WaitSaid(sayReady)
	feed := harness.Launch(t, role(s.a.Place, "good feed", "good", d+time.Second))
	var sufferers []*sufferer
	for _, v := range [][3]string{{"one", s.address, "one"}, {"many", s.address, "many"}} {
		sufferers = append(sufferers, newSufferer(t, s.a.Place, v[0], v[1], v[2]))
	}
	sufferers = append(sufferers, newSufferer(t, s.b.Place, "one.m", "", "mirror"), newSufferer(t, s.b.Place, "many.m", "", "mirror"))
	vandals := []*harness.Process{
		harness.Launch(t, role(s.a.Place, "vandal", "one", seed, d)),
		harness.Launch(t, role(s.a.Place, "vandal", "many", seed+1, d)),
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	took := ask(ctx, t, s.client, s.sweepUp)

	lives := map[string]int{}
	for _, v := range vandals {
		s.end(v)
		var some map[string]int
		lastLine(t, v, &some)
		for name, n := range some {
			lives[name] += n
		}
	}
	s.wantSuccessors(epochs)
	feed.Expect(0)
	reader.Expect(0)
	p := wantProgress(t, reader)
	took.judge(t)
	wantUnhurt(t, s.a)
	wantUnhurt(t, s.b)
	told := map[string]int{}
	for _, v := range sufferers {
		v.finish(told)
	}
	s.wantGoodMirror(mirrors)
	s.sweepUp()
	wantBack(t, s.a, before)
	wantBack(t, s.b, beforeB)

	if len(lives) < len(harms)/2 && d >= 5*time.Second {
		t.Errorf("only %d of %d ways to do harm were tried", len(lives), len(harms))
	}
	if t.Failed() {
		return
	}
	total := 0
	for _, n := range lives {
		total += n
	}
	retired := s.a.Scrape()["brokerd_rings_retired_total{}"]
	fmt.Printf("counts: hostile: producers: seed %d, %v: %d attacks (%s), %.0f rings retired\n", seed, d, total, counted(lives), retired)
	fmt.Printf("counts: hostile: producers: their victims got %s; nothing without a name, no hang\n", counted(told))
	fmt.Printf("counts: hostile: producers: the ring beside them: %d records, no gap, %d of %d windows of 100 ms idle, longest pause %v; daemon: %v\n",
		p.Records, p.Idle, p.Windows, p.Longest.Round(time.Millisecond), took)
}

func counted(m map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(parts, ", ")
}

func (s *site) epoch(ring string) uint64 {
	s.t.Helper()
	d, err := s.client.DescribeRing(harness.Bounded(s.t), ring)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Ring.Epoch
}

// sweepUp deletes quarantined rings, as an operator does: each name may have a few.
func (s *site) sweepUp() {
	if _, err := s.client.CollectGarbage(harness.Bounded(s.t), false); err != nil {
		s.t.Errorf("collect garbage: %v", err)
	}
}

// end waits for the end of a role, and sweeps up meanwhile.
func (s *site) end(p *harness.Process) {
	s.t.Helper()
	harness.EventuallyEvery(s.t, askEvery, fmt.Sprintf("the end of %q", p.Cmd.Args), func() bool { s.sweepUp(); return !p.Running() })
	p.Expect(0)
}

// wantSuccessors waits until honest processes can use the rings again, which have
// new epochs.
func (s *site) wantSuccessors(epochs map[string]uint64) {
	s.t.Helper()
	for ring, before := range epochs {
		var last error
		deadline := time.Now().Add(harness.Patience)
		for last = s.roundTrip(ring); last != nil; last = s.roundTrip(ring) {
			if time.Now().After(deadline) {
				s.t.Fatalf("ring %s cannot be used: %v", ring, last)
			}
			s.sweepUp()
			time.Sleep(askEvery)
		}
		if now := s.epoch(ring); now == before {
			s.t.Errorf("ring %s has epoch %d still", ring, now)
		}
	}
}

// roundTrip publishes something into a ring and reads it.
func (s *site) roundTrip(ring string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := s.client.Consumer(ctx, ring, client.ConsumerOptions{Policy: client.PolicySkip})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	p, err := s.client.Producer(ctx, ring, client.ProducerOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	for range 100 {
		if err := p.Send(ctx, []byte("round trip")); err != nil {
			return err
		}
	}
	for {
		record, err := r.Receive(ctx)
		if err != nil {
			return err
		}
		if string(record.Payload) == "round trip" {
			return nil
		}
	}
}

// wantGoodMirror waits until the mirror of the good ring has all of it.
func (s *site) wantGoodMirror(mirrors *client.Client) {
	s.t.Helper()
	harness.Eventually(s.t, "the mirror of the good ring has all of it", func() bool {
		from, to := harness.RingStats(s.t, s.client, "good"), harness.RingStats(s.t, mirrors, "good.m")
		return from.Sequence == to.Sequence && from.Position == to.Position
	})
}

// sufferer is a process of victims.
type sufferer struct {
	*harness.Process
	input io.Closer
}

func newSufferer(t *testing.T, p harness.Place, ring, address, kind string) *sufferer {
	t.Helper()
	cmd := role(p, "victims", ring, address, kind)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &sufferer{harness.Launch(t, cmd), input}
}

// finish ends it and adds what it was told.
func (v *sufferer) finish(told map[string]int) {
	t := v.T
	t.Helper()
	if err := v.input.Close(); err != nil {
		t.Fatal(err)
	}
	v.Expect(0)
	var l ledger
	lastLine(t, v.Process, &l)
	t.Logf("%q: %+v", v.Cmd.Args[2:], l)
	if len(l.Strange) > 0 || l.Lives == 0 {
		t.Errorf("%q: %d lives; errors without a name: %q", v.Cmd.Args[2:], l.Lives, l.Strange)
	}
	for name, n := range l.Errors {
		told[name] += n
	}
}

// TestClaimOfNobody: a producer that has detached claims room and never commits it.
// Nobody's death would ever turn that into a gap, so the ring gets a successor.
func TestClaimOfNobody(t *testing.T) {
	p := harness.NewPlace(t, binaries, "["+attacked+"]")
	p.Start()
	s := &site{t: t, client: p.Dial()}
	before := s.epoch("many")
	if _, err := s.client.Consumer(harness.Bounded(t), "many", client.ConsumerOptions{}); err != nil {
		t.Fatal(err)
	}
	l, err := attachRaw(p.Socket, wire.AttachIn{Ring: "many", Role: wire.RoleProducer, Name: "claimer"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	if err := errors.Join(l.publishWell(), l.detach()); err != nil {
		t.Fatal(err)
	}
	const bytes = 32
	tail := binary.LittleEndian.Uint64(l.data[offTail:])
	pos, seq, slot := tail&(1<<38-1)*16, tail>>44, uint64(l.out.Attachment.Slot)
	entry := producersOff + slot*128
	put64(l.data, entry+0x08, bytes|1<<32)
	put64(l.data, entry+0x10, pos)
	put64(l.data, entry+0x18, seq)
	put64(l.data, entry, tail)
	put64(l.data, offTail, (pos+bytes)/16|slot<<38|(seq+1)<<44)
	harness.Eventually(t, "a successor", func() bool { return s.epoch("many") != before })
}
