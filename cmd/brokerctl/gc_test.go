package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"brokerd/client"
)

func TestGC(t *testing.T) {
	h := newHost(t, oneRing)
	if got := h.good("gc").stdout; got != "there is nothing to delete\n" {
		t.Errorf("nothing there: %q", got)
	}
	was := h.good("ring", "list", "-o", "json").stdout
	if err := os.Truncate(filepath.Join(h.dir, "md", "data"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.good("stats") // looks at the ring
	h.eventually("a successor", func() bool { return h.good("ring", "list", "-o", "json").stdout != was })
	status := h.good("status").stdout
	for _, row := range []string{`memory +.* of .*, .* of it quarantined`, `rings retired +1`, `quarantined +\.quarantine-md-.*`, `problem .*truncated.*brokerctl gc deletes it`} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(status) {
			t.Errorf("no %s in\n%s", row, status)
		}
	}
	dry := h.good("gc", "--dry-run").stdout
	for _, row := range []string{
		`quarantined +` + regexp.QuoteMeta(h.dir) + `/\.quarantine-md-\S+ +md +\S+ +20.* no +.*truncated.*brokerctl gc deletes it`,
		`foreign +` + regexp.QuoteMeta(h.dir) + `/notes +- +- +20.* no +is no ring +left alone: move it elsewhere`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(dry) {
			t.Errorf("no %s in\n%s", row, dry)
		}
	}
	if again := h.good("gc", "--dry-run").stdout; again != dry {
		t.Errorf("a dry run changed something:\n%s%s", dry, again)
	}
	var out client.GarbageOut
	decodeStrict(t, h.good("gc", "-o", "json").stdout, &out)
	if len(out.Garbage) != 2 {
		t.Errorf("%+v", out)
	}
	if after := h.good("gc").stdout; strings.Contains(after, "quarantine") || !strings.Contains(after, "notes") {
		t.Errorf("after it:\n%s", after)
	}
}

func TestUndeleted(t *testing.T) {
	foreign := client.Garbage{Kind: client.GarbageForeign}
	gone := client.Garbage{Kind: client.GarbageQuarantined, Deleted: true}
	left := client.Garbage{Kind: client.GarbageUnfinished, Path: "/d/.rm-md-1", Advice: "it is busy"}
	if err := undeleted([]client.Garbage{foreign, gone}); err != nil {
		t.Error(err)
	}
	err := undeleted([]client.Garbage{foreign, left, gone, left})
	if err == nil || exitCode(err) != exitFailed || err.Error() != "gc: 2 of 4 not deleted, the first is /d/.rm-md-1: it is busy" {
		t.Errorf("%v", err)
	}
}
