package broker

import (
	"fmt"
	"strconv"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Defaults and limits of what a RingSpec may ask for, beside those of shmring.
const (
	recordMaxShare      = 16 // record_max is capacity / recordMaxShare by default
	consumersMaxDefault = 16
	demoteAfterDefault  = time.Second
	demoteAfterMin      = time.Millisecond
	demoteAfterMax      = time.Hour
	resumeForMax        = 24 * time.Hour
	principalsMax       = 256 // users, and groups, in one list of allow
	principalBytesMax   = 256
)

// Plan is the memory in bytes that a ring takes, counted against
// Limits.MemoryBytes. Error: wire.ErrInvalidRing, as CreateRing would give it.
func Plan(spec wire.RingSpec) (uint64, error) {
	info, err := normalize(spec)
	if err != nil {
		return 0, err
	}
	return info.MemoryBytes, nil
}

// normalize fills in the defaults of a spec and checks every key. The result
// has no epoch, time of creation or owner yet.
func normalize(s wire.RingSpec) (wire.Ring, error) {
	r := wire.Ring{
		Name:          s.Name,
		Capacity:      s.Capacity,
		RecordMax:     valueOr(s.RecordMax, s.Capacity/recordMaxShare),
		Producers:     wire.ProducersOne,
		ConsumersMax:  valueOr(s.ConsumersMax, consumersMaxDefault),
		Timestamps:    valueOr(s.Timestamps, true),
		Checksum:      s.Checksum,
		Policy:        wire.PolicyDemote,
		DemoteAfterNS: valueOr(s.DemoteAfterNS, int64(demoteAfterDefault)),
		ResumeForNS:   valueOr(s.ResumeForNS, 0),
		Allow:         copyAllow(valueOr(s.Allow, wire.Allow{})),
	}
	if s.Producers != "" {
		r.Producers = s.Producers
	}
	if s.Policy != "" {
		r.Policy = s.Policy
	}
	err := checkRing(r)
	if err == nil {
		err = checkSomebody(r)
	}
	if err != nil {
		return wire.Ring{}, err
	}
	r.MemoryBytes = memoryBytes(r)
	return r, nil
}

func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// copyAllow copies the lists, and makes absent ones empty as they are when read
// back, so that two rings with the same rules compare equal.
func copyAllow(a wire.Allow) wire.Allow {
	list := func(p *wire.Principals) *wire.Principals {
		if p == nil {
			return nil
		}
		return &wire.Principals{Users: append([]string{}, p.Users...), Groups: append([]string{}, p.Groups...)}
	}
	return wire.Allow{Produce: list(a.Produce), Consume: list(a.Consume), Gate: list(a.Gate)}
}

// checkRing looks at each key in the order of the configuration file.
func checkRing(r wire.Ring) error {
	if !wire.ValidName(r.Name) {
		return invalidKey(r.Name, "name", quoted(r.Name),
			fmt.Sprintf("1 to %d of [a-zA-Z0-9._-], the first a letter or digit", wire.NameBytesMax))
	}
	c := r.Capacity
	if c < shmring.CapacityBytesMin || c > shmring.CapacityBytesMax || c&(c-1) != 0 {
		return invalidKey(r.Name, "capacity", strconv.FormatUint(c, 10), fmt.Sprintf(
			"a power of two from %d (64KiB) to %d (2GiB) bytes", shmring.CapacityBytesMin, uint64(shmring.CapacityBytesMax)))
	}
	if most := shmring.RecordMaxFor(c); r.RecordMax < 1 || r.RecordMax > most {
		return invalidKey(r.Name, "record_max", strconv.FormatUint(r.RecordMax, 10),
			fmt.Sprintf("1 to %d bytes for a capacity of %d (an eighth of it less the overhead of a record)", most, c))
	}
	if !r.Producers.Valid() {
		return invalidKey(r.Name, "producers", quoted(string(r.Producers)), "one or many")
	}
	if r.ConsumersMax < 1 || r.ConsumersMax > shmring.ConsumersMax {
		return invalidKey(r.Name, "consumers_max", strconv.Itoa(r.ConsumersMax), fmt.Sprintf("1 to %d", shmring.ConsumersMax))
	}
	if !r.Policy.Valid() {
		return invalidKey(r.Name, "policy", quoted(string(r.Policy)), "block, demote, skip or latest")
	}
	if d := time.Duration(r.DemoteAfterNS); d < demoteAfterMin || d > demoteAfterMax {
		return invalidKey(r.Name, "demote_after_ns", fmt.Sprintf("%d (%s)", r.DemoteAfterNS, d),
			fmt.Sprintf("%d to %d nanoseconds (1ms to 1h)", int64(demoteAfterMin), int64(demoteAfterMax)))
	}
	if d := time.Duration(r.ResumeForNS); d < 0 || d > resumeForMax {
		return invalidKey(r.Name, "resume_for_ns", fmt.Sprintf("%d (%s)", r.ResumeForNS, d),
			fmt.Sprintf("0 to %d nanoseconds (24h)", int64(resumeForMax)))
	}
	for _, p := range rights(r.Allow) {
		if err := checkPrincipals(r.Name, p.key+".users", p.list.Users); err != nil {
			return err
		}
		if err := checkPrincipals(r.Name, p.key+".groups", p.list.Groups); err != nil {
			return err
		}
	}
	return nil
}

// rightList is one key of allow that is given.
type rightList struct {
	key  string
	list *wire.Principals
}

func rights(a wire.Allow) (given []rightList) {
	for _, p := range []rightList{{"allow.produce", a.Produce}, {"allow.consume", a.Consume}, {"allow.gate", a.Gate}} {
		if p.list != nil {
			given = append(given, p)
		}
	}
	return given
}

// checkSomebody refuses a right that names nobody, as the configuration does. It
// is not among the checks of a ring that exists: earlier daemons let it pass.
func checkSomebody(r wire.Ring) error {
	for _, p := range rights(r.Allow) {
		if len(p.list.Users)+len(p.list.Groups) == 0 {
			return invalidKey(r.Name, p.key, "a list of nobody", "users or groups (leave it out for the daemon's user and root only)")
		}
	}
	return nil
}

func checkPrincipals(ring, key string, names []string) error {
	if len(names) > principalsMax {
		return invalidKey(ring, key, fmt.Sprintf("%d entries", len(names)), fmt.Sprintf("at most %d; use a group", principalsMax))
	}
	for _, n := range names {
		if n == "" || len(n) > principalBytesMax {
			return invalidKey(ring, key, quoted(n), fmt.Sprintf("names or numbers of 1 to %d bytes", principalBytesMax))
		}
	}
	return nil
}

// geometry is what shmring makes of a ring.
func geometry(r wire.Ring) shmring.Config {
	return shmring.Config{
		Capacity:     r.Capacity,
		RecordMax:    uint32(r.RecordMax),
		Epoch:        r.Epoch,
		ConsumersMax: r.ConsumersMax,
		Many:         r.Producers == wire.ProducersMany,
		Timestamps:   r.Timestamps,
		Checksum:     r.Checksum,
		Mirror:       r.Mirror != nil,
	}
}

// memoryBytes is what the files of a ring hold that cannot be taken back:
// those of shmring and the slot table. meta.json, a few KiB of text, is not
// counted.
func memoryBytes(r wire.Ring) uint64 { return geometry(r).MemoryBytes() + slotsFileBytes }
