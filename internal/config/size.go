package config

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size uint64

type sizeUnit struct {
	suffix string
	shift  int
}

// sizeUnits are the units a size may carry, largest first. They are binary
// ones only: MB and M mean different numbers to different people.
func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}
}

// ParseSize reads a whole number and a unit, such as 512B, 64KiB, 16MiB, 2GiB
// or 1TiB. A number without a unit is bytes.
func ParseSize(s string) (Size, error) {
	digits, shift := s, 0
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, shift = rest, u.shift
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || bits.Len64(n)+shift > 64 {
		return 0, fmt.Errorf("size %s: expected a whole number and B, KiB, MiB, GiB or TiB, such as 16MiB", quote(s))
	}
	return Size(n << shift), nil
}

// String prints s in the largest unit that divides it, such as 16MiB. ParseSize
// reads it back.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if unit := Size(1) << u.shift; s >= unit && s%unit == 0 {
			return strconv.FormatUint(uint64(s/unit), 10) + u.suffix
		}
	}
	return "0B"
}
