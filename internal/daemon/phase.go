package daemon

import (
	"sync"

	"brokerd/internal/wire"
)

// phase is how far the daemon has come, and the words for it. It is safe for
// concurrent use.
type phase struct {
	mu    sync.Mutex
	state wire.DaemonState
	doing string
}

// set tells whether it was heeded: from draining there is no way back.
func (p *phase) set(state wire.DaemonState, doing string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == wire.DaemonDraining && state != wire.DaemonDraining {
		return false
	}
	p.state, p.doing = state, doing
	return true
}

// get returns the state and what is being done in it.
func (p *phase) get() (wire.DaemonState, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.doing
}
