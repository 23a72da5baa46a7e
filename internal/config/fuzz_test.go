package config_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"brokerd/configs"
	"brokerd/internal/config"
)

// FuzzParse holds that no text makes Parse panic, that a refusal names the file
// in each line, and that what is accepted prints and reads back equal.
func FuzzParse(f *testing.F) {
	f.Add(configs.Default())
	f.Add([]byte(everyKey))
	for text := range badFiles() {
		f.Add([]byte(text))
	}
	for text := range badGateways() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("f", data)
		if err != nil {
			var place *config.FileError
			if !errors.As(err, &place) || place.Line > strings.Count(string(data), "\n")+2 {
				t.Fatalf("%v is not an error with a place in the file", err)
			}
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f:") {
					t.Fatalf("the line %q of the error does not begin with the file", line)
				}
			}
			return
		}
		out, err := c.YAML()
		if err != nil {
			t.Fatalf("cannot print %+v: %v", c, err)
		}
		again, err := config.Parse("printed", out)
		if err != nil {
			t.Fatalf("cannot read back\n%s%v", out, err)
		}
		if !reflect.DeepEqual(again, c) {
			t.Fatalf("printed\n%sgot  %+v\nwant %+v", out, again, c)
		}
	})
}
