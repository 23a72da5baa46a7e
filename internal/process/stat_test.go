package process

import "testing"

const someStat = "(go) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 5 0 123456 789 10 18446744073709551615"

func TestParseStart(t *testing.T) {
	for _, tt := range []struct {
		stat string
		want uint64
		ok   bool
	}{
		{"42 " + someStat, 123456, true},
		{"42 (a b) (c) 9 9 9" + someStat[3:], 123456, true},
		{"42 (a\n) S 1\n" + someStat[3:], 123456, true},
		{"42 (go) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 5 0 18446744073709551615", 1<<64 - 1, true},
		{"42 (go) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 5 0 18446744073709551616", 0, false},
		{"42 (go) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 5 0 -1", 0, false},
		{"42 (go) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 5 0", 0, false},
		{"42 go S 1 42", 0, false},
		{"42 (go)", 0, false},
		{"", 0, false},
	} {
		got, err := parseStart([]byte(tt.stat))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v; want %d", tt.stat, got, err, tt.want)
		}
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add("42 "+someStat, "go")
	f.Fuzz(func(t *testing.T, stat, name string) {
		_, _ = parseStart([]byte(stat)) // any text, without a panic
		got, err := parseStart([]byte("42 (" + name + someStat[3:]))
		if got != 123456 || err != nil {
			t.Errorf("a program called %q: got %d, %v", name, got, err)
		}
	})
}
