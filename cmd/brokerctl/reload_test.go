package main

import (
	"regexp"
	"strings"
	"testing"

	"brokerd/client"
)

func TestReload(t *testing.T) {
	h := newHost(t, oneRing)
	if got := h.good("reload").stdout; got != h.config+" says nothing new\n" {
		t.Errorf("nothing new: %q", got)
	}
	h.configure("[{name: md, capacity: 128KiB, policy: skip}, {name: new, capacity: 64KiB}]", "")
	got := h.good("reload").stdout
	for _, row := range []string{`^changed  .*\bmd\b.*\bskip\b`, `^changed  .*\bnew\b`, `^kept     .*\bmd\b.*capacity`} {
		if !regexp.MustCompile(`(?m)` + row).MatchString(got) {
			t.Errorf("no %s in\n%s", row, got)
		}
	}
	status := h.good("status").stdout
	for _, row := range []string{`configuration +` + regexp.QuoteMeta(h.config), `reloaded +2\d\d\d-.*`, `problem .*\bmd\b.*`} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(status) {
			t.Errorf("no %s in\n%s", row, status)
		}
	}
	h.configure("[{name: new, capacity: 64KiB}]", "")
	var out client.ReloadOut
	decodeStrict(t, h.good("reload", "-o", "json").stdout, &out)
	if out.File != h.config || len(out.Changed) == 0 || out.Kept == nil {
		t.Errorf("got %+v", out)
	}
	if list := h.good("ring", "list").stdout; !regexp.MustCompile(`(?m)^md .* unmanaged$`).MatchString(list) ||
		!regexp.MustCompile(`(?m)^new .* managed$`).MatchString(list) {
		t.Errorf("a ring that left the file:\n%s", list)
	}
}

// TestReloadRefused wants every error of the file told, each on its line.
func TestReloadRefused(t *testing.T) {
	h := newHost(t, oneRing)
	h.configure("[{name: md, capacity: 3KiB}]", "limits: {rings: 0}\n")
	got := h.run("reload")
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	if got.code != exitRefused || got.stdout != "" || len(lines) != 3 || lines[0] != "brokerctl: nothing was changed:" ||
		!strings.Contains(got.stderr, "rings[0].capacity") || !strings.Contains(got.stderr, "limits.rings") {
		t.Errorf("two errors: %+v", got)
	}
	for _, line := range lines[1:] {
		if !strings.HasPrefix(line, h.config+":") {
			t.Errorf("%q does not begin with the place", line)
		}
	}
	h.configure("[{name: md, capacity: 3KiB}]", "")
	got = h.run("reload", "-o", "json")
	if got.code != exitRefused || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 ||
		!strings.HasPrefix(got.stderr, "brokerctl: nothing was changed: "+h.config+":") {
		t.Errorf("one error: %+v", got)
	}
	if list := h.good("ring", "list").stdout; !strings.Contains(list, "64KiB") {
		t.Errorf("something was changed:\n%s", list)
	}
}
