//go:build ringstep

package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// What there is before an operation (setup) and must be after it (after), whoever
// has completed it.

func stepSession() [16]byte { return [16]byte{1, 2, 3} }

// opened leaves a claim open, behind which readers wait.
func (w *stepWorld) opened(b *Broker, q AttachRequest) (*shmring.Producer, error) {
	p, err := w.write(b, q)
	if err == nil {
		_, err = p.Reserve(context.Background(), 100)
	}
	return p, errors.Join(err, w.push(1))
}

// leavesCursor: a reader of the ghost has taken two records, and left.
func (w *stepWorld) leavesCursor(b *Broker) error {
	c, err := w.read(b, named(3, w.ghost, "risk"))
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := c.TryReceive(); err != nil {
			return err
		}
	}
	return c.Close()
}

// dying: what the ghost has when it dies, and the last daemon itself, and what that
// daemon was in the middle of.
func (w *stepWorld) dying(b *Broker) error {
	if err := w.leavesCursor(b); err != nil {
		return err
	}
	if _, err := w.read(b, named(4, w.ghost, "")); err != nil {
		return err
	}
	for range 2 {
		if _, err := w.opened(b, producing(w.ghost)); err != nil {
			return err
		}
	}
	return errors.Join(w.gateway(b), w.halfBound(b), w.halfGone(b))
}

// gateway: the daemon has published one record of a remote producer, and noted the next.
func (w *stepWorld) gateway(b *Broker) error {
	j, err := b.Journal("md")
	if err != nil {
		return err
	}
	q := producing(w.self)
	q.Conn = GatewayConn
	p, err := w.write(b, q)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	entry, _ := j.Entry(stepSession())
	for n := range uint64(2) {
		buf, err := p.Reserve(context.Background(), 100)
		if err != nil {
			return errors.Join(err, j.Close())
		}
		binary.LittleEndian.PutUint64(buf, stepUnnumbered)
		j.Note(entry, p.ClaimPosition(), shmring.Boundary{Position: 128 * (n + 1), Sequence: n + 1})
		if n == 0 {
			err = p.Commit()
		}
		if err != nil {
			return errors.Join(err, j.Close())
		}
	}
	return errors.Join(w.push(1), j.Close())
}

// halfBound: a reader that is bound, and not on record as attached yet.
func (w *stepWorld) halfBound(b *Broker) error {
	if _, err := w.read(b, named(5, w.self, "")); err != nil {
		return err
	}
	r, ref := b.rings["md"], slotRef{wire.RoleConsumer, 3}
	rec := r.slots.get(ref)
	rec.State = slotZombie
	return r.slots.put(ref, rec)
}

// halfGone: a ring that is being removed, and has a reader.
func (w *stepWorld) halfGone(b *Broker) (err error) {
	if _, err := b.CreateRing(spec("gone"), 0); err != nil {
		return err
	}
	q := request(6, w.self, "gone", wire.RoleConsumer)
	q.In.Policy = wire.PolicyBlock
	if w.gone, err = w.read(b, q); err != nil {
		return err
	}
	return os.Rename(filepath.Join(b.dir, "gone"), filepath.Join(b.dir, removePrefix+"gone-17"))
}

// adopted: what the dead had is taken back, but for the cursor; their claims are gaps.
func (w *stepWorld) adopted(b *Broker) error {
	list, err := b.Attachments("md")
	var got []string
	for _, a := range list {
		got = append(got, a.ID+" "+string(a.State))
	}
	if want := []string{"md/c0.1 detached", "md/c1.1 resumable", "md/c3.1 detached", "md/p0.1 detached"}; err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("attachments %q, to be %q (%v)", got, want, err)
	}
	if _, err := w.gone.TryReceive(); !errors.Is(err, shmring.ErrRemoved) {
		return fmt.Errorf("the reader of the removed ring: %v", err)
	}
	return errors.Join(w.settled(b), w.resumed(b, 3))
}

