package linkclient

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// TestPythonCodec compares it with the golden frames.
func TestPythonCodec(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skipf("needs python3 (make deps installs it from the Debian package python3): %v", err)
	}
	p := harness.Launch(t, exec.Command("python3", "-B", "src/main.py", "golden", "--folder", "../../internal/wire/testdata/link"))
	if p.Expect(0); p.Stdout.String() != "12 encoded, 12 decoded\n" {
		t.Errorf("it said %q", p.Stdout)
	}
}

// said are words of the page and the constants that make them true.
var said = []struct{ words, file, name, value string }{
	{"takes at most 16 KiB", "gateway/limits.go", "unauthenticatedBytesMax", "16 << 10"},
	{"has at most 256 such connections", "gateway/limits.go", "unauthenticatedMax", "256"},
	{"64 from one address", "gateway/limits.go", "unauthenticatedPerAddressMax", "64"},
	{"waits a second for the other one", "gateway/limits.go", "lingerTimeMax", "time.Second"},
	{"within gateway.handshake_timeout, 5 s", "gateway/limits.go", "handshakeTimeoutDefault", "5 * time.Second"},
	{"each side sends three in the time", "link/beat.go", "beatsPerDeadTime", "3"},
	{"A brokerd waits 50 ms", "gateway/peers.go", "redialMin", "50 * time.Millisecond"},
	{"each time up to 5 s", "gateway/peers.go", "redialMax", "5 * time.Second"},
	{"give or take 20 %", "gateway/peers.go", "redialJitter", "0.2"},
	{"asks for again after 1 s", "gateway/import.go", "askAgainMin", "time.Second"},
	{"1 s to 30 s", "gateway/import.go", "askAgainMax", "30 * time.Second"},
	{"a gap needs its position + 48", "link/send.go", "gapCreditBytes", "shmring.JumpBytesMax"},
	{"frames of up to 256 KiB", "link/conn.go", "frameBytesDefault", "256 << 10"},
	{"within 10 ms of what it", "link/ack.go", "ackDelay", "10 * time.Millisecond"},
	{"when an eighth of what it grants", "link/ack.go", "ackParts", "8"},
	{"place of the producer for 10 s", "gateway/publish.go", "publisherParkMax", "10 * time.Second"},
	{"the last 127 sessions", "shmring/journal.go", "JournalSessionsMax", "127"},
}

// TestPageSaysTheTimes holds the numbers in the text of the page to the code: a
// change of either has to be one of both.
func TestPageSaysTheTimes(t *testing.T) {
	page, err := os.ReadFile("../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n# Between hosts\n")
	if !found {
		t.Fatal("docs/PROTOCOL.md has no part \"Between hosts\"")
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, s := range said {
		if !strings.Contains(text, s.words) {
			t.Errorf("docs/PROTOCOL.md does not say %q", s.words)
		}
		source, err := os.ReadFile("../../internal/" + s.file)
		if err != nil {
			t.Fatal(err)
		}
		declared := regexp.MustCompile(`(?m)^\s*(const )?` + s.name + `\s+=\s+` + regexp.QuoteMeta(s.value) + `(\s|$)`)
		if !declared.Match(source) {
			t.Errorf("internal/%s has no %s = %s, and docs/PROTOCOL.md says %q", s.file, s.name, s.value, s.words)
		}
	}
}

// TestFramesFitTheRing holds to the ring what internal/wire cannot import.
func TestFramesFitTheRing(t *testing.T) {
	if longest := shmring.RecordMaxFor(shmring.CapacityBytesMax) + 64; wire.LinkChunkBytesMax != longest {
		t.Errorf("a data frame takes %d ring bytes, the longest record of the largest ring %d", wire.LinkChunkBytesMax, longest)
	}
	if shmring.JumpBytesMax != 48 {
		t.Errorf("a jump takes %d bytes, docs/PROTOCOL.md says 48", shmring.JumpBytesMax)
	}
	for i, word := range []string{"block", "demote", "skip", "latest"} {
		if number, err := shmring.ParsePolicy(word); err != nil || int(number) != i+1 {
			t.Errorf("policy %s is number %d, docs/PROTOCOL.md says %d; %v", word, number, i+1, err)
		}
	}
}
