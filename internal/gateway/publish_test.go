package gateway

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// importer is a host with ring "r" that lets p publish into it.
func importer(t *testing.T, spec wire.RingSpec) *host {
	t.Helper()
	leaks(t)
	s := settingsOf("a")
	s.Peers = []Peer{{Name: "p", Allow: Allow{Import: []string{"r"}}}}
	a := newHost(t, ringDir(t), s)
	spec.Name = "r"
	a.ring(spec)
	return a
}

// TestRemoteProduce: whatever happens to the connection, every record arrives
// once and in order, with its tag; the ends between them, too.
func TestRemoteProduce(t *testing.T) {
	for name, spec := range map[string]wire.RingSpec{"one": {}, "many": {Producers: wire.ProducersMany, Checksum: true}} {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			a := importer(t, spec)
			reader := a.reader("r", shmring.PolicyBlock, shmring.FromOldest())
			const records = 6000
			var p *private
			var ask wire.LinkOpenFrame
			next, got, ends, cuts := 0, 0, 0, 0
			drain := func() {
				for range rng.IntN(400) {
					rec, err := reader.TryReceive()
					switch {
					case errors.Is(err, shmring.ErrEmpty):
						return
					case errors.Is(err, shmring.ErrEndOfStream):
						ends++
					case err != nil:
						t.Fatal(err)
					case string(rec.Payload) != string(record(got)) || rec.Tag != uint16(got) || rec.Gaps+rec.Missed > 0:
						t.Fatalf("record %d: %x, tag %d", got, rec.Payload[:8], rec.Tag)
					default:
						got++
					}
				}
			}
			for got < records {
				r := dialRemote(t, a.g.Address(), "p", 1, nil)
				r.await(link.EventWelcome)
				stream := r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r", Label: "l", Epoch: ask.Epoch, Position: ask.Position, Sequence: ask.Sequence})
				o := r.await(link.EventOpened).Opened
				if p == nil {
					p = outbound(t, o, 64<<10)
				} else if err := p.source.Rewind(shmring.Boundary{Position: o.Position, Sequence: o.Sequence}); err != nil || !o.Resumed {
					t.Fatalf("published is %d, %d: %v (resumed %v)", o.Position, o.Sequence, err, o.Resumed)
				}
				if err := r.link.Supply(stream, p.source); err != nil {
					t.Fatal(err)
				}
				for steps := rng.IntN(60); got < records && (steps > 0 || cuts > 60); steps-- {
					for next < records {
						p.writer.SetTag(uint16(next))
						if err := p.writer.TrySend(record(next)); errors.Is(err, shmring.ErrFull) {
							break
						} else if err != nil {
							t.Fatal(err)
						}
						if next++; next%1000 == 0 {
							if err := p.writer.End(t.Context()); err != nil && !errors.Is(err, shmring.ErrFull) {
								t.Fatal(err)
							}
						}
					}
					r.step()
					if r.over != nil {
						t.Fatal(r.over)
					}
					drain()
				}
				cuts++
				_ = r.conn.Close()
				at := p.source.Stats()
				ask = wire.LinkOpenFrame{Epoch: o.Epoch, Position: at.Position, Sequence: at.Sequence}
			}
			if got != records || ends == 0 {
				t.Errorf("%d records and %d ends", got, ends)
			}
			l := a.wait(wire.LinkRoleProducer, "r", wire.LinkWaiting)
			if l.Reconnects == 0 || l.Label != "l" || l.Peer != "p" || l.BytesIn == 0 {
				t.Errorf("producer: %+v", l)
			}
			t.Logf("%d connections", cuts)
		})
	}
}

