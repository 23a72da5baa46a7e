package daemon

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/internal/wire"
)

// edit replaces texts of the configuration: old, new, old, new.
func (p place) edit(t *testing.T, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(string(text), pairs[i]) != 1 {
			t.Fatalf("the configuration does not have %q once:\n%s", pairs[i], text)
		}
	}
	p.write(t, strings.NewReplacer(pairs...).Replace(string(text)))
}

func (c *client) reload() wire.ReloadOut {
	c.t.Helper()
	var out wire.ReloadOut
	c.call(wire.MethodReload, wire.ReloadIn{}, &out)
	return out
}

func (c *client) rings() map[string]wire.Ring {
	c.t.Helper()
	var out wire.ListRingsOut
	c.call(wire.MethodListRings, wire.ListRingsIn{}, &out)
	rings := map[string]wire.Ring{}
	for _, r := range out.Rings {
		rings[r.Name] = r
	}
	return rings
}

// expectSentences checks that there is one sentence for each list of words, in
// any order, and no other.
func expectSentences(t *testing.T, what string, got []string, want ...[]string) {
	t.Helper()
	left := slices.Clone(got)
	for _, words := range want {
		at := slices.IndexFunc(left, func(s string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s, w) })
		})
		if at < 0 {
			t.Errorf("%s: no sentence with %q in\n%s", what, words, strings.Join(got, "\n"))
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	if len(left) > 0 {
		t.Errorf("%s: besides, there is\n%s", what, strings.Join(left, "\n"))
	}
}

func TestReloadTakesEffect(t *testing.T) {
	p := newPlace(t, oneRing, "limits: {attachments: 2}")
	i := start(t, p)
	c := dial(t, p.socket)
	if s := c.status(); s.ConfigFile != p.config || s.ReloadedNS != 0 {
		t.Errorf("before: file %q, reloaded at %d", s.ConfigFile, s.ReloadedNS)
	}
	c.attach("first", "t1")
	if strings.Contains(i.log.String(), `"level":"debug"`) {
		t.Fatal("the log has debug lines before the reload")
	}
	p.edit(t, oneRing, "[{name: md, capacity: 64KiB, policy: skip, demote_after: 2s, resume_for: 1m}, {name: orders, capacity: 64KiB}]",
		"format: json", "format: json\n  level: debug",
		"limits: {attachments: 2}", "limits: {attachments: 1, rings: 7, memory: 2GiB, connections: 9}")
	before := time.Now().UnixNano()
	out := c.reload()
	expectSentences(t, "changed", out.Changed,
		[]string{"log.level is debug, was info"},
		[]string{"limits.attachments is 1, was 2"}, []string{"limits.rings is 7"}, []string{"limits.memory is 2GiB"},
		[]string{"limits.connections is 9"},
		[]string{"ring md", "policy", "skip", "demote_after", "2s", "resume_for", "1m0s"},
		[]string{"ring orders", "created"})
	expectSentences(t, "kept", out.Kept)
	if out.File != p.config {
		t.Errorf("read again: %q", out.File)
	}
	s := c.status()
	if s.RingsMax != 7 || s.AttachmentsMax != 1 || s.ConnectionsMax != 9 || s.MemoryBytesMax != 2<<30 || len(s.Problems) != 0 {
		t.Errorf("status: %+v", s)
	}
	if s.ReloadedNS < before || s.ReloadedNS > time.Now().UnixNano() {
		t.Errorf("reloaded at %d, called at %d", s.ReloadedNS, before)
	}
	rings := c.rings()
	if md := rings["md"]; md.Policy != wire.PolicySkip || md.DemoteAfterNS != 2e9 || md.ResumeForNS != 60e9 {
		t.Errorf("md: %+v", md)
	}
	if !rings["orders"].Managed {
		t.Errorf("orders: %+v", rings["orders"])
	}
	err := c.try(wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Token: "t2"}, &wire.AttachOut{})
	if !errors.Is(err, wire.ErrLimitExceeded) || !strings.Contains(err.Error(), "limits.attachments") {
		t.Errorf("a second attachment: %v, want limits.attachments", err)
	}
	// What the file says is in force, so it changes nothing.
	if out := c.reload(); len(out.Changed) != 0 || len(out.Kept) != 0 {
		t.Errorf("a second reload: %+v", out)
	}
	p.edit(t, "attachments: 1,", "attachments: 2,")
	c.reload()
	c.attach("second", "t2")
	i.waitLogged(`"level":"debug"`)
	if code, _ := i.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
}

func TestReloadNamesWhatStays(t *testing.T) {
	p := newPlace(t, oneRing)
	start(t, p)
	c := dial(t, p.socket)
	elsewhere := p.dir + "-elsewhere"
	p.edit(t, "dir: "+p.dir, "dir: "+elsewhere, "socket: "+p.socket, "socket: "+p.socket+"2\n  mode: 0600\n  group: 0",
		"listen: 127.0.0.1:0", "listen: \"\"", "format: json", "format: console")
	for range 2 { // as long as it is so
		out := c.reload()
		expectSentences(t, "changed", out.Changed)
		expectSentences(t, "kept", out.Kept,
			[]string{"dir stays " + p.dir + ":", "make it " + elsewhere},
			[]string{"control.socket stays " + p.socket + ":", "restart brokerd"},
			[]string{"control.mode stays 0660:", "restart brokerd to make it 0600"},
			[]string{"control.group stays none:", "make it 0"},
			[]string{"admin.listen stays 127.0.0.1:0:", "make it none"},
			[]string{"log.format stays json:", "make it console"})
	}
	if s := c.status(); s.Dir != p.dir || s.State != wire.DaemonReady {
		t.Errorf("status: %+v", s)
	}
	dial(t, p.socket).attach("top", "t1")
	for _, path := range []string{elsewhere, p.socket + "2"} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
}

func TestReloadKeepsGeometryAndRingsThatLeft(t *testing.T) {
	p := newPlace(t, "[{name: md, capacity: 64KiB}, {name: old, capacity: 64KiB}]")
	start(t, p)
	c := dial(t, p.socket)
	held := c.attach("top", "t1")
	p.edit(t, "[{name: md, capacity: 64KiB}, {name: old, capacity: 64KiB}]", "[{name: md, capacity: 128KiB, consumers_max: 3}]")
	out := c.reload()
	expectSentences(t, "changed", out.Changed, []string{"ring old", "unmanaged"})
	expectSentences(t, "kept", out.Kept, []string{"ring md", "capacity is 65536 and not 131072", "consumers_max is 16 and not 3"})
	rings := c.rings()
	if old, ok := rings["old"]; !ok || old.Managed {
		t.Errorf("old: %+v, there %v; want it there and unmanaged", old, ok)
	}
	if md := rings["md"]; md.Capacity != 64<<10 || !md.Managed || md.Epoch != held.Ring.Epoch {
		t.Errorf("md: %+v", md)
	}
	expectSentences(t, "problems", c.status().Problems, []string{"ring md", "capacity"})
	if a := c.attachments(); len(a) != 1 || a[0].State != wire.StateAttached || a[0].EndedReason != "" {
		t.Errorf("attachments: %+v", a)
	}
	p.edit(t, "[{name: md, capacity: 128KiB, consumers_max: 3}]", "[{name: md, capacity: 64KiB}, {name: old, capacity: 64KiB}]")
	c.reload()
	if problems := c.status().Problems; len(problems) != 0 {
		t.Errorf("problems once the file is as before: %q", problems)
	}
	if !c.rings()["old"].Managed {
		t.Error("old is unmanaged, and named by the file again")
	}
}
