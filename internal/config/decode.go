package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// errorsMax bounds how many errors one file is told about.
const errorsMax = 64

// decodeFunc turns the value of the key at path into something, or reports why
// it cannot.
type decodeFunc func(path string, n *yaml.Node)

// field is one key that a mapping may have.
type field struct {
	key    string
	decode decodeFunc
}

// decoder walks one file's nodes and gathers its errors. Aliases are followed
// where a value is read; since the walk goes only as deep as the fields do and
// lists are bounded, they cannot make it long.
type decoder struct {
	file  string
	lines map[string]int // path -> line of its key or list item
	wrong map[string]bool
	errs  []*FileError
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, lines: map[string]int{"": 1}, wrong: map[string]bool{}}
}

// mapping hands each key of n to its field. A mapping without a value, such as
// one whose keys are all commented out, has no keys.
func (d *decoder) mapping(path string, n *yaml.Node, fields []field) {
	n = follow(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		d.bad(path, describe(n), "a mapping with keys of "+strings.Join(keysOf(fields), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content) && !d.full(); i += 2 {
		d.entry(path, n.Content[i], n.Content[i+1], fields, seen)
	}
}

// entry decodes one key and value of a mapping.
func (d *decoder) entry(parent string, key, value *yaml.Node, fields []field, seen map[string]int) {
	name := follow(key).Value
	switch {
	case follow(key).Kind != yaml.ScalarNode:
		d.add(key.Line, fmt.Errorf("%sgot %s as a key, expected one of %s",
			prefix(parent), describe(follow(key)), strings.Join(keysOf(fields), ", ")))
		return
	case follow(key).ShortTag() == "!!merge":
		d.add(key.Line, fmt.Errorf("%s%w \"<<\": merging is not supported, write the keys out or alias a whole value",
			prefix(parent), ErrUnknownKey))
		return
	}
	path := join(parent, name)
	at := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
	if at < 0 {
		d.add(key.Line, unknownKey(parent, name, keysOf(fields)))
		return
	}
	if first, ok := seen[name]; ok {
		d.add(key.Line, fmt.Errorf("%s: %w (first on line %d)", path, ErrDuplicateKey, first))
		return
	}
	seen[name] = key.Line
	d.lines[path] = key.Line
	fields[at].decode(path, value)
}

// sequence hands each item of n to item, at most countMax of them.
func (d *decoder) sequence(path string, n *yaml.Node, countMax int, item decodeFunc) {
	n = follow(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		d.bad(path, describe(n), "a list")
		return
	}
	if len(n.Content) > countMax {
		d.bad(path, fmt.Sprintf("%d entries", len(n.Content)), fmt.Sprintf("at most %d entries", countMax))
		return
	}
	for i, child := range n.Content {
		if d.full() {
			return
		}
		d.lines[index(path, i)] = child.Line
		item(index(path, i), child)
	}
}

// bad reports the value at path.
func (d *decoder) bad(path, got, want string) {
	d.wrong[path] = true
	if path == "" {
		d.add(d.line(path), fmt.Errorf("got %s, expected %s", got, want))
		return
	}
	d.add(d.line(path), &KeyError{Key: path, Got: got, Expected: want})
}

func (d *decoder) add(line int, err error) {
	d.errs = append(d.errs, &FileError{File: d.file, Line: line, Err: err})
}

// full tells that there are more errors than will be shown.
func (d *decoder) full() bool { return len(d.errs) > errorsMax }

// written tells whether the file has the key or list item at path.
func (d *decoder) written(path string) bool {
	_, written := d.lines[path]
	return written
}

// line returns the line of path or, where the file does not have it, of the
// nearest thing around it.
func (d *decoder) line(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// err joins the errors in the order of their lines.
func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b *FileError) int { return cmp.Compare(a.Line, b.Line) })
	var all []error
	for _, e := range d.errs {
		if len(all) == errorsMax {
			return errors.Join(append(all, fmt.Errorf("%s: more errors than %d, the rest is not shown", d.file, errorsMax))...)
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

func unknownKey(parent, name string, known []string) error {
	path := prefix(parent) + quote(name)
	if quote(name) == `"`+name+`"` {
		path = join(parent, name)
	}
	if like := suggest(name, known); like != "" {
		return fmt.Errorf("%s: %w (did you mean %q?)", path, ErrUnknownKey, like)
	}
	return fmt.Errorf("%s: %w (expected one of %s)", path, ErrUnknownKey, strings.Join(known, ", "))
}

func keysOf(fields []field) []string {
	var keys []string
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return keys
}

func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}
