package control

import (
	"testing"

	"brokerd/internal/wire"
)

// TestListLinks asks as somebody without any right, with a gateway and without.
func TestListLinks(t *testing.T) {
	h := newHost(t, nil, nil)
	var out wire.ListLinksOut
	h.as(1001, 1001).must(wire.MethodListLinks, nil, &out)
	if out.Listen != "" || len(out.Links)+len(out.Feeds)+len(out.Refusals) != 0 || out.Links == nil {
		t.Errorf("no gateway: %+v", out)
	}

	h = newHost(t, func(o *Options) {
		o.Links = func() wire.ListLinksOut {
			return wire.ListLinksOut{Listen: "[::]:7000", Links: wire.List[wire.Link]{{Peer: "b", Role: wire.LinkRoleMirror, State: wire.LinkWaiting}}}
		}
	}, nil)
	c := h.as(1001, 1001)
	c.must(wire.MethodListLinks, nil, &out)
	if out.Listen != "[::]:7000" || len(out.Links) != 1 || out.Links[0].Peer != "b" || out.Links[0].State != wire.LinkWaiting {
		t.Errorf("got %+v", out)
	}
	refused(t, c.call(wire.MethodListLinks, map[string]any{"peer": "b"}, nil), wire.ErrInvalidParameter, "peer")
	h.state.Store(string(wire.DaemonDraining))
	c.must(wire.MethodListLinks, nil, &out)
	h.state.Store(string(wire.DaemonStarting))
	refused(t, c.call(wire.MethodListLinks, nil, nil), wire.ErrNotReady, "starting")
	if h.seen("ListLinks ok") != 2 || h.seen("ListLinks NotReady") != 1 {
		t.Errorf("observed %v", h.observed)
	}
}
