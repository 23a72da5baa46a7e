package daemon

import (
	"testing"

	"brokerd/internal/wire"
)

func TestNoWayBackFromDraining(t *testing.T) {
	p := &phase{}
	for _, step := range []struct {
		state  wire.DaemonState
		heeded bool
	}{
		{wire.DaemonStarting, true}, {wire.DaemonReady, true}, {wire.DaemonReady, true},
		{wire.DaemonDraining, true}, {wire.DaemonReady, false}, {wire.DaemonStarting, false}, {wire.DaemonDraining, true},
	} {
		before, _ := p.get()
		if heeded := p.set(step.state, "x"); heeded != step.heeded {
			t.Errorf("%s after %s: heeded %v, want %v", step.state, before, heeded, step.heeded)
		}
	}
	if state, _ := p.get(); state != wire.DaemonDraining {
		t.Errorf("in the end the daemon is %s", state)
	}
}
