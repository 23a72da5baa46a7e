package shmring

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// The one boundary where faults of a mapping become errors. Every public method
// that touches shared memory starts with
//
//	defer m.catch(&err, debug.SetPanicOnFault(true))
//
// so that a file truncated by a peer is ErrFault and not the end of the
// process. SetPanicOnFault is per goroutine: it is set for the call only.

// errCursorFault: the page of one reader faulted, the ring itself is fine.
var errCursorFault = errors.New("cursor page fault")

// mapping is what one process has mapped of a ring.
type mapping struct {
	data    []byte
	cursors [][]byte
	// onCursorFault, if set, evicts the reader of a slot; without it a fault in
	// a cursor page is ErrFault like any other.
	onCursorFault func(slot int)
}

// catch is deferred; see above. A panic that is not a fault inside the mapping
// goes on.
func (m *mapping) catch(err *error, before bool) {
	debug.SetPanicOnFault(before)
	r := recover()
	if r == nil {
		return
	}
	addr := faultAddress(r)
	if off, in := within(m.data, addr); in {
		*err = fmt.Errorf("%w: at byte %d of the data file", ErrFault, off)
		return
	}
	for slot, page := range m.cursors {
		off, in := within(page, addr)
		if !in {
			continue
		}
		if m.onCursorFault != nil {
			m.onCursorFault(slot)
			*err = errCursorFault
			return
		}
		*err = fmt.Errorf("%w: at byte %d of cursor page %d", ErrFault, off, slot)
		return
	}
	panic(r)
}

// faultAddress is where a recovered panic says that memory faulted. Any other panic
// goes on.
func faultAddress(r any) uintptr {
	fault, ok := r.(interface{ Addr() uintptr })
	if !ok {
		panic(r)
	}
	return fault.Addr()
}

func within(b []byte, addr uintptr) (uintptr, bool) {
	if len(b) == 0 {
		return 0, false
	}
	base := addressOf(b)
	return addr - base, addr >= base && addr < base+uintptr(len(b))
}

// Guarded runs fn, which looks at memory that was lent (a span, a view), and makes
// a fault of any mapping ErrFault.
func Guarded(fn func()) (err error) {
	defer guard(&err, debug.SetPanicOnFault(true))
	fn()
	return nil
}

func guard(err *error, before bool) {
	debug.SetPanicOnFault(before)
	r := recover()
	if r == nil {
		return
	}
	*err = fmt.Errorf("%w: at address %#x", ErrFault, faultAddress(r))
}
