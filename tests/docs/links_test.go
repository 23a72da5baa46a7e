package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// places are what a page may name: links, files of the source, and the tests and
// benchmarks that it shows a command for.
const (
	linkPattern    = `\]\(([^)#]+)[^)]*\)`
	filePattern    = `\b(docs|tests|client|internal|examples|deploy|configs|bench|cmd)/[\w./-]*[\w-]`
	commandPattern = `go test (\./[\w./]+) -(run|bench) ('[^']+'|\w+)`
)

// TestPagesNameWhatIsThere: a page that is wrong about the source sends its reader
// searching.
func TestPagesNameWhatIsThere(t *testing.T) {
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/CHOOSING.md", "docs/EMBEDDING.md", "docs/HOSTS.md", "docs/SECURITY.md"} {
		text := page(t, name)
		for _, m := range regexp.MustCompile(linkPattern).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(m[1], "://") && !exists(filepath.Dir(name), m[1]) {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
		for _, path := range regexp.MustCompile(filePattern).FindAllString(text, -1) {
			if !exists(path) {
				t.Errorf("%s names %s, which is not there", name, path)
			}
		}
		for _, m := range regexp.MustCompile(commandPattern).FindAllStringSubmatch(text, -1) {
			pattern := strings.ReplaceAll(strings.Trim(m[3], "'"), `\|`, "|") // in a table a bar is escaped
			if pattern != "^$" && !hasTest(t, m[1], map[string]string{"run": "Test", "bench": "Benchmark"}[m[2]], pattern) {
				t.Errorf("%s: %s finds nothing to run", name, m[0])
			}
		}
	}
}

func exists(elements ...string) bool {
	_, err := os.Stat(filepath.Join(append([]string{"..", ".."}, elements...)...))
	return err == nil
}

// hasTest tells whether a folder has a test, or benchmark, whose name matches.
func hasTest(t *testing.T, dir, kind, pattern string) bool {
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(pattern)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (`+kind+`\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			if wanted.MatchString(m[1]) {
				return true
			}
		}
	}
	return false
}
