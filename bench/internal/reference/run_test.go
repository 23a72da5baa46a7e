package reference

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	tests := []struct {
		name, line string
		value      float64
		problem    string // part of the error, empty when none
	}{
		{"round trip", `{"program":"ring_index","mode":"round_trip","p50_ns":190.5,"preemptions":0}`, 190.5, ""},
		{"one way", `{"program":"ring_index","mode":"one_way","million_per_s":48.25,"preemptions":0}`, 48.25, ""},
		{"probe", `{"program":"pingpong","ms":20,"trips":16000,"p50_ns":115,"preemptions":2}`, 115, ""},
		{"no figure", `{"program":"ring_index","mode":"one_way","p50_ns":190}`, 0, "neither a rate nor"},
		{"unknown field", `{"program":"ring_index","mode":"one_way","million_per_s":48,"speed":1}`, 0, `unknown field "speed"`},
		{"half a line", `{"program":"ring_in`, 0, "unexpected EOF"},
		{"nothing", ``, 0, "EOF"},
		{"too long", strings.Repeat(" ", outputBytesMax+1), 0, "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := decode([]byte(tt.line))
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("error %v, want one with %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Value() != tt.value {
				t.Fatalf("value %v, want %v", f.Value(), tt.value)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"program":"ring_index","mode":"one_way","million_per_s":48.25}`))
	f.Add([]byte(`{"p50_ns":-1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		figures, err := decode(line)
		if err == nil && figures.Value() <= 0 {
			t.Fatalf("accepted %q without a figure", line)
		}
	})
}

func TestJudge(t *testing.T) {
	usual := Usual{LowNs: 105, HighNs: 150}
	tests := []struct {
		name    string
		figures Figures
		want    string // part of the reason, empty when the run counts
	}{
		{"at both limits", Figures{ProbeBefore: 105, ProbeAfter: 150, Preemptions: preemptionsMax}, ""},
		{"before too fast", Figures{ProbeBefore: 104.9, ProbeAfter: 120}, "before the run 105"},
		{"after too slow", Figures{ProbeBefore: 120, ProbeAfter: 150.1}, "after the run 150"},
		{"far apart", Figures{ProbeBefore: 480, ProbeAfter: 480}, "before the run 480"},
		{"shared cores", Figures{ProbeBefore: 120, ProbeAfter: 120, Preemptions: preemptionsMax + 1}, "preempted 5 times"},
		{"probe itself", Figures{Program: "pingpong", P50Ns: 120}, ""},
		{"probe too slow", Figures{Program: "pingpong", P50Ns: 480}, "probe 480"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := usual.judge(tt.figures)
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Fatalf("judged %q, want %q", got, tt.want)
			}
		})
	}
}
