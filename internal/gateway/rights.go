package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// identity is who has dialled in.
type identity struct {
	name   string
	listed bool // in the configuration
}

// identify tells who has dialled in. With TLS that is the peer of the
// configuration whose name the certificate bears, whatever the connection calls
// itself; where it bears several, it may choose. Without TLS its word counts, and
// a name that is not in the configuration is a stranger's.
func (g *Gateway) identify(c *conn, hello wire.LinkHelloFrame) (identity, error) {
	if !c.tls {
		_, listed := g.settings.peer(hello.Name)
		return identity{hello.Name, listed}, nil
	}
	names := c.sock.identities()
	if slices.Contains(names, hello.Name) {
		names = append([]string{hello.Name}, names...)
	}
	for _, name := range names {
		if _, listed := g.settings.peer(name); listed {
			return identity{name, true}, nil
		}
	}
	return identity{}, fmt.Errorf("no peer of %s has a name of this certificate (%s): list one in its gateway.peers", g.settings.Name, strings.Join(c.sock.identities(), ", "))
}

// peer finds an entry of gateway.peers.
func (s Settings) peer(name string) (Peer, bool) {
	i := slices.IndexFunc(s.Peers, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, false
	}
	return s.Peers[i], true
}

// mayRead says why somebody may not mirror or read a ring, if so. policy is "" until
// it is known.
func (s Settings) mayRead(who identity, ring string, policy wire.Policy) error {
	p, _ := s.peer(who.name)
	if !slices.Contains(s.Export, ring) && !slices.Contains(p.Allow.Export, ring) {
		return s.deny(who, "gateway.export or allow.export of its entry in gateway.peers", "read ring %s", ring)
	}
	if policy == wire.PolicyBlock && !slices.Contains(p.Allow.Gate, ring) {
		return s.deny(who, "allow.gate of its entry in gateway.peers (or take another policy)", "hold the producers of ring %s with the policy block", ring)
	}
	return nil
}

// mayProduce says why somebody may not publish into a ring, if so.
func (s Settings) mayProduce(who identity, ring string) error {
	p, _ := s.peer(who.name)
	if !slices.Contains(p.Allow.Import, ring) {
		return s.deny(who, "allow.import of its entry in gateway.peers", "publish into ring %s", ring)
	}
	return nil
}

// deny names both hosts: the message is read at the other one.
func (s Settings) deny(who identity, key, format, ring string) error {
	return &denial{wire.CodeDenied, fmt.Sprintf("%s may not "+format+": on %s, name the ring in %s", who.name, ring, s.Name, key)}
}

// denial is what the gateway itself does not do for others.
type denial struct {
	code    wire.LinkCode
	message string
}

func (r *denial) Error() string { return r.message }

// ending says to the other side what an error means for its stream.
func ending(err error) wire.LinkEndFrame {
	end := wire.LinkEndFrame{Code: wire.CodeInternal, Message: err.Error()}
	var own *denial
	var broker *wire.Error
	var position *shmring.PositionError
	switch {
	case errors.As(err, &own):
		end.Code = own.code
	case errors.As(err, &broker):
		end.Code, end.Name, end.Parameters = wire.CodeRefused, string(broker.Name), string(broker.Parameters)
	case errors.As(err, &position):
		end.Code = wire.CodePosition
		p := wire.LinkPositionParameters{Wanted: position.Wanted, Oldest: position.Oldest, Newest: position.Newest, Inside: position.Inside}
		if data, err := json.Marshal(p); err == nil {
			end.Parameters = string(data)
		}
	case errors.Is(err, shmring.ErrRemoved):
		end.Code = wire.CodeRemoved
	case errors.Is(err, shmring.ErrDetached):
		end.Code = wire.CodeDetached
	case errors.Is(err, shmring.ErrCorrupt), errors.Is(err, shmring.ErrFault):
		end.Code = wire.CodeCorrupt
	}
	return end
}
