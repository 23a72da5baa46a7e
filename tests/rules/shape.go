package rules

import (
	"bytes"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Sizes of Go source that is no test.
const (
	fileLinesMax     = 350
	functionLinesMax = 70
)

func checkSize(t *Tree, report reporter) {
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		if lines := bytes.Count(f.Source, []byte("\n")); lines > fileLinesMax {
			report(f, fileLinesMax+1, "the file has %d lines, %d at most: split it by idea", lines, fileLinesMax)
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := f.Line(fn.End()) - f.Line(fn.Pos()) + 1; lines > functionLinesMax {
				report(f, f.Line(fn.Pos()), "%s has %d lines, %d at most", fn.Name.Name, lines, functionLinesMax)
			}
		}
	}
}

// checkDoc wants a doc.go in each package; a command or a package of tests only has its comment in any file.
func checkDoc(t *Tree, report reporter) {
	for dir, files := range t.Dirs() {
		var docFile *File
		var commented, importable bool
		for _, f := range files {
			commented = commented || f.AST.Doc != nil
			importable = importable || !f.Test && f.AST.Name.Name != "main"
			if f.Base() == "doc.go" {
				docFile = f
			}
		}
		switch {
		case !commented:
			report(files[0], 1, "%s has no package comment: what it owns, who may call it, what it distrusts", dir)
		case importable && docFile == nil:
			report(files[0], 1, "%s has no doc.go: its package comment belongs there", dir)
		case importable && !strings.HasPrefix(docFile.AST.Doc.Text(), "Package "+docFile.AST.Name.Name+" "):
			report(docFile, 1, `the comment should begin "Package %s ..."`, docFile.AST.Name.Name)
		}
	}
}

func checkPackageName(t *Tree, report reporter) {
	meaningless := []string{"common", "helper", "helpers", "lib", "misc", "shared", "util", "utils"}
	for dir, files := range t.Dirs() {
		for _, name := range []string{path.Base(dir), files[0].AST.Name.Name} {
			if slices.Contains(meaningless, name) {
				report(files[0], files[0].Line(files[0].AST.Package), "%q says nothing about what the package is for", name)
				break
			}
		}
	}
}

func checkInit(t *Tree, report reporter) {
	for _, f := range t.Files {
		for _, decl := range f.AST.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				report(f, f.Line(fn.Pos()), "no init(): do it where main or the caller can see it")
			}
		}
	}
}

// checkExit leaves tests alone: one that starts itself as another process has to end it somehow.
func checkExit(t *Tree, report reporter) {
	exits := []string{"os.Exit", "syscall.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln"}
	for _, f := range t.Files {
		if f.Test || f.AST.Name.Name == "main" && f.Base() == "main.go" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if name, ok := n.(*ast.SelectorExpr); ok && slices.Contains(exits, qualified(name)) {
				report(f, f.Line(name.Pos()), "%s outside main.go: return an error", qualified(name))
			}
			return true
		})
	}
}

// qualified returns "package.Name" for such an expression, and "" for any other.
func qualified(e ast.Expr) string {
	if selector, ok := e.(*ast.SelectorExpr); ok {
		if left, ok := selector.X.(*ast.Ident); ok {
			return left.Name + "." + selector.Sel.Name
		}
	}
	return ""
}

// checkMarkers looks at the comments of Go source and at all of everything else. The words are written so that
// this file does not contain them.
func checkMarkers(t *Tree, report reporter) {
	marker := regexp.MustCompile(`\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b|^(//|/\*)\s*st[u]b\b`)
	const message = "left-over marker %q: do it, or say what is so and why"
	for _, f := range t.Files {
		for _, group := range f.AST.Comments {
			for _, comment := range group.List {
				for i, line := range strings.Split(comment.Text, "\n") {
					if m := marker.FindString(line); m != "" {
						report(f, f.Line(comment.Pos())+i, message, m)
					}
				}
			}
		}
	}
	for _, text := range t.Texts {
		for i, line := range strings.Split(string(text.Source), "\n") {
			if m := marker.FindString(line); m != "" {
				report(&File{Path: text.Path}, i+1, message, m)
			}
		}
	}
}
