package config

import "testing"

func TestSuggest(t *testing.T) {
	known := []string{"name", "capacity", "record_max", "dir", "log"}
	for key, want := range map[string]string{
		"capcity": "capacity", "capacity_": "capacity", "cpacty": "capacity", "caaacccity": "", "record-max": "record_max",
		"dri": "dir", "nam": "name", "a": "", "xy": "", "": "", "nothing": "",
		"capacitycapacitycapacitycapacityc": "",
	} {
		if got := suggest(key, known); got != want {
			t.Errorf("%q suggests %q, want %q", key, got, want)
		}
	}
}
