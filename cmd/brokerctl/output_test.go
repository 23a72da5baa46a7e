package main

import (
	"bytes"
	"testing"
)

// A table shows what would move the cursor instead of sending it.
func TestTableShowsControlCharacters(t *testing.T) {
	var out bytes.Buffer
	if err := printTable(&out, func(t *table) { t.row("evil\nname\x1b[31m", "µ\t'x'", "") }); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "evil\\nname\\x1b[31m  µ\\t'x'  -\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
