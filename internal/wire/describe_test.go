package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/varlink/go/varlink/idl"
)

type inOut struct{ in, out any }

func brokerMethods() map[string]inOut {
	return map[string]inOut{
		MethodCreateRing:      {CreateRingIn{}, CreateRingOut{}},
		MethodRemoveRing:      {RemoveRingIn{}, RemoveRingOut{}},
		MethodListRings:       {ListRingsIn{}, ListRingsOut{}},
		MethodDescribeRing:    {DescribeRingIn{}, DescribeRingOut{}},
		MethodAttach:          {AttachIn{}, AttachOut{}},
		MethodDetach:          {DetachIn{}, DetachOut{}},
		MethodListAttachments: {ListAttachmentsIn{}, ListAttachmentsOut{}},
		MethodStats:           {StatsIn{}, StatsOut{}},
		MethodListLinks:       {ListLinksIn{}, ListLinksOut{}},
		MethodReload:          {ReloadIn{}, ReloadOut{}},
		MethodCollectGarbage:  {CollectGarbageIn{}, CollectGarbageOut{}},
		MethodGetStatus:       {GetStatusIn{}, GetStatusOut{}},
	}
}

func serviceMethods() map[string]inOut {
	return map[string]inOut{
		MethodGetInfo:                 {GetInfoIn{}, GetInfoOut{}},
		MethodGetInterfaceDescription: {GetInterfaceDescriptionIn{}, GetInterfaceDescriptionOut{}},
	}
}

// description compares Go types with the parsed text of an interface. Each
// mismatch is one line.
type description struct {
	aliases    map[string]*idl.Type
	mismatches []string
}

func describe(d *idl.IDL) *description {
	aliases := make(map[string]*idl.Type)
	for _, a := range d.Aliases {
		aliases[a.Name] = a.Type
	}
	return &description{aliases: aliases}
}

func (d *description) failf(format string, args ...any) {
	d.mismatches = append(d.mismatches, fmt.Sprintf(format, args...))
}

func (d *description) compare(at string, want *idl.Type, got reflect.Type) {
	switch want.Kind {
	case idl.TypeAlias:
		if got.Name() != want.Alias {
			d.failf("%s: Go type %v, described as %s", at, got, want.Alias)
			return
		}
		alias, ok := d.aliases[want.Alias]
		if !ok {
			d.failf("%s: no type %s is described", at, want.Alias)
			return
		}
		d.compare(at, alias, got)
	case idl.TypeStruct:
		d.compareStruct(at, want, got)
	case idl.TypeEnum:
		d.compareEnum(at, want, got)
	case idl.TypeArray:
		if got.Kind() != reflect.Slice || !got.Implements(reflect.TypeFor[json.Marshaler]()) {
			d.failf("%s: Go type %v is no List", at, got)
			return
		}
		d.compare(at+"[]", want.ElementType, got.Elem())
	default:
		kinds := map[idl.TypeKind][]reflect.Kind{
			idl.TypeString: {reflect.String},
			idl.TypeBool:   {reflect.Bool},
			idl.TypeInt:    {reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64},
		}[want.Kind]
		if !slices.Contains(kinds, got.Kind()) {
			d.failf("%s: Go type %v for described kind %d", at, got, want.Kind)
		}
		if _, ok := reflect.Zero(got).Interface().(enum); ok {
			d.failf("%s: %v is an enumeration, described as none", at, got)
		}
	}
}

func (d *description) compareEnum(at string, want *idl.Type, got reflect.Type) {
	e, ok := reflect.Zero(got).Interface().(enum)
	if !ok {
		d.failf("%s: Go type %v is no enumeration", at, got)
		return
	}
	var names []string
	for _, f := range want.Fields {
		names = append(names, f.Name)
		v := reflect.New(got).Elem()
		v.SetString(f.Name)
		if !v.Interface().(interface{ Valid() bool }).Valid() {
			d.failf("%s: %q is not valid", at, f.Name)
		}
	}
	if !slices.Equal(names, e.values()) {
		d.failf("%s: values %q, described as %q", at, e.values(), names)
	}
	if e.(interface{ Valid() bool }).Valid() {
		d.failf("%s: the empty string is valid", at)
	}
}

func (d *description) compareStruct(at string, want *idl.Type, got reflect.Type) {
	if got.Kind() != reflect.Struct {
		d.failf("%s: Go type %v is no struct", at, got)
		return
	}
	var wantNames, gotNames []string
	for _, f := range want.Fields {
		wantNames = append(wantNames, f.Name)
	}
	for i := range got.NumField() {
		name, _, _ := strings.Cut(got.Field(i).Tag.Get("json"), ",")
		gotNames = append(gotNames, name)
	}
	if !slices.Equal(wantNames, gotNames) {
		d.failf("%s: fields %q, described as %q", at, gotNames, wantNames)
		return
	}
	for i, f := range want.Fields {
		field, at := got.Field(i), at+"."+f.Name
		_, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		described, actual := f.Type, field.Type
		optional := described.Kind == idl.TypeMaybe
		if optional != (option == "omitempty") || option != "" && option != "omitempty" {
			d.failf("%s: tag %q, described as optional: %v", at, field.Tag, optional)
		}
		if optional {
			described = described.ElementType
		}
		pointer := actual.Kind() == reflect.Pointer
		if pointer {
			actual = actual.Elem()
		}
		// An int of 0 and a struct of zeros mean something, so absence needs a
		// pointer; "" and false can stand for it.
		zeroIsAbsent := actual.Kind() == reflect.String || actual.Kind() == reflect.Bool
		if pointer && !optional || optional && !pointer && !zeroIsAbsent {
			d.failf("%s: Go type %v, described as optional: %v", at, field.Type, optional)
		}
		d.compare(at, described, actual)
	}
}