// TestRemoteProduceAfterRestart: the journal of the ring knows what was published
// by a daemon that is no more.
func TestRemoteProduceAfterRestart(t *testing.T) {
	a := importer(t, wire.RingSpec{})
	settings := a.g.settings
	r := dialRemote(t, a.g.Address(), "p", 7, nil)
	r.await(link.EventWelcome)
	stream := r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r"})
	o := r.await(link.EventOpened).Opened
	p := outbound(t, o, 64<<10)
	if err := r.link.Supply(stream, p.source); err != nil {
		t.Fatal(err)
	}
	publish(t, p.writer, 0, 50)
	soon(t, "all is published", func() bool { r.step(); return ringSequence(a, "r") == 50 })
	a.stop()
	publish(t, p.writer, 50, 60)

	a2 := newHost(t, a.dir, settings)
	r = dialRemote(t, a2.g.Address(), "p", 7, nil)
	r.await(link.EventWelcome)
	stream = r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r", Epoch: o.Epoch}) // it has heard of no acknowledgement
	again := r.await(link.EventOpened).Opened
	if again.Sequence != 50 || !again.Resumed || again.Epoch != o.Epoch || again.Key != o.Key {
		t.Fatalf("opened after the restart: %+v", again)
	}
	if err := p.source.Rewind(shmring.Boundary{Position: again.Position, Sequence: again.Sequence}); err != nil {
		t.Fatal(err)
	}
	if err := r.link.Supply(stream, p.source); err != nil {
		t.Fatal(err)
	}
	reader := a2.reader("r", shmring.PolicyBlock, shmring.FromOldest())
	soon(t, "the rest is published", func() bool { r.step(); return ringSequence(a2, "r") == 60 })
	expect(t, reader, 0, 60)
}

