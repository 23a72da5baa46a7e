package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

const wantMode = "an octal mode with a leading zero, such as 0660, that lets the owner read and write"

// Each of the functions below returns a decodeFunc that stores into out what it
// accepts and leaves out alone otherwise. They read a scalar's text as it was
// written: 0660, 1001 and a ring called 7 are not to pass through YAML's idea of
// a number.

// text hands the text of a scalar to accept, which reports whether it is fine.
func (d *decoder) text(want string, accept func(string) bool) decodeFunc {
	return func(path string, n *yaml.Node) {
		n = follow(n)
		if !isScalar(n) {
			d.bad(path, describe(n), want)
		} else if !accept(n.Value) {
			d.bad(path, quote(n.Value), want)
		}
	}
}

func (d *decoder) anyText(out *string, want string) decodeFunc {
	return d.text(want, func(s string) bool { *out = s; return true })
}

func (d *decoder) word(out *string, words []string) decodeFunc {
	return d.text(oneOf(words), func(s string) bool {
		if slices.Contains(words, s) {
			*out = s
			return true
		}
		return false
	})
}

// size refuses 0, which a key that is left out stands for.
func (d *decoder) size(out *Size, low, high Size, want string) decodeFunc {
	return d.text(want, func(s string) bool {
		v, err := ParseSize(s)
		if err != nil || v == 0 || v < low || v > high {
			return false
		}
		*out = v
		return true
	})
}

func (d *decoder) count(out *int, low, high int) decodeFunc {
	return d.text(wantCount(low, high), func(s string) bool {
		v, err := strconv.Atoi(s)
		if err != nil || v < low || v > high {
			return false
		}
		*out = v
		return true
	})
}

func (d *decoder) duration(out *time.Duration, low, high time.Duration, want string) decodeFunc {
	return d.text(want, func(s string) bool {
		v, err := time.ParseDuration(s)
		if err != nil || v < low || v > high {
			return false
		}
		*out = v
		return true
	})
}

func (d *decoder) boolean(out *bool) decodeFunc {
	return d.text("true or false", func(s string) bool {
		*out = s == "true"
		return s == "true" || s == "false"
	})
}

func (d *decoder) mode(out *os.FileMode) decodeFunc {
	return d.text(wantMode, func(s string) bool {
		v, err := strconv.ParseUint(s, 8, 32)
		// The leading zero tells 0660 from 660, which is another number in YAML.
		if err != nil || s[0] != '0' || v > 0o777 || v&0o600 != 0o600 {
			return false
		}
		*out = os.FileMode(v)
		return true
	})
}

// principal accepts the empty text too: nobody.
func (d *decoder) principal(out *string) decodeFunc {
	return d.text(wantPrincipal+`, or "" for none`, func(s string) bool {
		*out = s
		return s == "" || validPrincipal(s)
	})
}

func (d *decoder) dir(out *string) decodeFunc {
	return d.text(wantDir, func(s string) bool {
		if s == "" {
			return true
		}
		*out = filepath.Clean(s)
		return validPath(s, dirBytesMax)
	})
}

func (d *decoder) socket(out *string) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.text(wantSocket, func(s string) bool { *out = s; return true })(path, n)
		if *out == "" {
			return
		}
		if e := checkSocket(*out); e != nil {
			d.bad(path, e.Got, e.Expected)
		}
		*out = filepath.Clean(*out)
	}
}

// follow returns what an alias stands for, or n.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// isScalar refuses null and tags that change what the text stands for.
func isScalar(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode &&
		slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, n.ShortTag())
}

// describe names a value that is not a scalar to be read.
func describe(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "nothing"
	case isScalar(n):
		return quote(n.Value)
	case n.Kind == yaml.MappingNode && n.ShortTag() == "!!map":
		return "a mapping"
	case n.Kind == yaml.SequenceNode && n.ShortTag() == "!!seq":
		return "a list"
	}
	return fmt.Sprintf("a value tagged %s", quote(n.ShortTag()))
}
