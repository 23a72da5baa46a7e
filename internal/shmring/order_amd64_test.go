//go:build amd64 && !race && !ringmodel && !ringstep

package shmring

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The commit of a record is a plain MOV, and the compiler has kept it behind
// the store of the header: order_amd64_unsafe.go relies on both. The test reads
// the compiler's listing.
func TestCommitInstructions(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-S", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build -gcflags=-S: %v\n%s", err, out)
	}
	_, body, found := strings.Cut(string(out), "brokerd/internal/shmring.(*producer).part STEXT")
	body, _, _ = strings.Cut(body, " STEXT")
	if !found {
		t.Fatal("the compiler's listing has no (*producer).part")
	}
	instruction := regexp.MustCompile(`^\s+0x\w+ \d+ \(\S*/(\w+\.go):\d+\)\s+(\w+)\s+(.*)$`)
	toMemory := regexp.MustCompile(`^\w+, .*\(`)
	header, commit := -1, -1
	for i, line := range strings.Split(body, "\n") {
		m := instruction.FindStringSubmatch(line)
		if m == nil || !toMemory.MatchString(m[3]) {
			continue
		}
		switch m[1] {
		case "order_amd64_unsafe.go":
			if m[2] != "MOVQ" {
				t.Errorf("a release store is %s", strings.TrimSpace(line))
			}
			commit = i
		case "binary.go", "littleendian.go", "mem_unsafe.go":
			if m[2] == "MOVQ" {
				header = i
			}
		}
	}
	if header < 0 || commit < 0 || commit < header {
		t.Fatalf("header store at line %d, commit store at line %d of\n%s", header, commit, body)
	}
}
