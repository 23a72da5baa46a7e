package docs

import (
	"bytes"
	"strings"
	"testing"
)

// block is a fenced block of a page.
type block struct {
	kind string // the word behind the fence: "go", "sh", "text"; empty for what is only shown
	line int    // of its fence, from 1
	text string
}

// blocksOf returns the fenced blocks of a page in their order.
func blocksOf(t testing.TB, name string) (blocks []block) {
	t.Helper()
	var open *block
	for i, line := range strings.SplitAfter(page(t, name), "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case isFence && open == nil:
			open = &block{kind: fence, line: i + 1}
		case isFence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block has no end", name, open.line)
	}
	return blocks
}

// lines are the lines of a text without indentation and empty ones.
func lines(text []byte) (all []string) {
	for line := range bytes.Lines(text) {
		if line := bytes.TrimSpace(line); len(line) > 0 {
			all = append(all, string(line))
		}
	}
	return all
}