func parse(t *testing.T, text, name string) *idl.IDL {
	t.Helper()
	d, err := idl.New(text)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != name {
		t.Fatalf("interface %s, want %s", d.Name, name)
	}
	return d
}

func TestTypesAreAsDescribed(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		methods    map[string]inOut
	}{
		{Interface, Description, brokerMethods()},
		{ServiceInterface, ServiceDescription, serviceMethods()},
	} {
		parsed := parse(t, tt.text, tt.name)
		d := describe(parsed)
		for _, m := range parsed.Methods {
			goTypes, ok := tt.methods[tt.name+"."+m.Name]
			if !ok {
				t.Errorf("method %s has no Go types", m.Name)
				continue
			}
			delete(tt.methods, tt.name+"."+m.Name)
			in, out := reflect.TypeOf(goTypes.in), reflect.TypeOf(goTypes.out)
			if in.Name() != m.Name+"In" || out.Name() != m.Name+"Out" {
				t.Errorf("method %s has types %v and %v", m.Name, in, out)
			}
			d.compare(m.Name+" in", m.In, in)
			d.compare(m.Name+" out", m.Out, out)
		}
		for name := range tt.methods {
			t.Errorf("%s is not described", name)
		}
		for _, mismatch := range d.mismatches {
			t.Error(mismatch)
		}
	}
}

func TestErrorsAreAsDescribed(t *testing.T) {
	samples := make(map[ErrorName]errorSample)
	for _, s := range errorSamples() {
		samples[s.err.Name] = s
	}
	for name, text := range map[string]string{Interface: Description, ServiceInterface: ServiceDescription} {
		parsed := parse(t, text, name)
		d := describe(parsed)
		for _, e := range parsed.Errors {
			full := ErrorName(name + "." + e.Name)
			sample, ok := samples[full]
			if !ok {
				t.Errorf("error %s has no Go type", e.Name)
				continue
			}
			delete(samples, full)
			want := *e.Type
			if name == ServiceInterface { // it gets a message beyond the standard
				message := idl.TypeField{Name: "message", Type: &idl.Type{Kind: idl.TypeString}}
				want.Fields = append([]idl.TypeField{message}, want.Fields...)
			}
			got := reflect.TypeOf(sample.parameters)
			if got.Name() != e.Name+"Parameters" {
				t.Errorf("error %s has type %v", e.Name, got)
			}
			d.compare(e.Name, &want, got)
		}
		for _, mismatch := range d.mismatches {
			t.Error(mismatch)
		}
	}
	for name := range samples {
		t.Errorf("%s is not described", name)
	}
}

// The comparison itself must be able to fail.
func TestComparisonFindsMismatches(t *testing.T) {
	const text = `interface a.b
type E (x, y)
method M(s: string, n: int, l: []int, e: E, o: ?int) -> ()
`
	type e = Producers
	for name, v := range map[string]any{
		"name": struct{ Other string }{},
		"type": struct {
			S int       `json:"s"`
			N int       `json:"n"`
			L List[int] `json:"l"`
			E e         `json:"e"`
			O *int      `json:"o,omitempty"`
		}{},
		"null": struct {
			S string `json:"s"`
			N int    `json:"n"`
			L []int  `json:"l"`
			E e      `json:"e"`
			O *int   `json:"o,omitempty"`
		}{},
		"required": struct {
			S string    `json:"s"`
			N *int      `json:"n,omitempty"`
			L List[int] `json:"l"`
			E e         `json:"e"`
			O *int      `json:"o,omitempty"`
		}{},
		"optional": struct {
			S string    `json:"s"`
			N int       `json:"n"`
			L List[int] `json:"l"`
			E e         `json:"e"`
			O int       `json:"o,omitempty"`
		}{},
	} {
		parsed := parse(t, text, "a.b")
		d := describe(parsed)
		d.compare("M", parsed.Methods[0].In, reflect.TypeOf(v))
		if !slices.ContainsFunc(d.mismatches, func(s string) bool { return !strings.Contains(s, "M.e") }) {
			t.Errorf("%s: no mismatch but that of the enumeration: %q", name, d.mismatches)
		}
	}
}

// What is required is never absent and never null, even in a zero value.
func TestZeroValuesEncodeWhatIsRequired(t *testing.T) {
	for name, m := range brokerMethods() {
		data, err := EncodeParameters(m.out)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "null") {
			t.Errorf("%s: %s", name, data)
		}
	}
	got, err := EncodeParameters(StatsOut{Rings: List[RingStats]{}, TimeNS: 5})
	if want := `{"time_ns":5,"rings":[],"attachments":[]}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
