package rules

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Finding is one breach of a rule, where it is and what to do about it.
type Finding struct {
	Rule    string
	File    string // slash-separated, from the root of the tree
	Line    int    // from 1
	Message string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Message)
}

// File is one parsed Go file.
type File struct {
	Path   string // slash-separated, from the root of the tree
	Dir    string // of Path; "." for the root
	Test   bool   // its name ends in _test.go
	Source []byte
	AST    *ast.File
	fset   *token.FileSet
}

// Base is the file's name without its folder.
func (f *File) Base() string { return path.Base(f.Path) }

// Line is the line of a position in this file, from 1.
func (f *File) Line(pos token.Pos) int { return f.fset.Position(pos).Line }

// Imports calls fn with each import path and its line.
func (f *File) Imports(fn func(importPath string, line int)) {
	for _, spec := range f.AST.Imports {
		importPath, _ := strconv.Unquote(spec.Path.Value) // the parser took it, so it is well formed
		fn(importPath, f.Line(spec.Pos()))
	}
}

// Text is a file that is no Go source: a script, a document, a configuration.
type Text struct {
	Path   string
	Source []byte
}

// Tree is the source of one module.
type Tree struct {
	Module string // module path, as in go.mod
	Files  []*File
	Texts  []Text
	fset   *token.FileSet
}

// Dirs returns the Go files by folder.
func (t *Tree) Dirs() map[string][]*File {
	dirs := map[string][]*File{}
	for _, f := range t.Files {
		dirs[f.Dir] = append(dirs[f.Dir], f)
	}
	return dirs
}

// textExtensions are the files besides Go source that people write here.
var textExtensions = []string{".c", ".h", ".java", ".md", ".s", ".sh", ".service", ".varlink", ".yaml"}

// Load reads the module whose root is fsys. A file that does not parse is an error.
func Load(fsys fs.FS, module string) (*Tree, error) {
	t := &Tree{Module: module, fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since its folder was listed
			return nil
		case err != nil:
			return err
		case d.IsDir() && outside(fsys, name):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		return t.add(fsys, name)
	})
	return t, err
}

// outside says whether a folder is not part of the tree.
func outside(fsys fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || base == "testdata" || dir == "bin" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (t *Tree) add(fsys fs.FS, name string) error {
	isGo := path.Ext(name) == ".go"
	if !isGo && !isText(name) {
		return nil
	}
	source, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if !isGo {
		t.Texts = append(t.Texts, Text{name, source})
		return nil
	}
	parsed, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	t.Files = append(t.Files, &File{name, path.Dir(name), strings.HasSuffix(name, "_test.go") || testOnly(source), source, parsed, t.fset})
	return nil
}

func isText(name string) bool {
	for _, ext := range textExtensions {
		if path.Ext(name) == ext {
			return true
		}
	}
	return path.Base(name) == "Makefile"
}

// testOnly says whether a file exists for the ring's model check alone, or for the
// tests that stop it between two stores: it is held to what tests are held to.
func testOnly(source []byte) bool {
	return bytes.HasPrefix(source, []byte("//go:build ringmodel\n")) || bytes.HasPrefix(source, []byte("//go:build ringstep\n"))
}
