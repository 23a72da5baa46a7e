package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// gap is a line of a snippet that stands for any number of lines.
const gap = "// ..."

// TestSnippetsStandInTheExample: every Go block of these pages is in a file of
// examples/strategy, line by line, but for gaps.
func TestSnippetsStandInTheExample(t *testing.T) {
	files, err := filepath.Glob("../../examples/strategy/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the example: %v, %v", files, err)
	}
	var sources [][]string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, lines(text))
	}
	for _, name := range []string{"README.md", "docs/EMBEDDING.md"} {
		found := 0
		for _, b := range blocksOf(t, name) {
			if b.kind != "go" {
				continue
			}
			found++
			snippet := lines([]byte(b.text))
			if !slices.ContainsFunc(sources, func(source []string) bool { return holds(source, snippet) }) {
				t.Errorf("%s:%d: no file of examples/strategy holds this:\n%s", name, b.line, b.text)
			}
		}
		if found == 0 {
			t.Errorf("%s has no Go snippet", name)
		}
	}
}

// holds tells whether source has the parts of a snippet, which gaps separate, in
// their order.
func holds(source, snippet []string) bool {
	for len(snippet) > 0 {
		part := snippet
		if i := slices.Index(snippet, gap); i >= 0 {
			part, snippet = snippet[:i], snippet[i+1:]
		} else {
			snippet = nil
		}
		at := index(source, part)
		if at < 0 {
			return false
		}
		source = source[at+len(part):]
	}
	return true
}

// index is where part stands in source, or -1.
func index(source, part []string) int {
	for i := 0; i+len(part) <= len(source); i++ {
		if slices.Equal(source[i:i+len(part)], part) {
			return i
		}
	}
	return -1
}

func TestHolds(t *testing.T) {
	source := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		snippet string
		want    bool
	}{
		{"a b", true}, {"d", true}, {"a c", false}, {"b a", false}, {"e", false},
		{"a " + gap + " c d", true}, {"c " + gap + " a", false}, {"b " + gap + " b", false},
	} {
		snippet := strings.Split(strings.ReplaceAll(c.snippet, gap, "GAP"), " ")
		for i := range snippet {
			snippet[i] = strings.ReplaceAll(snippet[i], "GAP", gap)
		}
		if got := holds(source, snippet); got != c.want {
			t.Errorf("%q in %q: %v", snippet, source, got)
		}
	}
}

// TestTheTableOfErrorsIsWhole: docs/EMBEDDING.md names every exported error of
// package client, and none that does not exist.
func TestTheTableOfErrorsIsWhole(t *testing.T) {
	exported := exportedErrors(t)
	text := page(t, "docs/EMBEDDING.md")
	for _, name := range exported {
		if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`*"+name+"`") {
			t.Errorf("docs/EMBEDDING.md does not name `%s`", name)
		}
	}
	for _, m := range regexp.MustCompile("`\\*?(Err[A-Z]\\w*|[A-Z]\\w*Error)`").FindAllStringSubmatch(text, -1) {
		if !slices.Contains(exported, m[1]) {
			t.Errorf("docs/EMBEDDING.md names %s, which package client does not have", m[1])
		}
	}
}

// exportedErrors are the sentinels and error types of package client.
func exportedErrors(t *testing.T) (names []string) {
	files, err := filepath.Glob("../../client/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range group.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						if strings.HasPrefix(n.Name, "Err") {
							names = append(names, n.Name)
						}
					}
				case *ast.TypeSpec:
					if spec.Name.IsExported() && strings.HasSuffix(spec.Name.Name, "Error") {
						names = append(names, spec.Name.Name)
					}
				}
			}
		}
	}
	if len(names) < 10 {
		t.Fatalf("found %q only", names)
	}
	return names
}
