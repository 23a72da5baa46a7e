package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// DecodeParameters fills in, a pointer to one of the In structs, from the
// parameters of a call; nil and null count as {}. Members must be there unless
// optional, must be spelled exactly, once, and must have the described type. The
// error is an *Error named InvalidParameter that names the member by its path.
func DecodeParameters(raw json.RawMessage, in any) error {
	raw = bytes.TrimSpace(raw)
	if absent(raw) {
		raw = json.RawMessage("{}")
	}
	if err := checkSyntax(raw, "parameters"); err != nil {
		return err
	}
	return decodeValue(raw, reflect.ValueOf(in).Elem(), "")
}

// enum is a type whose values are listed in the description.
type enum interface{ values() []string }

// decodeValue is given valid JSON.
func decodeValue(raw json.RawMessage, v reflect.Value, path string) error {
	if e, ok := v.Interface().(enum); ok && v.Kind() == reflect.String {
		return decodeEnum(raw, v, e.values(), path)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(raw, v.Elem(), path)
	case reflect.Struct:
		return decodeStruct(raw, v, path)
	case reflect.Slice:
		return decodeList(raw, v, path)
	case reflect.String:
		return decodeText(raw, v.Addr().Interface().(*string), path)
	case reflect.Bool:
		return decodeFlag(raw, v.Addr().Interface().(*bool), path)
	case reflect.Int, reflect.Int64:
		n, err := decodeInt(raw, math.MinInt64, math.MaxInt64, path)
		v.SetInt(n)
		return err
	case reflect.Uint32:
		n, err := decodeInt(raw, 0, math.MaxUint32, path)
		v.SetUint(uint64(n))
		return err
	case reflect.Uint64:
		n, err := decodeInt(raw, 0, math.MaxInt64, path)
		v.SetUint(uint64(n))
		return err
	}
	panic("wire: no decoding of " + v.Type().String())
}

func decodeStruct(raw json.RawMessage, v reflect.Value, path string) error {
	members, err := splitObject(raw, path)
	if err != nil {
		return err
	}
	given := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		given[m.name] = m.value
	}
	t := v.Type()
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		at := join(path, name)
		value, ok := given[name]
		delete(given, name)
		switch optional := option == "omitempty"; {
		case ok && !absent(value):
			err = decodeValue(value, v.Field(i), at)
		case !optional && ok:
			err = InvalidParameter(at, "parameter %s must not be null", at)
		case !optional:
			err = InvalidParameter(at, "parameter %s is missing", at)
		}
		if err != nil {
			return err
		}
	}
	for _, m := range members { // in the order given, so that the error is always the same
		if _, unknown := given[m.name]; unknown {
			at := join(path, clip(m.name))
			return InvalidParameter(at, "there is no parameter %s; %s", quote(at), fieldList(t))
		}
	}
	return nil
}

func decodeList(raw json.RawMessage, v reflect.Value, path string) error {
	if raw[0] != '[' {
		return wrongType(raw, "a list", path)
	}
	var values []json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return wrongType(raw, "a list", path)
	}
	list := reflect.MakeSlice(v.Type(), len(values), len(values))
	for i, value := range values {
		if err := decodeValue(value, list.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func decodeEnum(raw json.RawMessage, v reflect.Value, values []string, path string) error {
	var s string
	if err := decodeText(raw, &s, path); err != nil {
		return err
	}
	for _, value := range values {
		if s == value {
			v.SetString(s)
			return nil
		}
	}
	return InvalidParameter(path, "%s must be one of %s, got %s", path, strings.Join(values, ", "), quote(s))
}

func decodeText(raw json.RawMessage, s *string, path string) error {
	if raw[0] != '"' || json.Unmarshal(raw, s) != nil {
		return wrongType(raw, "a string", path)
	}
	return nil
}

func decodeFlag(raw json.RawMessage, b *bool, path string) error {
	if json.Unmarshal(raw, b) != nil || raw[0] == 'n' {
		return wrongType(raw, "true or false", path)
	}
	return nil
}

func decodeInt(raw json.RawMessage, least, most int64, path string) (int64, error) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, wrongType(raw, "a whole number", path)
	}
	if err != nil || n < least || n > most {
		return 0, InvalidParameter(path, "%s must be from %d to %d, got %s", path, least, most, excerpt(raw))
	}
	return n, nil
}

// decodeObject checks that raw is an object and returns it; null is nil.
func decodeObject(raw json.RawMessage, path string) (json.RawMessage, error) {
	if absent(raw) {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, wrongType(raw, "an object", path)
	}
	return raw, nil
}

func fieldList(t reflect.Type) string {
	if t.NumField() == 0 {
		return "none is taken here"
	}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return "known here: " + strings.Join(names, ", ")
}
