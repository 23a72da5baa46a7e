package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brokerd/internal/unixconn"
)

// complete asks as a completion script does and returns the words, without their
// descriptions, and what the shell is told to do with them.
func (h *host) complete(line ...string) (words []string, directive string) {
	h.t.Helper()
	got := brokerctl(h.t.Context(), "", append([]string{"__complete", "--socket", h.socket}, line...)...)
	if got.code != exitDone {
		h.t.Fatalf("complete %q: %+v", line, got)
	}
	for line := range strings.Lines(got.stdout) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if rest, ok := strings.CutPrefix(word, ":"); ok {
			directive = rest
			continue
		}
		words = append(words, word)
	}
	return words, directive
}

// What scripts understand by 0 and 4 (cobra.ShellCompDirective).
const (
	offerFiles   = "0"
	offerNoFiles = "4"
)

func TestCompletion(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB}, {name: fills, capacity: 64KiB}]")
	h.start(nil, &buffer{}, "attach", "md", "--as", "consumer", "--name", "risk")
	id := h.attached("risk").ID
	for _, tc := range []struct {
		line  string
		words string
		files string
	}{
		{"ring show", "fills md", offerNoFiles},
		{"ring rm", "fills md", offerNoFiles},
		{"ring show md", "", offerNoFiles},
		{"stats", "fills md", offerNoFiles},
		{"links", "", offerNoFiles},
		{"help ring", "create list rm show", offerNoFiles},
		{"help nope", "", offerNoFiles},
		{"attachments", "fills md", offerNoFiles},
		{"attach md", "fills", offerNoFiles},
		{"attach md --as", "producer consumer", offerNoFiles},
		{"attach md --from", "oldest latest resume", offerNoFiles},
		{"attach md --policy", "block demote skip latest", offerNoFiles},
		{"attach md --name", "", offerNoFiles},
		{"detach", id, offerNoFiles},
		{"detach " + id, "", offerNoFiles},
		{"ring create", "", offerNoFiles},
		{"ring create x --producers", "one many", offerNoFiles},
		{"status -o", "table json", offerNoFiles},
		{"completion", "bash zsh fish", offerNoFiles},
		{"man --dir", "", offerFiles},
	} {
		words, files := h.complete(append(strings.Fields(tc.line), "")...)
		if strings.Join(words, " ") != tc.words || files != tc.files {
			t.Errorf("%s: got %q, %s; want %q, %s", tc.line, words, files, tc.words, tc.files)
		}
	}
	if words, _ := h.complete("ri"); !slices.Equal(words, []string{"ring"}) {
		t.Errorf("ri: got %q", words)
	}
}

// TestCompletionIsSilent asks a daemon that is away, and one that does not answer.
func TestCompletionIsSilent(t *testing.T) {
	ln, err := unixconn.Listen(filepath.Join(t.TempDir(), "s"), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, socket := range []string{"/nowhere/s", ln.Path()} {
		h := &host{t: t, socket: socket}
		for _, line := range [][]string{{"ring", "show", ""}, {"detach", ""}} {
			if words, files := h.complete(line...); words != nil || files != offerNoFiles {
				t.Errorf("%s, %q: got %q, %s", socket, line, words, files)
			}
		}
	}
}

// TestCompletionScripts has each shell that is there read its script.
func TestCompletionScripts(t *testing.T) {
	for _, tc := range []struct{ shell, check string }{{"bash", "-n"}, {"zsh", "-n"}, {"fish", "--no-execute"}} {
		got := brokerctl(t.Context(), "", "completion", tc.shell)
		if got.code != exitDone || !strings.Contains(got.stdout, "brokerctl") {
			t.Errorf("%s: %+v", tc.shell, got)
		}
		shell, err := exec.LookPath(tc.shell)
		if err != nil {
			continue // bash is always there
		}
		cmd := exec.Command(shell, tc.check)
		cmd.Stdin = strings.NewReader(got.stdout)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", tc.shell, tc.check, err, out)
		}
	}
	broken := brokerctlTo(t.Context(), failing{}, "completion", "bash")
	if broken.code != exitFailed || !strings.Contains(broken.stderr, "disk full") {
		t.Errorf("an output that fails: %+v", broken)
	}
}
