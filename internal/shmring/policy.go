package shmring

import "fmt"

// Policy is what happens between a reader and producers that are faster.
type Policy uint32

const (
	// PolicyBlock: lossless; producers wait for this reader for ever.
	PolicyBlock Policy = 1 + iota
	// PolicyDemote: lossless until it has held producers longer than its
	// deadline, then it becomes a skip reader.
	PolicyDemote
	// PolicySkip: never holds anybody up and learns exactly what it missed.
	PolicySkip
	// PolicyLatest: only the newest record (reserved).
	PolicyLatest
)

// String gives the word of configuration, control plane and command line.
func (p Policy) String() string {
	switch p {
	case PolicyBlock:
		return "block"
	case PolicyDemote:
		return "demote"
	case PolicySkip:
		return "skip"
	case PolicyLatest:
		return "latest"
	}
	return fmt.Sprintf("policy(%d)", uint32(p))
}

// ParsePolicy is the reverse of String.
func ParsePolicy(s string) (Policy, error) {
	for p := PolicyBlock; p <= PolicyLatest; p++ {
		if p.String() == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("policy %q: want block, demote, skip or latest", s)
}

// WaitStrategy is what a process does until there is something to do.
type WaitStrategy uint8

const (
	// WaitAuto spins, then yields, then parks.
	WaitAuto WaitStrategy = iota
	// WaitSpin never gives up the processor: no syscall, a whole core.
	WaitSpin
	// WaitYield offers the processor to others between two looks.
	WaitYield
	// WaitPark sleeps in the kernel until it is woken.
	WaitPark
)

// String gives the word of control plane and command line.
func (w WaitStrategy) String() string {
	switch w {
	case WaitAuto:
		return "auto"
	case WaitSpin:
		return "spin"
	case WaitYield:
		return "yield"
	case WaitPark:
		return "park"
	}
	return fmt.Sprintf("wait(%d)", uint8(w))
}

// ParseWaitStrategy is the reverse of String.
func ParseWaitStrategy(s string) (WaitStrategy, error) {
	for w := WaitAuto; w <= WaitPark; w++ {
		if w.String() == s {
			return w, nil
		}
	}
	return 0, fmt.Errorf("wait strategy %q: want spin, yield, park or auto", s)
}

// Parks says whether the strategy may sleep in the kernel.
func (w WaitStrategy) Parks() bool { return w == WaitAuto || w == WaitPark }

// OnFull is what Send and Reserve do when a reader holds the producer.
type OnFull uint8

const (
	// OnFullBlock waits, until the context ends.
	OnFullBlock OnFull = iota
	// OnFullDrop discards the record and counts it.
	OnFullDrop
	// OnFullFail returns ErrFull.
	OnFullFail
)

// String gives the word of the command line.
func (o OnFull) String() string {
	switch o {
	case OnFullBlock:
		return "block"
	case OnFullDrop:
		return "drop"
	case OnFullFail:
		return "fail"
	}
	return fmt.Sprintf("onfull(%d)", uint8(o))
}

// ParseOnFull is the reverse of String.
func ParseOnFull(s string) (OnFull, error) {
	for o := OnFullBlock; o <= OnFullFail; o++ {
		if o.String() == s {
			return o, nil
		}
	}
	return 0, fmt.Errorf("on-full %q: want block, drop or fail", s)
}
