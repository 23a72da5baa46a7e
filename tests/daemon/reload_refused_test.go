package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"brokerd/internal/wire"
)

// state is what a refused reload must leave as it is.
func state(c *client) string {
	c.t.Helper()
	s := c.status()
	s.Connections = 0
	text, err := json.Marshal([]any{s, c.rings(), c.attachments()})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func TestBadFileChangesNothing(t *testing.T) {
	const more = ", {name: new, capacity: 64KiB}"
	for _, c := range []struct {
		name  string
		edit  []string // "PLACE" stands for the folder of the rings
		lines [][]string
	}{
		{"many mistakes", []string{"format: json", "format: json\n  level: loud\nlimits: {rings: 0}\ncolour: red"},
			[][]string{{":8: log.level"}, {":9: limits.rings"}, {":10: colour"}}},
		{"no YAML", []string{"format: json", "format: [json"}, [][]string{{"not valid YAML"}}},
		{"no such group", []string{"format: json", "format: json\n  level: debug", "control:\n", "control:\n  admin_group: no-such-group\n"},
			[][]string{{"control.admin_group", "no-such-group"}}},
		{"too much memory", []string{"}]", "}" + more + "]\nlimits: {memory: 200KiB}"}, [][]string{{"limits.memory"}}},
		{"a folder that is no tmpfs", []string{"dir: PLACE", "dir: /proc/rings"}, [][]string{{"not tmpfs"}}},
		{"one ring of two cannot be made", []string{"}]", "}" + more + ", {name: blocked, capacity: 64KiB}]\nlimits: {rings: 9}"},
			[][]string{{"rings[2] (blocked)", "PLACE/blocked"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, oneRing)
			i := start(t, p)
			cl := dial(t, p.socket)
			cl.attach("top", "t1")
			if err := os.Mkdir(filepath.Join(p.dir, "blocked"), 0o700); err != nil {
				t.Fatal(err)
			}
			before := state(cl)
			for n := range c.edit {
				c.edit[n] = strings.ReplaceAll(c.edit[n], "PLACE", p.dir)
			}
			p.edit(t, c.edit...)
			expectRefusedReload(t, i, p, cl, c.lines)
			if after := state(cl); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			if _, err := os.Lstat(filepath.Join(p.dir, "new")); err == nil {
				t.Error("a new ring was left behind")
			}
			if code, _ := i.get("/readyz"); code != http.StatusOK {
				t.Errorf("/readyz: %d", code)
			}
		})
	}
}

// expectRefusedReload asks both ways, and wants a line with each of the words of
// lines, in order.
func expectRefusedReload(t *testing.T, i *instance, p place, c *client, lines [][]string) {
	t.Helper()
	err := c.try(wire.MethodReload, wire.ReloadIn{}, &wire.ReloadOut{})
	e := (*wire.Error)(nil)
	if !errors.As(err, &e) || e.Name != wire.ErrInvalidConfig {
		t.Fatalf("reload: %v, want InvalidConfig", err)
	}
	var detail wire.InvalidConfigParameters
	if err := e.Decode(&detail); err != nil || detail.File != p.config {
		t.Errorf("the refusal names the file %q (%v)", detail.File, err)
	}
	const refused = "reload refused, nothing has changed: "
	expectLines := func(what string, got []string, before string) {
		t.Helper()
		if len(got) != len(lines) {
			t.Fatalf("%s: %d lines, want %d:\n%s", what, len(got), len(lines), strings.Join(got, "\n"))
		}
		for n, line := range got {
			for _, w := range append([]string{before + p.config}, lines[n]...) {
				if !strings.Contains(line, strings.ReplaceAll(w, "PLACE", p.dir)) {
					t.Errorf("%s: no %q in %q", what, w, line)
				}
			}
		}
	}
	expectLines("the refusal", strings.Split(err.Error(), "\n"), "")
	i.signal(syscall.SIGHUP)
	logged := func() (list []string) {
		for line := range strings.Lines(i.log.String()) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && strings.HasPrefix(fmt.Sprint(fields["msg"]), refused) {
				list = append(list, fmt.Sprint(fields["msg"]))
			}
		}
		return list
	}
	eventually(t, "the errors in the log", func() bool { return len(logged()) >= len(lines) })
	expectLines("the log", logged(), refused)
}

func TestMissingFileChangesNothing(t *testing.T) {
	p := newPlace(t, oneRing)
	start(t, p)
	c := dial(t, p.socket)
	before := state(c)
	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	err := c.try(wire.MethodReload, wire.ReloadIn{}, &wire.ReloadOut{})
	if !errors.Is(err, wire.ErrInvalidConfig) || !strings.Contains(err.Error(), p.config) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
	if after := state(c); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
