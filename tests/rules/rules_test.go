package rules

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTreeKeepsTheRules is the check itself.
func TestTreeKeepsTheRules(t *testing.T) {
	root, module := goModule(t)
	tree, err := Load(os.DirFS(root), module)
	if err != nil {
		t.Fatal(err)
	}
	seesEveryPackage(t, tree, root)
	for _, finding := range Check(tree) {
		t.Error(finding)
	}
}

func goModule(t *testing.T) (root, path string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}\n{{.Path}}").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	root, path, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return root, path
}

// seesEveryPackage guards against a tree that is clean because it was not read.
func seesEveryPackage(t *testing.T, tree *Tree, root string) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-f", "{{.ImportPath}}", "./...") // -e: what does not build is for others to say
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	dirs := tree.Dirs()
	for _, importPath := range strings.Fields(string(out)) {
		if dir, _ := tree.folder(importPath); len(dirs[dir]) == 0 {
			t.Errorf("the rules do not see %s", importPath)
		}
	}
}

// fixture is a small tree and what a rule has to say about it; nothing, if it is good.
type fixture struct {
	rule, name string
	files      map[string]string
	want       []string
}

func TestEachRuleFindsItsBreach(t *testing.T) {
	for _, f := range fixtures() {
		t.Run(f.rule+"/"+f.name, func(t *testing.T) {
			var got []string
			for _, finding := range findings(t, f) {
				got = append(got, finding.String())
			}
			if !slices.Equal(got, f.want) {
				t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(f.want, "\n  "))
			}
		})
	}
}

func TestEachRuleHasABadAndAGoodFixture(t *testing.T) {
	bad, good := map[string]bool{}, map[string]bool{}
	for _, f := range fixtures() {
		bad[f.rule] = bad[f.rule] || len(f.want) > 0
		good[f.rule] = good[f.rule] || len(f.want) == 0
	}
	for _, r := range Rules() {
		if !bad[r.Name] || !good[r.Name] {
			t.Errorf("rule %q: bad fixture: %v, good fixture: %v", r.Name, bad[r.Name], good[r.Name])
		}
	}
}

// findings applies one rule, in the order of Check, to a fixture.
func findings(t *testing.T, f fixture) []Finding {
	t.Helper()
	tree, err := Load(memory(f.files), "brokerd")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(Check(tree), func(got Finding) bool { return got.Rule != f.rule })
}

func memory(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestLoadLeavesOutWhatIsNotOfTheTree(t *testing.T) {
	tree, err := Load(memory(map[string]string{
		"go.mod":                   "module brokerd",
		"internal/a/a.go":          "package a",
		"internal/a/a_windows.go":  "package a",
		"internal/a/tagged.go":     "//go:build never\n\npackage a",
		"internal/a/testdata/x.go": "not Go",
		"bench/go.mod":             "module brokerd/bench",
		"bench/b.go":               "not Go",
		".hidden/x.go":             "not Go",
		"docs/a.md":                "text",
		"data.gz":                  "no text",
	}), "brokerd")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.Files {
		got = append(got, f.Path)
	}
	for _, text := range tree.Texts {
		got = append(got, text.Path)
	}
	want := []string{"internal/a/a.go", "internal/a/a_windows.go", "internal/a/tagged.go", "docs/a.md"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLoadNamesTheFileThatDoesNotParse(t *testing.T) {
	_, err := Load(memory(map[string]string{"a/a.go": "package a\nfunc {"}), "brokerd")
	if err == nil || !strings.Contains(err.Error(), "a/a.go:2:") {
		t.Errorf("got %v", err)
	}
}

// lines returns a function of so many lines, or nothing for 0.
func lines(n int) string {
	return fmt.Sprintf("func long() {\n%s}\n", strings.Repeat("\t_ = 0\n", n-2))
}
