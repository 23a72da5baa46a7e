package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// resolve looks up the addresses of host:port.
func resolve(ctx context.Context, resolver *net.Resolver, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is not host:port", errResolve, address)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: the port must be a number up to 65535", errResolve, address)
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errResolve, err)
	}
	return takeTurns(addrs, uint16(port)), nil
}

// takeTurns puts the addresses of the two families by turns, beginning with that
// of the first: so one that leads nowhere does not use up all tries. It takes
// dialAddressesMax of them.
func takeTurns(addrs []netip.Addr, port uint16) (turns []netip.AddrPort) {
	var families [2][]netip.AddrPort
	for _, addr := range addrs {
		addr = addr.Unmap()
		family := &families[1]
		if addr.Is6() == addrs[0].Unmap().Is6() {
			family = &families[0]
		}
		*family = append(*family, netip.AddrPortFrom(addr, port))
	}
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				turns = append(turns, family[i])
			}
		}
	}
	return turns[:min(len(turns), dialAddressesMax)]
}

// joinedError is one line for what went wrong with each address.
type joinedError []error

func (j joinedError) Unwrap() []error { return j }

func (j joinedError) Error() string {
	words := make([]string, len(j))
	for i, err := range j {
		words[i] = err.Error()
	}
	return strings.Join(words, "; ")
}
