package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// document returns the root of the only document in data, nil when there is none.
func document(name string, data []byte) (*yaml.Node, error) {
	if err := plainText(name, data); err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(name, data, err)
	}
	if err := dec.Decode(&second); err == nil {
		return nil, &FileError{File: name, Line: second.Line,
			Err: fmt.Errorf("%w: a second document begins here, expected one", ErrSyntax)}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(name, data, err)
	}
	return doc.Content[0], nil
}

// plainText refuses what the YAML library refuses without a line, bytes that are
// not UTF-8 and control characters, and the line breaks that only YAML knows:
// with them its line numbers would not be those of an editor.
func plainText(name string, data []byte) error {
	for i := 0; i < len(data); {
		r, width := utf8.DecodeRune(data[i:])
		newline := r == '\n' || r == '\r' && bytes.HasPrefix(data[i+width:], []byte("\n"))
		odd := unicode.IsControl(r) && r != '\t' || r == '\u2028' || r == '\u2029'
		if r == utf8.RuneError && width == 1 || odd && !newline {
			return &FileError{File: name, Line: lineAt(data, i), Err: fmt.Errorf(
				"%w: byte 0x%02x, expected UTF-8 text without control characters", ErrSyntax, data[i])}
		}
		i += width
	}
	return nil
}

// syntaxError turns the YAML library's "yaml: line 3: text" into a FileError.
// The library leaves the line out when it is the first and for unknown anchors.
// Errors of its parser, which begin "did not find expected" and name a part of
// the grammar, count lines from 0 and mostly mean the start of a block.
func syntaxError(file string, data []byte, err error) *FileError {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := regexp.MustCompile(`^line ([0-9]+): `).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits only; what overflows is not a line
		text = text[len(m[0]):]
	}
	anchor := regexp.MustCompile(`^unknown anchor '(.*)' referenced$`).FindStringSubmatch(text)
	switch {
	case anchor != nil:
		line = lineAt(data, max(bytes.Index(data, []byte("*"+anchor[1])), 0))
	case regexp.MustCompile(`^did not find expected (key|node content|'-'|',' or|<)`).MatchString(text):
		line++
		text += ", here or further down; check indentation, commas and brackets"
	case line == 0:
		line = 1
	}
	return &FileError{File: file, Line: line, Err: fmt.Errorf("%w: %s", ErrSyntax, text)}
}

// lineAt returns the 1-based line of an offset.
func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}
