package torture

import (
	"math/rand/v2"

	"brokerd/client"
)

// plan says who is there.
func (t *torture) plan() {
	rings := map[string]*ring{}
	for _, r := range []*ring{{name: "solo", recordMax: 8 << 10}, {name: "loose", recordMax: 2 << 10}, {name: "crowd", recordMax: 4 << 10}, {name: "wide", recordMax: 16 << 10}} {
		r.truth = newTruth()
		rings[r.name] = r
		t.rings = append(t.rings, r)
	}
	add := func(kind, role, at, ring string, more ...lane) {
		if len(more) == 0 {
			more = []lane{{}}
		}
		for _, l := range more {
			t.lanes = append(t.lanes, &lane{kind: kind, role: role, at: at, ring: rings[ring], policy: l.policy, from: l.from, hold: l.hold})
		}
	}
	block, demote, skip, latest := lane{policy: client.PolicyBlock}, lane{policy: client.PolicyDemote}, lane{policy: client.PolicySkip}, lane{policy: client.PolicyLatest}
	resume := lane{policy: client.PolicyBlock, from: "resume"}
	add("producers", roleProducer, "a", "solo")
	add("producers", roleProducer, "a", "crowd", lane{}, lane{}, lane{})
	add("producers", roleProducer, "a", "wide", lane{}, lane{}, lane{})
	for _, ring := range []string{"loose", "crowd", "wide"} {
		add("remote producers", roleProducer, "far", ring)
	}
	for _, ring := range []string{"solo", "loose", "crowd", "wide"} {
		add("readers", roleReader, "a", ring, block, demote, skip, latest)
	}
	add("resumed readers", roleReader, "a", "wide", resume, lane{policy: client.PolicyDemote, from: "resume"})
	add("remote readers", roleReader, "far", "wide", resume)
	add("remote readers", roleReader, "far", "solo", block)
	add("remote readers", roleReader, "far", "crowd", skip)
	add("remote readers", roleReader, "far", "loose", demote, latest)
	add("mirror readers", roleReader, "b", "solo", block, skip)
	add("mirror readers", roleReader, "b", "crowd", block, latest)
	add("mirror readers", roleReader, "b", "wide", block, demote)
	add("claims of many", roleProducer, "a", "crowd", lane{hold: true})
	add("claims of many", roleProducer, "a", "wide", lane{hold: true})
	add("gating readers", roleReader, "a", "crowd", lane{hold: true, policy: client.PolicyBlock})
	add("gating readers", roleReader, "a", "solo", lane{hold: true, policy: client.PolicyBlock})
	add("brokerctl", "consumer", "a", "solo", block)
	add("brokerctl", "consumer", "a", "crowd", skip)
	add("brokerctl", roleProducer, "a", "wide")
	for i, l := range t.lanes {
		l.id = uint32(i + 1)
		l.random = rand.New(rand.NewPCG(t.seed, uint64(l.id)))
	}
}
