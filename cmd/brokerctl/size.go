package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// size is a number of bytes given on the command line, such as 16MiB. It
// implements pflag.Value. The units are binary and the same as those of the
// configuration file.
type size uint64

var _ interface{ Set(string) error } = (*size)(nil)

// Set reads a whole number and B, KiB, MiB, GiB, TiB or nothing.
func (s *size) Set(text string) error {
	digits, shift := text, 0
	for i, unit := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = rest, 10*(len(sizeUnits)-1-i)
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || bits.Len64(n)+shift > 63 {
		return fmt.Errorf("expected a whole number and B, KiB, MiB, GiB or TiB, such as 16MiB")
	}
	*s = size(n << shift)
	return nil
}

// sizeUnits are in falling order, each 1024 of the next.
var sizeUnits = [...]string{"TiB", "GiB", "MiB", "KiB", "B"}

// String prints a size in the largest unit that divides it; Set reads it back.
func (s *size) String() string { return formatSize(uint64(*s)) }

// Type names the value in help texts.
func (*size) Type() string { return "SIZE" }

func formatSize(n uint64) string {
	unit := len(sizeUnits) - 1
	for unit > 0 && n != 0 && n%1024 == 0 {
		n /= 1024
		unit--
	}
	return strconv.FormatUint(n, 10) + sizeUnits[unit]
}

// roughSize prints a size for a glance, with one decimal.
func roughSize(n uint64) string {
	unit, value := len(sizeUnits)-1, float64(n)
	for unit > 0 && value >= 1024 {
		value /= 1024
		unit--
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + sizeUnits[unit]
}
