package config_test

import (
	"math"
	"testing"

	"brokerd/internal/config"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]config.Size{
		"0": 0, "1": 1, "512B": 512, "64KiB": 64 << 10, "16MiB": 16 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"16777215TiB": 16777215 << 40, "18446744073709551615": math.MaxUint64,
	} {
		if got, err := config.ParseSize(s); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "B", "MiB", "16MB!", "16MB", "16M", "16k", "16mib", "16 MiB", " 16MiB", "-1MiB", "+1MiB",
		"1.5GiB", "1e3", "0x10", "1_000", "16777216TiB", "18446744073709551616", "1MiBB", "1KiBMiB"} {
		got, err := config.ParseSize(s)
		if err == nil {
			t.Errorf("%q is accepted as %d", s, got)
		}
	}
	_, err := config.ParseSize("16MB!")
	if want := `size "16MB!": expected a whole number and B, KiB, MiB, GiB or TiB, such as 16MiB`; err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[config.Size]string{
		0: "0B", 1: "1B", 1023: "1023B", 1024: "1KiB", 1025: "1025B", 1 << 20: "1MiB", 3 << 19: "1536KiB",
		2 << 30: "2GiB", 5 << 40: "5TiB", math.MaxUint64: "18446744073709551615B",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %s, want %s", uint64(size), got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"16MiB", "1", "0B", "16MB!", "18446744073709551615"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		size, err := config.ParseSize(s)
		if err != nil {
			return
		}
		if again, err := config.ParseSize(size.String()); err != nil || again != size {
			t.Errorf("%q is %d, prints as %s and reads back as %d, %v", s, size, size, again, err)
		}
	})
}
