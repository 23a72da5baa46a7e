package broker

import (
	"brokerd/internal/wire"
)

// trim gives back what processes have added to the files that they were lent: who
// may write to a file may also make it longer, and memory that no limit counts
// would be gone for everybody. A reader that did so ends, as one that truncates
// its page does; of a data file Stats says what is wrong. It costs a look at each
// file that is lent.
func (b *Broker) trim() {
	b.mu.Lock()
	defer b.unlock()
	for _, r := range b.rings {
		if r.mem == nil { // found unusable by Open: it is lent to nobody
			continue
		}
		slots, err := r.mem.Trim()
		if err != nil && r.retired == nil {
			b.raise(Event{Kind: EventFailed, Ring: r.info.Name, Detail: "cut its files to their size", Err: err})
		}
		for _, slot := range slots {
			a := r.held[slotRef{wire.RoleConsumer, slot}]
			if a != nil && a.hold != holdZombie && r.retired == nil {
				b.failed(a, "evict it", b.pageLost(a, "its cursor page was made shorter or longer"))
			}
		}
	}
}
