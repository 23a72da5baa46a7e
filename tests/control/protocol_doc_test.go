package control

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/varlink/go/varlink/idl"

	"brokerd/internal/wire"
)

const protocolPage = "../../docs/PROTOCOL.md"

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// examples are the blocks of the page that hold a call and its reply.
func examples(t *testing.T) [][2]json.RawMessage {
	var list [][2]json.RawMessage
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(readPage(t), -1) {
		d := json.NewDecoder(strings.NewReader(block[1]))
		var example [2]json.RawMessage
		for i := range example {
			if err := d.Decode(&example[i]); err != nil {
				t.Fatalf("%v in the example\n%s", err, block[1])
			}
		}
		if d.More() {
			t.Fatalf("more than a call and a reply in the example\n%s", block[1])
		}
		list = append(list, example)
	}
	return list
}

// TestExamplesOfTheProtocolPage compares every example with the descriptions,
// and wants one for every method.
func TestExamplesOfTheProtocolPage(t *testing.T) {
	checkers := map[string]*checker{
		wire.Interface:        newChecker(t, wire.Description),
		wire.ServiceInterface: newChecker(t, wire.ServiceDescription),
	}
	shown := map[string]bool{}
	for _, example := range examples(t) {
		call, err := wire.DecodeCall(example[0])
		if err != nil {
			t.Fatalf("%v in %s", err, example[0])
		}
		iface, name, _ := wire.SplitMethod(call.Method)
		c := checkers[iface]
		if c == nil {
			t.Fatalf("%s is of no interface that is served", call.Method)
		}
		method := methodNamed(t, c, name)
		if call.Parameters == nil {
			call.Parameters = json.RawMessage("{}")
		}
		if err := c.check(call.Parameters, method.In, name+" in"); err != nil {
			t.Errorf("%v\nin %s", err, example[0])
		}
		reply, err := wire.DecodeReply(example[1])
		if err != nil {
			t.Fatalf("%v in %s", err, example[1])
		}
		want := method.Out
		if reply.Error == "" {
			shown[call.Method] = true
		} else {
			want = errorNamed(t, c, strings.TrimPrefix(reply.Error, iface+"."))
		}
		if err := c.check(reply.Parameters, want, name+" out"); err != nil {
			t.Errorf("%v\nin %s", err, example[1])
		}
	}
	for iface, c := range checkers {
		for _, m := range c.description.Methods {
			if !shown[iface+"."+m.Name] {
				t.Errorf("%s shows no call of %s.%s", protocolPage, iface, m.Name)
			}
		}
	}
}

func methodNamed(t *testing.T, c *checker, name string) *idl.Method {
	t.Helper()
	for _, m := range c.description.Methods {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("%s is not a method of %s", name, c.description.Name)
	return nil
}

func errorNamed(t *testing.T, c *checker, name string) *idl.Type {
	t.Helper()
	for _, e := range c.description.Errors {
		if e.Name == name {
			return e.Type
		}
	}
	t.Fatalf("%s is not an error of %s", name, c.description.Name)
	return nil
}

// TestErrorsOfTheProtocolPage wants a line for every error, with its members.
func TestErrorsOfTheProtocolPage(t *testing.T) {
	page := readPage(t)
	for _, e := range newChecker(t, wire.Description).description.Errors {
		var members []string
		for _, f := range e.Type.Fields {
			if f.Name != "message" {
				members = append(members, f.Name)
			}
		}
		if line := "\n| " + e.Name + " | " + strings.Join(members, ", ") + " |"; !strings.Contains(page, line) {
			t.Errorf("%s has no line that begins with %q", protocolPage, line)
		}
	}
}

// TestTheProtocolPageNamesEveryMember wants each member of a call, a reply, an
// error or a type as `member` in the text or as "member" in an example.
func TestTheProtocolPageNamesEveryMember(t *testing.T) {
	page := readPage(t)
	description := newChecker(t, wire.Description).description
	types := map[string]*idl.Type{}
	for _, m := range description.Methods {
		types[m.Name+" in"], types[m.Name+" out"] = m.In, m.Out
	}
	for _, a := range description.Aliases {
		types[a.Name] = a.Type
	}
	for where, of := range types {
		for _, f := range of.Fields {
			if !strings.Contains(page, "`"+f.Name+"`") && !strings.Contains(page, `"`+f.Name+`"`) {
				t.Errorf("%s does not name %s of %s", protocolPage, f.Name, where)
			}
		}
	}
}

// TestThePythonClientOfTheProtocolPage runs it.
func TestThePythonClientOfTheProtocolPage(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	const socket = `"/run/brokerd/control.sock"`
	_, rest, found := strings.Cut(readPage(t), "```python\n")
	program, _, ends := strings.Cut(rest, "```")
	if !found || !ends || strings.Count(program, socket) != 1 {
		t.Fatalf("%s has no program that connects to %s", protocolPage, socket)
	}
	w := newWorld(t)
	cmd := exec.CommandContext(deadline(t), "python3", "-")
	cmd.Stdin = strings.NewReader(strings.Replace(program, socket, strconv.Quote(w.service.path), 1))
	out, err := cmd.CombinedOutput()
	var id string
	var data, cursor int
	if n, scanErr := fmt.Sscan(string(out), &id, &data, &cursor); err != nil || n != 3 || data < 64<<10 || cursor != 4096 {
		t.Errorf("%v, %v: it printed %q", err, scanErr, out)
	}
}
