package gateway

import (
	"strings"
	"testing"
)

// wantIn fails unless each part occurs in text.
func wantIn(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not say %q: %q", what, part, text)
		}
	}
}
