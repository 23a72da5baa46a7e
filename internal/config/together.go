package config

import (
	"fmt"
	"strings"
)

// checkTogether judges what no key can be judged for alone.
func (d *decoder) checkTogether(c *Config) {
	rings := d.checkNames(c)
	d.checkSums(c)
	d.checkLinks(&c.Gateway)
	d.checkFeeds(c.Feeds, rings)
}

// checkNames returns where each name of a ring or a mirror stands, such as
// rings[0], and reports a second place.
func (d *decoder) checkNames(c *Config) map[string]string {
	owner := map[string]string{}
	own := func(path, key, name string) {
		at := join(path, key)
		if !d.written(at) {
			at = path
		}
		if first, ok := owner[name]; ok && name != "" {
			d.bad(at, quote(name), fmt.Sprintf("a name of its own: %s on line %d has this one",
				first, d.line(join(first, "name"))))
			return
		}
		owner[name] = path
	}
	for i, r := range c.Rings {
		own(index("rings", i), "name", r.Name)
	}
	for i, p := range c.Gateway.Peers {
		for j, m := range p.Mirror {
			own(index(join(index("gateway.peers", i), "mirror"), j), "as", m.As)
		}
	}
	return owner
}

func (d *decoder) checkSums(c *Config) {
	mirrors := len(c.Gateway.MirrorNames())
	switch most := c.Limits.Rings; {
	case len(c.Rings) > most:
		d.bad("rings", fmt.Sprintf("%d rings", len(c.Rings)),
			fmt.Sprintf("at most limits.rings, %d; raise the limit or remove rings", most))
	case len(c.Rings)+mirrors > most:
		d.bad("gateway.peers", fmt.Sprintf("%d mirrors besides %d rings", mirrors, len(c.Rings)),
			fmt.Sprintf("at most limits.rings, %d, of both together; raise the limit or remove some", most))
	}
	// A sum over values that were refused would be about numbers nobody wrote.
	var sum Size
	for _, r := range c.Rings {
		sum += r.Capacity
	}
	if len(d.errs) == 0 && sum > c.Limits.Memory {
		d.bad("rings", fmt.Sprintf("capacities of %v in sum", sum),
			fmt.Sprintf("at most limits.memory, %v; raise the limit or make rings smaller", c.Limits.Memory))
	}
}

// checkLinks holds that each peer can be reached or reach this host, and that
// every connection has been given TLS or been told to do without.
func (d *decoder) checkLinks(g *Gateway) {
	needsTLS := g.Listen != "" && !d.wrong["gateway.listen"]
	first := map[string]string{}
	for i, p := range g.Peers {
		path := index("gateway.peers", i)
		address := join(path, "address")
		if at, ok := first[p.Name]; ok && p.Name != "" {
			d.bad(join(path, "name"), quote(p.Name), fmt.Sprintf("a name of its own: %s on line %d has this one",
				at, d.line(join(at, "name"))))
		} else {
			first[p.Name] = path
		}
		switch {
		case d.wrong[address] || p.Address != "":
			needsTLS = needsTLS || !d.wrong[address] && !d.written(join(path, "tls"))
		case len(p.Mirror) > 0:
			d.bad(address, "nothing", wantAddress+", since who mirrors a ring dials the peer that has it")
		case g.Listen == "" && !d.wrong["gateway.listen"]:
			d.bad(address, "nothing", wantAddress+", or gateway.listen for a peer that dials in")
		}
	}
	if needsTLS && !d.written("gateway.tls") {
		d.bad("gateway.tls", "nothing", wantTLS)
	}
}

// checkFeeds looks every feed's ring up among rings: names of rings and mirrors
// with the places where they stand.
func (d *decoder) checkFeeds(feeds []Feed, rings map[string]string) {
	first := map[string]string{}
	for i, f := range feeds {
		path := index("feeds", i)
		if at, ok := first[f.Name]; ok && f.Name != "" {
			d.bad(join(path, "name"), quote(f.Name), fmt.Sprintf("a name of its own: %s on line %d has this one",
				at, d.line(join(at, "name"))))
		} else {
			first[f.Name] = path
		}
		at, known := rings[f.Ring]
		ring := join(path, "ring")
		switch {
		case d.wrong[path] || d.wrong[ring]:
		case !known:
			d.bad(ring, quote(f.Ring), "the name of one of rings, or the local name of a mirror")
		case f.Direction == DirectionIn && !strings.HasPrefix(at, "rings"):
			d.bad(ring, quote(f.Ring), fmt.Sprintf("one of rings: %s on line %d is a mirror, which only its origin publishes into",
				at, d.line(at)))
		}
	}
}