// TestJournalKnowsWhatIsAcknowledged: also when it ends with a pad, which is no record,
// or with an end.
func TestJournalKnowsWhatIsAcknowledged(t *testing.T) {
	a := importer(t, wire.RingSpec{})
	r := dialRemote(t, a.g.Address(), "p", 7, nil)
	r.await(link.EventWelcome)
	r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r"})
	p := outbound(t, r.await(link.EventOpened).Opened, 64<<10)
	a.g.loop.mu.Lock()
	defer a.g.loop.mu.Unlock()
	var pub *publisher
	for _, pub = range a.g.publishers {
	}
	pads := 0
	for i := range 3000 {
		publish(t, p.writer, i, i+1)
		if i%500 == 499 {
			if err := p.writer.End(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for {
			span, err := p.source.NextSpan(64 << 10)
			if errors.Is(err, shmring.ErrEmpty) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := pub.Place(span.Position, len(span.Bytes))
			if err != nil {
				t.Fatal(err)
			}
			copy(body, span.Bytes[shmring.AlignBytes:])
			if err := pub.Commit(shmring.Chunk{Position: span.Position, Sequence: span.Sequence, Records: span.Records,
				Bytes: len(span.Bytes), First: [16]byte(span.Bytes)}); err != nil {
				t.Fatal(err)
			}
			if span.Records == 0 {
				pads++
			}
			known := pub.journal.Applied(pub.entry, func(uint64) bool { return true })
			if known != pub.published || known != p.source.EndBoundary() {
				t.Fatalf("record %d: published %+v, the journal says %+v, handed out is %+v", i, pub.published, known, p.source.EndBoundary())
			}
			if err := p.source.Release(known); err != nil {
				t.Fatal(err)
			}
		}
	}
	if pads < 3 {
		t.Errorf("%d stretches without a record: this shows nothing", pads)
	}
}

func ringSequence(h *host, ring string) uint64 {
	h.t.Helper()
	out, err := h.b.Stats(ring)
	if err != nil || len(out.Rings) != 1 {
		h.t.Fatal(out, err)
	}
	return out.Rings[0].Sequence
}

// TestRemoteProduceRefused: who may not, and what cannot be.
func TestRemoteProduceRefused(t *testing.T) {
	a := importer(t, wire.RingSpec{})
	a.ring(wire.RingSpec{Name: "other"})
	want := func(r *remote, o wire.LinkOpenFrame, code wire.LinkCode, name wire.ErrorName) {
		t.Helper()
		o.Mode = wire.LinkProduce
		if end := r.refusedOpen(o); end.Code != code || end.Name != string(name) || end.Message == "" {
			t.Errorf("%+v: %+v", o, end)
		}
		a.waitRefused(code.String(), "produce ring "+o.Ring)
	}
	r := dialRemote(t, a.g.Address(), "p", 1, nil)
	r.await(link.EventWelcome)
	want(r, wire.LinkOpenFrame{Ring: "other"}, wire.CodeDenied, "")
	want(r, wire.LinkOpenFrame{Ring: "r", Epoch: 77}, wire.CodeRefused, wire.ErrEpochChanged)
	r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r", Label: "l"})
	r.await(link.EventOpened)
	want(r, wire.LinkOpenFrame{Ring: "r", Label: "l"}, wire.CodeBusy, "")
	want(r, wire.LinkOpenFrame{Ring: "r", Label: "m"}, wire.CodeRefused, wire.ErrProducerPresent)
	nobody := dialRemote(t, a.g.Address(), "nobody", 1, nil)
	nobody.await(link.EventWelcome)
	want(nobody, wire.LinkOpenFrame{Ring: "r"}, wire.CodeDenied, "")
	noSession := dialRemote(t, a.g.Address(), "p", 0, nil)
	noSession.await(link.EventWelcome)
	want(noSession, wire.LinkOpenFrame{Ring: "r"}, wire.CodeProtocol, "")
}

// TestPublisherEnds: a producer slot is kept for a while, and given back when its
// session ends, its right is gone, or an administrator wants it.
func TestPublisherEnds(t *testing.T) {
	a := importer(t, wire.RingSpec{})
	producers := func() (n int) {
		for _, at := range a.attachments("r") {
			if at.Role == wire.RoleProducer {
				n++
			}
		}
		return n
	}
	begin := func() (*remote, uint16) {
		r := dialRemote(t, a.g.Address(), "p", 1, nil)
		r.await(link.EventWelcome)
		stream := r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r"})
		r.await(link.EventOpened)
		return r, stream
	}
	r, stream := begin()
	r.link.End(stream, wire.LinkEndFrame{Code: wire.CodeGoodbye})
	soon(t, "the slot is free after an end", func() bool { r.step(); return producers() == 0 })

	r, _ = begin()
	_ = r.conn.Close()
	a.wait(wire.LinkRoleProducer, "r", wire.LinkWaiting)
	if producers() != 1 {
		t.Error("the slot of a session whose connection is gone is not kept")
	}
	a.g.loop.mu.Lock()
	a.g.sweepPublishers(a.g.loop.now() + publisherParkMax.Nanoseconds() + 1)
	a.g.loop.mu.Unlock()
	if producers() != 0 {
		t.Error("the slot of a session that did not come back is kept")
	}

	r, _ = begin()
	for _, at := range a.attachments("r") {
		if err := a.b.Evict(at.ID, "for a test"); err != nil {
			t.Fatal(err)
		}
	}
	if e := r.await(link.EventEnd); e.End.Code != wire.CodeDetached {
		t.Errorf("ended by an administrator: %+v", e.End)
	}
	soon(t, "the slot is free after an eviction", func() bool { return producers() == 0 })

	r, _ = begin()
	s := a.g.settings
	s.Peers = []Peer{{Name: "p"}}
	a.apply(s)
	if e := r.await(link.EventEnd); e.End.Code != wire.CodeDenied {
		t.Errorf("without its right: %+v", e.End)
	}
	soon(t, "the slot is free without the right", func() bool { return producers() == 0 })
}

// TestPublishIntoFullRing: what a ring does not take is held back at the producer,
// but for a bounded queue, and all of it arrives once there is room.
func TestPublishIntoFullRing(t *testing.T) {
	a := importer(t, wire.RingSpec{})
	reader := a.reader("r", shmring.PolicyBlock, shmring.FromOldest())
	r := dialRemote(t, a.g.Address(), "p", 1, nil)
	r.await(link.EventWelcome)
	stream := r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r"})
	p := outbound(t, r.await(link.EventOpened).Opened, 8<<20)
	if err := r.link.Supply(stream, p.source); err != nil {
		t.Fatal(err)
	}
	const records = 30000 // 4 MiB
	publish(t, p.writer, 0, records)
	var lag uint64
	soon(t, "the queue is full", func() bool {
		r.step()
		l, _ := a.link(wire.LinkRoleProducer, "r")
		if lag = l.LagBytes; lag > publishBytesMax {
			t.Fatalf("%d bytes are queued, %d at most", lag, publishBytesMax)
		}
		return lag > publishBytesMax-chunkBytesMax
	})
	for got := 0; got < records; {
		rec, err := reader.TryReceive()
		switch {
		case errors.Is(err, shmring.ErrEmpty):
			r.step()
		case err != nil || string(rec.Payload) != string(record(got)):
			t.Fatalf("record %d: %v", got, err)
		default:
			got++
		}
	}
}

// TestLabelTooLong: a label is refused rather than cut.
func TestLabelTooLong(t *testing.T) {
	a := importer(t, wire.RingSpec{Producers: wire.ProducersMany})
	r := dialRemote(t, a.g.Address(), "p", 1, nil)
	r.await(link.EventWelcome)
	fits := strings.Repeat("l", wire.NameBytesMax-2) // p and a dot are the rest
	r.open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r", Label: fits})
	r.await(link.EventOpened)
	if end := r.refusedOpen(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "r", Label: fits + "l"}); end.Code != wire.CodeProtocol {
		t.Errorf("%+v", end)
	}
}
