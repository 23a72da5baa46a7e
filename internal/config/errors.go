package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	// ErrSyntax is a file that is not one well-formed YAML document.
	ErrSyntax = errors.New("not valid YAML")
	// ErrUnknownKey is a key that the configuration does not have.
	ErrUnknownKey = errors.New("unknown key")
	// ErrDuplicateKey is a key that one mapping has twice.
	ErrDuplicateKey = errors.New("duplicate key")
	// ErrFileTooLarge is a file of more than 1 MiB.
	ErrFileTooLarge = errors.New("file too large")
)

// quotedBytesMax bounds how much of a value or key a message repeats.
const quotedBytesMax = 64

// KeyError is a value that breaks its key's rule.
type KeyError struct {
	Key      string // such as rings[0].capacity; capacity alone from NormalizeRing
	Got      string // the value as a message shows it
	Expected string // the rule
}

// Error gives key, value and rule in one line.
func (e *KeyError) Error() string {
	return fmt.Sprintf("%s: got %s, expected %s", e.Key, e.Got, e.Expected)
}

// FileError is an error with its place. Every error of Parse is one, or joins
// several.
type FileError struct {
	File string
	Line int // 1-based; 0 when the error has no line
	Err  error
}

// Error gives file:line: and the error.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the error without its place.
func (e *FileError) Unwrap() error { return e.Err }

// quote makes untrusted text safe and short enough for a message.
func quote(s string) string {
	if len(s) <= quotedBytesMax {
		return strconv.Quote(s)
	}
	cut := quotedBytesMax
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q... (%d bytes)", s[:cut], len(s))
}

func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func wantCount(low, high int) string {
	return fmt.Sprintf("a whole number from %d to %d", low, high)
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
