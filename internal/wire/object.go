package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// excerptBytesMax bounds what an error quotes of its input.
const excerptBytesMax = 64

type member struct {
	name  string
	value json.RawMessage
}

// splitObject returns the members of an object, given valid JSON, in their
// order. A name given twice is an error: parsers differ in which of the two
// they believe.
func splitObject(data []byte, path string) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, wrongType(bytes.TrimSpace(data), "an object", path)
	}
	var members []member
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		var m member
		if err == nil && ok {
			m.name = name
			err = dec.Decode(&m.value)
		}
		if err != nil {
			return nil, wrongType(data, "an object", path)
		}
		if seen[name] {
			at := join(path, clip(name))
			return nil, InvalidParameter(at, "%s is given twice", quote(at))
		}
		seen[name] = true
		members = append(members, m)
	}
	return members, nil
}

// checkSyntax tells whether data is one JSON value and nothing more.
func checkSyntax(data []byte, what string) error {
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return InvalidParameter(what, "%s is not valid JSON: %v at byte %d of %d", what, err, syntax.Offset, len(data))
	}
	return InvalidParameter(what, "%s is not valid JSON: %v", what, err)
}

func wrongType(raw []byte, want, path string) error {
	if path == "" {
		path = "parameters"
	}
	return InvalidParameter(path, "%s must be %s, got %s", path, want, excerpt(raw))
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clip returns the start of s as text that JSON carries unchanged.
func clip(s string) string {
	if len(s) <= excerptBytesMax {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:excerptBytesMax], "\uFFFD") + "..."
}

func quote(s string) string { return strconv.Quote(clip(s)) }

func excerpt(raw []byte) string { return clip(string(raw)) }
