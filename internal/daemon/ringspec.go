package daemon

import (
	"brokerd/internal/config"
	"brokerd/internal/wire"
)

// ringSpec turns a ring of the configuration into what the broker takes. Every
// key is given, so that the defaults of the configuration hold.
func ringSpec(r config.Ring) wire.RingSpec {
	recordMax := uint64(r.RecordMax)
	demoteAfter, resumeFor := r.DemoteAfter.Nanoseconds(), r.ResumeFor.Nanoseconds()
	return wire.RingSpec{
		Name:          r.Name,
		Capacity:      uint64(r.Capacity),
		RecordMax:     &recordMax,
		Producers:     wire.Producers(r.Producers),
		ConsumersMax:  &r.ConsumersMax,
		Timestamps:    &r.Timestamps,
		Checksum:      r.Checksum,
		Policy:        wire.Policy(r.Policy),
		DemoteAfterNS: &demoteAfter,
		ResumeForNS:   &resumeFor,
		Allow: &wire.Allow{
			Produce: principals(r.Allow.Produce),
			Consume: principals(r.Allow.Consume),
			Gate:    principals(r.Allow.Gate),
		},
	}
}

func ringSpecs(rings []config.Ring) []wire.RingSpec {
	specs := make([]wire.RingSpec, 0, len(rings))
	for _, r := range rings {
		specs = append(specs, ringSpec(r))
	}
	return specs
}

func principals(p *config.Principals) *wire.Principals {
	if p == nil {
		return nil
	}
	return &wire.Principals{Users: p.Users, Groups: p.Groups}
}
