package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/varlink/go/varlink/idl"
)

// checker compares JSON with the types of an interface description.
type checker struct {
	description *idl.IDL
	unseen      map[string]bool // optional members that no reply has had yet
}

func newChecker(t *testing.T, text string) *checker {
	t.Helper()
	description, err := idl.New(text)
	if err != nil {
		t.Fatal(err)
	}
	return &checker{description: description, unseen: map[string]bool{}}
}

// check returns what is wrong with raw as a value of type want: a member too
// few or too many, a wrong type, a null.
func (c *checker) check(raw json.RawMessage, want *idl.Type, path string) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.value(value, want, path)
}

func (c *checker) value(value any, want *idl.Type, path string) error {
	ok := false
	switch want.Kind {
	case idl.TypeBool:
		_, ok = value.(bool)
	case idl.TypeInt:
		var n json.Number
		if n, ok = value.(json.Number); ok {
			_, err := n.Int64()
			ok = err == nil
		}
	case idl.TypeString:
		_, ok = value.(string)
	case idl.TypeMaybe:
		return c.value(value, want.ElementType, path)
	case idl.TypeArray:
		var list []any
		list, ok = value.([]any)
		for i, element := range list {
			if err := c.value(element, want.ElementType, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case idl.TypeEnum:
		for _, f := range want.Fields {
			ok = ok || value == f.Name
		}
	case idl.TypeAlias:
		return c.alias(value, want.Alias, path)
	case idl.TypeStruct:
		return c.object(value, want, path, path)
	default:
		return fmt.Errorf("%s: this test does not know kind %d", path, want.Kind)
	}
	if !ok {
		return fmt.Errorf("%s: %v (%T) is not of the described type (kind %d)", path, value, value, want.Kind)
	}
	return nil
}

func (c *checker) alias(value any, name, path string) error {
	for _, a := range c.description.Aliases {
		if a.Name == name && a.Type.Kind == idl.TypeStruct {
			return c.object(value, a.Type, path, name)
		}
		if a.Name == name {
			return c.value(value, a.Type, path)
		}
	}
	return fmt.Errorf("%s: type %s is not described", path, name)
}

// object compares the members; where is what it calls itself in unseen.
func (c *checker) object(value any, want *idl.Type, path, where string) error {
	members, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %v is not an object", path, value)
	}
	for _, f := range want.Fields {
		at, key := path+"."+f.Name, where+"."+f.Name
		member, present := members[f.Name]
		delete(members, f.Name)
		optional := f.Type.Kind == idl.TypeMaybe
		if _, known := c.unseen[key]; optional && !known {
			c.unseen[key] = true
		}
		switch {
		case !present && !optional:
			return fmt.Errorf("%s is missing", at)
		case !present:
			continue
		}
		if err := c.value(member, f.Type, at); err != nil {
			return err
		}
		if optional {
			c.unseen[key] = false
		}
	}
	for name := range members {
		return fmt.Errorf("%s.%s is not described", path, name)
	}
	return nil
}

// neverSeen lists the optional members that no reply had.
func (c *checker) neverSeen() []string {
	var list []string
	for key, unseen := range c.unseen {
		if unseen {
			list = append(list, key)
		}
	}
	return list
}

// TestCheckerCanFail shows that each difference is found.
func TestCheckerCanFail(t *testing.T) {
	c := newChecker(t, `interface a.b
type Color (red, green)
type Point (x: int, color: ?Color)
method M() -> (points: []Point, name: string, on: bool)
`)
	out := c.description.Methods[0].Out
	good := `{"points":[{"x":1},{"x":-2,"color":"red"}],"name":"","on":false}`
	if err := c.check(json.RawMessage(good), out, "M"); err != nil {
		t.Fatal(err)
	}
	if never := c.neverSeen(); len(never) != 0 {
		t.Errorf("never seen: %v", never)
	}
	for _, bad := range []struct{ from, to, want string }{
		{`"x":1`, `"x":"1"`, "M.points[0].x"},
		{`"x":1`, `"x":1.5`, "M.points[0].x"},
		{`"x":1`, `"y":1`, "M.points[0].x is missing"},
		{`"x":1`, `"x":1,"y":1`, "M.points[0].y is not described"},
		{`"red"`, `"blue"`, "M.points[1].color"},
		{`"red"`, `null`, "M.points[1].color"},
		{`"name":""`, `"name":null`, "M.name"},
		{`,"on":false`, ``, "M.on is missing"},
		{`{"x":1},`, `null,`, "M.points[0]"},
		{`[{"x":1},{"x":-2,"color":"red"}]`, `null`, "M.points"},
	} {
		text := strings.Replace(good, bad.from, bad.to, 1)
		if err := c.check(json.RawMessage(text), out, "M"); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v, want %q", text, err, bad.want)
		}
	}
}
