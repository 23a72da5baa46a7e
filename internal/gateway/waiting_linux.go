package gateway

import (
	"net/netip"
	"slices"
)

// waitingRoom is where connections are that have not said who they are yet.
type waitingRoom struct {
	sockets []*socket // oldest first
	count   map[netip.Addr]int
}

func (w *waitingRoom) add(s *socket) {
	if w.count == nil {
		w.count = map[netip.Addr]int{}
	}
	w.sockets = append(w.sockets, s)
	w.count[s.origin]++
}

func (w *waitingRoom) remove(s *socket) {
	w.sockets = slices.DeleteFunc(w.sockets, func(o *socket) bool { return o == s })
	if w.count[s.origin]--; w.count[s.origin] == 0 {
		delete(w.count, s.origin)
	}
}

// inTheWay is who has to go before one more of an origin may come in, nil for
// nobody.
func (w *waitingRoom) inTheWay(of netip.Addr) *socket {
	switch {
	case w.count[of] >= unauthenticatedPerAddressMax:
		return w.sockets[slices.IndexFunc(w.sockets, func(o *socket) bool { return o.origin == of })]
	case len(w.sockets) >= unauthenticatedMax:
		return w.leastWanted()
	}
	return nil
}

// leastWanted is the oldest of the origin that has most: so a flood from many
// addresses is at its own expense, and one who comes from elsewhere stays.
func (w *waitingRoom) leastWanted() *socket {
	var least *socket
	for _, s := range w.sockets {
		if least == nil || w.count[s.origin] > w.count[least.origin] {
			least = s
		}
	}
	return least
}

// origin is what counts as one address: with IPv6 a host has a whole /64.
func origin(a netip.AddrPort) netip.Addr {
	if a.Addr().Is4() {
		return a.Addr()
	}
	prefix, err := a.Addr().WithZone("").Prefix(64)
	if err != nil {
		return a.Addr()
	}
	return prefix.Addr()
}
