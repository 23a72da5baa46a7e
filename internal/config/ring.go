package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of one ring.
const (
	CapacityBytesMin = 64 << 10
	CapacityBytesMax = 2 << 30
	NameBytesMax     = 64
	ConsumersMaxMin  = 1
	ConsumersMaxMax  = 64
	DemoteAfterMin   = time.Millisecond
	DemoteAfterMax   = time.Hour
	ResumeForMax     = 24 * time.Hour

	// recordMaxShareDefault and recordMaxShareMin are divisors of the capacity:
	// the first gives the default record_max, the second what a record and its
	// overhead may take at most.
	recordMaxShareDefault = 16
	recordMaxShareMin     = 8
	// recordOverheadBytes covers header, timestamp, checksum and alignment.
	recordOverheadBytes = 64
)

// Defaults of a ring.
const (
	DefaultCapacityBytes = 16 << 20
	DefaultProducers     = ProducersOne
	DefaultConsumersMax  = 16
	DefaultTimestamps    = true
	DefaultPolicy        = PolicyDemote
	DefaultDemoteAfter   = time.Second
)

// Values of producers and policy.
const (
	ProducersOne  = "one"
	ProducersMany = "many"
	PolicyBlock   = "block"
	PolicyDemote  = "demote"
	PolicySkip    = "skip"
	PolicyLatest  = "latest"
)

// What each key of a ring expects, in the words of its errors.
const (
	wantName        = `1 to 64 of a-z A-Z 0-9 . _ - that start with a letter or digit`
	wantCapacity    = "a power of two from 64KiB to 2GiB, such as 16MiB"
	wantRecordMax   = "a size of at least 1B, such as 1MiB"
	wantDemoteAfter = "a time from 1ms to 1h, such as 500ms"
	wantResumeFor   = "a time from 0s (cursors end with their reader) to 24h, such as 30s"
)

// Ring is one ring as an operator describes it.
type Ring struct {
	Name         string        // 1 to NameBytesMax bytes of [a-zA-Z0-9._-], letter or digit first
	Capacity     Size          // bytes, a power of two
	RecordMax    Size          // bytes of the largest payload
	Producers    string        // one or many
	ConsumersMax int           // consumers attached at a time
	Timestamps   bool          // records carry their publish time
	Checksum     bool          // records carry a CRC32C
	Policy       string        // what a reader gets that asks for none
	DemoteAfter  time.Duration // how long a demote reader may hold a producer
	ResumeFor    time.Duration // how long the cursor of a named reader outlives it; 0: it does not
	Allow        Allow
}

// Allow says who may do what with a ring. A nil entry allows the daemon's user
// and root only.
type Allow struct {
	Produce *Principals
	Consume *Principals
	Gate    *Principals // hold a producer for ever: policy block
}

// DefaultRing returns a ring of every default. Its RecordMax is 0, which
// NormalizeRing replaces once the capacity is known.
func DefaultRing(name string) Ring {
	return Ring{
		Name:         name,
		Capacity:     DefaultCapacityBytes,
		Producers:    DefaultProducers,
		ConsumersMax: DefaultConsumersMax,
		Timestamps:   DefaultTimestamps,
		Policy:       DefaultPolicy,
		DemoteAfter:  DefaultDemoteAfter,
	}
}

// NormalizeRing puts defaults where r has zero values and judges the outcome.
// Timestamps and Checksum are taken as they are: start from DefaultRing when
// the caller's source can leave them out. The error joins one *KeyError for
// each thing that is wrong.
func NormalizeRing(r Ring) (Ring, error) {
	r = fillRing(r)
	var errs []error
	for _, e := range checkRing(r) {
		errs = append(errs, e)
	}
	if len(errs) > 0 {
		return Ring{}, errors.Join(errs...)
	}
	return r, nil
}

func fillRing(r Ring) Ring {
	if r.Capacity == 0 {
		r.Capacity = DefaultCapacityBytes
	}
	if r.RecordMax == 0 {
		// At least 1, so that a wrong capacity causes no second error here.
		r.RecordMax = max(r.Capacity/recordMaxShareDefault, 1)
	}
	if r.Producers == "" {
		r.Producers = DefaultProducers
	}
	if r.ConsumersMax == 0 {
		r.ConsumersMax = DefaultConsumersMax
	}
	if r.Policy == "" {
		r.Policy = DefaultPolicy
	}
	if r.DemoteAfter == 0 {
		r.DemoteAfter = DefaultDemoteAfter
	}
	return r
}

// checkRing judges a filled ring, in the order of the keys.
func checkRing(r Ring) []*KeyError {
	var errs []*KeyError
	bad := func(key, got, want string) {
		errs = append(errs, &KeyError{Key: key, Got: got, Expected: want})
	}
	if !validName(r.Name) {
		bad("name", quote(r.Name), wantName)
	}
	if !validCapacity(r.Capacity) {
		bad("capacity", r.Capacity.String(), wantCapacity)
	} else if most := RecordMaxLimit(r.Capacity); r.RecordMax < 1 || r.RecordMax > most {
		bad("record_max", r.RecordMax.String(), fmt.Sprintf(
			"1B to %s, which is an eighth of the capacity %s less %d bytes of overhead",
			most, r.Capacity, recordOverheadBytes))
	}
	if !slices.Contains(producerWords(), r.Producers) {
		bad("producers", quote(r.Producers), oneOf(producerWords()))
	}
	if r.ConsumersMax < ConsumersMaxMin || r.ConsumersMax > ConsumersMaxMax {
		bad("consumers_max", fmt.Sprint(r.ConsumersMax), wantCount(ConsumersMaxMin, ConsumersMaxMax))
	}
	if !slices.Contains(policyWords(), r.Policy) {
		bad("policy", quote(r.Policy), oneOf(policyWords()))
	}
	if r.DemoteAfter < DemoteAfterMin || r.DemoteAfter > DemoteAfterMax {
		bad("demote_after", r.DemoteAfter.String(), wantDemoteAfter)
	}
	if r.ResumeFor < 0 || r.ResumeFor > ResumeForMax {
		bad("resume_for", r.ResumeFor.String(), wantResumeFor)
	}
	errs = append(errs, r.Allow.Produce.check("allow.produce")...)
	errs = append(errs, r.Allow.Consume.check("allow.consume")...)
	return append(errs, r.Allow.Gate.check("allow.gate")...)
}

// RecordMaxLimit returns the largest record_max in bytes that a ring of that
// capacity accepts.
func RecordMaxLimit(capacity Size) Size {
	return capacity/recordMaxShareMin - recordOverheadBytes
}

func validCapacity(c Size) bool {
	return c >= CapacityBytesMin && c <= CapacityBytesMax && c&(c-1) == 0
}

func validName(s string) bool {
	if s == "" || len(s) > NameBytesMax || strings.ContainsRune("._-", rune(s[0])) {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '_' || c == '-')
	}) < 0
}

func producerWords() []string { return []string{ProducersOne, ProducersMany} }

func policyWords() []string {
	return []string{PolicyBlock, PolicyDemote, PolicySkip, PolicyLatest}
}