// settled: the journal says what was published for the remote producer, and no more.
func (w *stepWorld) settled(b *Broker) error {
	j, err := b.Journal("md")
	if err != nil {
		return err
	}
	entry, known := j.Entry(stepSession())
	at := j.Applied(entry, func(claim uint64) bool { done, _ := b.rings["md"].mem.Published(claim); return done })
	if err := j.Close(); err != nil || !known || at.Sequence != 1 {
		return fmt.Errorf("the journal knows the session: %t, published %+v, %v", known, at, err)
	}
	return nil
}

// gatewayGone: its claim is a gap, for laps now.
func (w *stepWorld) gatewayGone(b *Broker) error {
	return errors.Join(w.settled(b), w.free(1), w.settled(b))
}

func (w *stepWorld) resumes(b *Broker) error { return w.resumed(b, 0) }

// resumed: the cursor has held producers, and the next reader goes on where it is.
func (w *stepWorld) resumed(b *Broker, gaps uint64) error {
	if held, err := w.laps(); err != nil || !held {
		return fmt.Errorf("the cursor holds producers: %t, %v", held, err)
	}
	c, err := w.read(b, stepResuming(w.self))
	if err != nil {
		return err
	}
	r, err := c.TryReceive()
	if err != nil || !c.Resumed() || r.Sequence != 2 || r.Missed != 0 || binary.LittleEndian.Uint64(r.Payload) != 3 {
		return fmt.Errorf("resumed %t, %+v, %v", c.Resumed(), r, err)
	}
	for err == nil {
		_, err = c.TryReceive()
	}
	if s := c.Stats(); !errors.Is(err, shmring.ErrEmpty) || s.MissedRecords != 0 {
		return fmt.Errorf("%w; %+v", err, s)
	}
	return errors.Join(b.Detach(attachmentID("md", slotRef{wire.RoleConsumer, 1}, c.Stats().Generation), func(wire.Attachment, uint64) error { return ErrEvict }), w.free(gaps))
}

// newProducer: this process is lent a slot, the one it was lent or another one.
func (w *stepWorld) newProducer(b *Broker) error {
	p, err := w.write(b, stepProducing(w.self))
	if err != nil {
		return err
	}
	record := binary.LittleEndian.AppendUint64(nil, stepUnnumbered)
	return errors.Join(p.TrySend(record), w.free(0))
}

func (w *stepWorld) newReader(b *Broker) error {
	c, err := w.read(b, stepReading(w.self))
	if err != nil {
		return err
	}
	if held, err := w.laps(); err != nil || !held {
		return fmt.Errorf("the new reader gates: %t, %v", held, err)
	}
	return errors.Join(c.Close(), w.free(0))
}

// secondReader gates and does not read; it is to be ended.
func (w *stepWorld) secondReader(b *Broker) error {
	_, err := w.read(b, named(3, w.self, ""))
	return err
}

// stepEnd ends an attachment, if it has not ended yet.
func stepEnd(b *Broker, id string, by error) error {
	err := b.Detach(id, func(wire.Attachment, uint64) error { return by })
	if errors.Is(err, wire.ErrAttachmentNotFound) {
		return nil
	}
	return err
}

func (w *stepWorld) freed(b *Broker) error {
	return errors.Join(stepEnd(b, "md/c1.1", ErrEvict), w.free(0))
}

// secondProducer has a claim open and detaches.
func (w *stepWorld) secondProducer(b *Broker) error {
	_, err := w.opened(b, producing(w.self))
	return err
}

func (w *stepWorld) repaired(b *Broker) error {
	return errors.Join(stepEnd(b, "md/p1.1", nil), w.free(1))
}

// removed: the ring is gone, whoever had it attached knows, and nothing is left of it.
func (w *stepWorld) removed(b *Broker) error {
	if _, ok := b.rings["md"]; ok {
		if err := b.RemoveRing("md", true); err != nil {
			return err
		}
	}
	if err := w.push(1); !errors.Is(err, shmring.ErrRemoved) {
		return fmt.Errorf("the producer: %v", err)
	}
	if err := w.drain(); !errors.Is(err, shmring.ErrRemoved) {
		return fmt.Errorf("the reader: %v", err)
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil || len(entries) != 1 {
		return fmt.Errorf("left are %v, %v", entries, err)
	}
	return nil
}
