package broker

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"brokerd/internal/process"
)

// Options configure a Broker.
type Options struct {
	Dir      string // on tmpfs; created (0755) where absent
	Limits   Limits
	OwnerUID uint32           // the daemon's user: owns the configured rings, has no quota
	Now      func() time.Time // nil means time.Now
	Event    func(Event)      // may be nil; called without locks, from any goroutine
}

// Status is what the broker says about itself.
type Status struct {
	Dir              string
	Rings            int
	RingsMax         int
	Attachments      int // attached, detached and resumable
	AttachmentsMax   int
	MemoryBytes      uint64 // rings that exist, are being built or being deleted, or are quarantined
	MemoryBytesMax   uint64
	Adopted          int      // rings found by Open and kept
	Repairs          uint64   // rings put right after a producer died or left a claim
	Retired          uint64   // rings found to be of no use since Open, or by it
	Quarantined      []string // folders in Dir
	QuarantinedBytes uint64   // part of MemoryBytes
	Problems         []string // one sentence each, for an operator
}

// Broker owns the rings of one directory. Create it with Open.
type Broker struct {
	dir      string
	ownerUID uint32
	boot     string // process.Boot
	now      func() time.Time
	event    func(Event)
	lock     *os.File // flock on DIR/.lock; owned, closed by Close

	mu          sync.Mutex
	closed      bool
	limits      Limits
	reconciled  bool // once at least
	rings       map[string]*ring
	pending     map[string]reservation // by the folder in which a ring is built or deleted
	attachments map[string]*attachment // by ID
	procs       map[process.ID]*proc
	lastEpoch   uint64
	adopted     int
	repairs     uint64
	refused     map[string]uint64 // see Refusals
	retired     uint64
	retirements chan struct{} // for keepSucceeding: there is one; room for one
	collecting  sync.Mutex    // held by CollectGarbage; taken before mu
	quarantined []*quarantined
	foreign     []foreign        // as last looked
	undeleted   map[string]error // folders that could not be deleted, and why
	events      []Event          // to be delivered by unlock
	watching    context.Context  // nil while Run does not run
	watchers    sync.WaitGroup   // joined by Run
}

// Open takes the directory over: creates it, refuses one that is not on tmpfs
// (ErrNotTmpfs), not the daemon's own (ErrDirOwner), or in use by another
// daemon (ErrLocked, with its pid), removes what a crash left half built, and
// adopts the rings it finds. What it cannot use it sets aside, for a successor where
// the description can be read; Status tells.
func Open(o Options) (*Broker, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	if err := prepareDir(o.Dir); err != nil {
		return nil, err
	}
	boot, err := process.Boot()
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		dir: o.Dir, limits: o.Limits, ownerUID: o.OwnerUID, boot: boot, now: o.Now, event: o.Event, lock: lock,
		rings:       map[string]*ring{},
		pending:     map[string]reservation{},
		attachments: map[string]*attachment{},
		procs:       map[process.ID]*proc{},
		refused:     newRefusals(),
		retirements: make(chan struct{}, 1),
		undeleted:   map[string]error{},
	}
	b.mu.Lock()
	err = b.adoptAll()
	b.unlock()
	if err != nil {
		return nil, fmt.Errorf("adopt the rings in %s: %w", o.Dir, joinClose(err, b))
	}
	b.succeedAll()
	return b, nil
}

// joinClose closes b after a failure and returns the failure.
func joinClose(err error, b *Broker) error {
	_ = b.Close() // the failure is what the caller needs to hear
	return err
}

// Close lets go of the directory. Rings, attachments and files stay, for the
// processes that use them and for the next daemon. Run must have returned.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	var first error
	for _, r := range b.rings {
		if err := r.close(); err != nil && first == nil {
			first = fmt.Errorf("close ring %s: %w", r.info.Name, err)
		}
	}
	for _, p := range b.procs {
		p.closeHandle()
	}
	if err := unlockDir(b.lock); err != nil && first == nil {
		first = err
	}
	return first
}

// unlock releases the mutex and then delivers the events raised under it.
func (b *Broker) unlock() {
	events := b.events
	b.events = nil
	b.mu.Unlock()
	for _, e := range events {
		b.event(e)
	}
}

// raise notes an event for unlock to deliver.
func (b *Broker) raise(e Event) { b.events = append(b.events, e) }

// Status tells counts, limits and problems.
func (b *Broker) Status() Status {
	b.mu.Lock()
	defer b.unlock()
	s := Status{
		Dir:              b.dir,
		Rings:            len(b.rings),
		RingsMax:         b.limits.Rings,
		Attachments:      len(b.attachments),
		AttachmentsMax:   b.limits.Attachments,
		MemoryBytes:      b.use().bytes,
		MemoryBytesMax:   b.limits.MemoryBytes,
		Adopted:          b.adopted,
		Repairs:          b.repairs,
		Retired:          b.retired,
		Quarantined:      []string{},
		QuarantinedBytes: b.quarantinedBytes(),
		Problems:         b.folderProblems(),
	}
	for _, q := range b.quarantined {
		s.Quarantined = append(s.Quarantined, q.folder)
	}
	if s.MemoryBytes > s.MemoryBytesMax || s.Rings > s.RingsMax {
		s.Problems = append(s.Problems, fmt.Sprintf(
			"there is more than the limits allow (%d rings of %d, %d bytes of %d): no ring can be created until some are removed or limits.rings and limits.memory raised",
			s.Rings, s.RingsMax, s.MemoryBytes, s.MemoryBytesMax))
	}
	for _, name := range b.names() {
		s.Problems = append(s.Problems, b.rings[name].problems()...)
		s.Problems = append(s.Problems, b.stuckClaims(b.rings[name])...)
	}
	return s
}

// Run watches: it repairs and frees within 100 ms what a dead process held, ends
// cursors at their deadline, notices demotions and corrupt rings, and gives these
// successors. It calls beat at least once a second, starts one goroutine per attached
// process (in startWatch, below and from Attach) and one for successions, and has
// joined them all when it returns ctx.Err(). One Run at a time.
func (b *Broker) Run(ctx context.Context, beat func()) error {
	watch, stop := context.WithCancel(ctx)
	b.mu.Lock()
	b.watching = watch
	for _, p := range b.procs {
		b.startWatch(p)
	}
	b.watchers.Go(func() { b.keepSucceeding(watch) })
	b.unlock()

	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		beat()
		b.sweep()
		b.trim()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}

	b.mu.Lock()
	b.watching = nil // from here on Attach starts no watcher
	b.unlock()
	stop()
	b.watchers.Wait()
	return ctx.Err()
}
