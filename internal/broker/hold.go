package broker

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// hold is how firmly an attachment holds its slot; doc.go explains the four.
type hold uint8

const (
	holdAttached  hold = iota // by a connection
	holdKept                  // honoured by the ring, no connection
	holdResumable             // honoured by the ring, no process: a cursor
	holdZombie                // not honoured; the process still has the pages
)

// state is the word the protocol has for it.
func (h hold) state() wire.AttachmentState {
	switch h {
	case holdAttached:
		return wire.StateAttached
	case holdResumable:
		return wire.StateResumable
	}
	return wire.StateDetached
}

// attachment is one slot, held by a process or by the cursor that one left.
type attachment struct {
	id     string
	ring   *ring
	ref    slotRef
	record slotRecord // as in the slot table
	proc   *proc      // nil for a cursor, and for one that Open finds dead
	hold   hold
	conn   uint64                // of holdAttached
	until  time.Time             // when expire ends it; zero for never
	ended  string                // of holdZombie: why the daemon ended it, "" where it did not
	last   shmring.ConsumerStats // figures as last read; of a producer, position and sequence
}

// isOf tells whether a process holds the attachment.
func (a *attachment) isOf(p *process.Handle) bool { return a.proc != nil && a.proc.id == p.ID() }

func attachmentID(ring string, ref slotRef, generation uint32) string {
	return fmt.Sprintf("%s/%c%d.%d", ring, ref.role[0], ref.slot, generation)
}

// proc is a process that holds at least one slot.
type proc struct {
	id      process.ID
	handle  *process.Handle // owned; closed when nothing is held any more, which ends the watcher
	holds   int
	watched bool
}

func (p *proc) closeHandle() { _ = p.handle.Close() } // a pidfd: nothing to lose

// ring is a ring that exists.
type ring struct {
	info    wire.Ring // Managed is kept in managed
	managed bool
	dir     string
	mem     *shmring.Ring // nil, as are slots, of a ring that was found unusable by Open
	slots   *slotTable
	held    map[slotRef]*attachment
	retired error                           // what was found in it; nil while it lives
	waits   string                          // of a retired one: what its successor waits for, "" for nothing
	retryAt time.Time                       // of a retired one: not before then
	drift   string                          // what the configuration wants otherwise
	clash   string                          // a mirror: the configuration wants another ring of this name
	claims  map[shmring.OpenClaim]time.Time // open at the last sweep, and since when
	last    shmring.Stats                   // figures as last read

	written  bool // a mirror that the gateway writes to
	sessions bool // it has a journal of remote sessions
}

// openRing opens the files of a ring that lie in dir.
func openRing(dir string, info wire.Ring) (*ring, error) {
	mem, err := shmring.Open(dir)
	if err != nil {
		return nil, err
	}
	slots, err := openSlots(filepath.Join(dir, slotsName))
	if err != nil {
		_ = mem.Close()
		return nil, err
	}
	r := &ring{info: info, dir: dir, mem: mem, slots: slots, held: map[slotRef]*attachment{}}
	have, want := mem.Config(), geometry(info)
	have.Key = 0
	if have != want {
		_ = r.close()
		return nil, fmt.Errorf("%w: %s says %+v, the ring itself %+v", errMeta, metaName, want, have)
	}
	return r, nil
}

func (r *ring) close() error {
	if r.mem == nil {
		return nil
	}
	err := r.mem.Close()
	if serr := r.slots.file.Close(); err == nil {
		err = serr
	}
	return err
}

// tell has those attached learn of a state.
func (r *ring) tell(s shmring.State) error {
	if r.mem == nil {
		return nil // nobody is, that is known of
	}
	return r.mem.SetState(s)
}

// describe is the ring as the outside sees it.
func (r *ring) describe() wire.Ring {
	info := r.info
	info.Managed, info.MemoryBytes = r.managed, r.bytes()
	return info
}

// bytes is what the ring takes of the limits.
func (r *ring) bytes() uint64 {
	if r.sessions {
		return r.info.MemoryBytes + shmring.JournalBytes
	}
	return r.info.MemoryBytes
}

func (r *ring) problems() []string {
	var p []string
	for _, text := range []string{r.drift, r.clash} {
		if text != "" {
			p = append(p, text)
		}
	}
	if r.retired != nil {
		p = append(p, refuseCorrupt(r).Error())
	}
	return p
}

// holders are the attachments of one role, by slot.
func (r *ring) holders(role wire.Role) []*attachment {
	return slices.DeleteFunc(r.ordered(), func(a *attachment) bool { return a.ref.role != role })
}

// honoured counts the attachments that the ring honours, cursors included.
func (r *ring) honoured(role wire.Role) int {
	n := 0
	for ref, a := range r.held {
		if ref.role == role && a.hold != holdZombie {
			n++
		}
	}
	return n
}

// names lists the rings in order.
func (b *Broker) names() []string {
	names := make([]string, 0, len(b.rings))
	for name := range b.rings {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ringNamed finds a ring.
func (b *Broker) ringNamed(name string) (*ring, error) {
	if b.closed {
		return nil, ErrClosed
	}
	if r, ok := b.rings[name]; ok {
		return r, nil
	}
	return nil, refuseUnknownRing(name)
}

// ordered lists what a ring holds, consumers first, by slot.
func (r *ring) ordered() []*attachment {
	list := make([]*attachment, 0, len(r.held))
	for _, a := range r.held {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *attachment) int { return a.ref.index() - b.ref.index() })
	return list
}

// enter notes an attachment and holds its process, if it has one.
func (b *Broker) enter(a *attachment) {
	if a.proc != nil {
		a.proc.holds++
	}
	a.ring.held[a.ref] = a
	b.attachments[a.id] = a
}

// leave forgets an attachment and lets go of its process.
func (b *Broker) leave(a *attachment) {
	delete(b.attachments, a.id)
	if a.ring.held[a.ref] == a {
		delete(a.ring.held, a.ref)
	}
	b.letGo(a)
}

// letGo parts an attachment from its process.
func (b *Broker) letGo(a *attachment) {
	if p := a.proc; p != nil {
		a.proc = nil
		p.holds--
		b.releaseProc(p)
	}
}

// holdProc finds the process among those known, or opens it. Every call is
// followed by enter or releaseProc.
func (b *Broker) holdProc(id process.ID, open func() (*process.Handle, error)) (*proc, error) {
	if p, ok := b.procs[id]; ok {
		return p, nil
	}
	h, err := open()
	if err != nil {
		return nil, err
	}
	p := &proc{id: id, handle: h}
	b.procs[id] = p
	b.startWatch(p)
	return p, nil
}

// releaseProc closes a process that holds nothing any more.
func (b *Broker) releaseProc(p *proc) {
	if p.holds > 0 {
		return
	}
	delete(b.procs, p.id)
	p.closeHandle()
}
