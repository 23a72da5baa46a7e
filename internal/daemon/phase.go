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

func (p *phase) set(state wire.DaemonState, doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.doing = state, doing
}

// get returns the state and what is being done in it.
func (p *phase) get() (wire.DaemonState, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.doing
}
