package rules

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// checkGlobals allows these package-level variables, and no other:
//   - errors: made by errors.New or fmt.Errorf, or a literal or another package's under a name that begins with
//     Err or err
//   - embedded text or folders: //go:embed on a string or an embed.FS
//   - var _ = ..., an assertion at compile time
//   - what cannot change once made: regexp.MustCompile, strings.NewReplacer, crc32.MakeTable
//   - tables: unexported, a composite literal with contents and no lock, that nothing in the package writes to
//   - version in a command, which the linker sets
func checkGlobals(t *Tree, report reporter) {
	for _, files := range t.Dirs() {
		files = slices.DeleteFunc(files, func(f *File) bool { return f.Test })
		written := writtenGlobals(files)
		for _, f := range files {
			eachGlobal(f, func(g global) {
				if g.constant() {
					return
				}
				switch place, isWritten := written[g.name.Name]; {
				case !g.table():
					report(f, f.Line(g.name.Pos()), "%s is a mutable global: pass it to whoever needs it, or make it a constant", g.name.Name)
				case isWritten:
					report(f, f.Line(g.name.Pos()), "%s is a mutable global: it is written at %s", g.name.Name, place)
				}
			})
		}
	}
}

// global is one package-level variable.
type global struct {
	file     *File
	name     *ast.Ident
	declared ast.Expr // its type where written, else nil
	value    ast.Expr // nil without one of its own
	embedded bool
}

func eachGlobal(f *File, fn func(global)) {
	for _, decl := range f.AST.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			vars := spec.(*ast.ValueSpec) // a var declaration holds nothing else
			for i, name := range vars.Names {
				g := global{file: f, name: name, declared: vars.Type, embedded: embeds(group.Doc) || embeds(vars.Doc)}
				if len(vars.Values) == len(vars.Names) {
					g.value = vars.Values[i]
				}
				fn(g)
			}
		}
	}
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// constant says whether the variable is of a kind that never changes.
func (g global) constant() bool {
	name := g.name.Name
	if name == "_" {
		return true
	}
	if g.embedded {
		plain, isName := g.declared.(*ast.Ident)
		return isName && plain.Name == "string" || qualified(g.declared) == "embed.FS"
	}
	switch value := g.value.(type) {
	case nil:
		return g.isVersion()
	case *ast.CallExpr:
		return slices.Contains([]string{
			"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "crc32.MakeTable",
		}, qualified(value.Fun))
	case *ast.BasicLit:
		return g.isVersion()
	case *ast.UnaryExpr: // &T{...}
		_, isLiteral := value.X.(*ast.CompositeLit)
		return isLiteral && isErrorName(name)
	case *ast.CompositeLit, *ast.SelectorExpr:
		return isErrorName(name)
	}
	return false
}

func (g global) isVersion() bool { return g.name.Name == "version" && g.file.AST.Name.Name == "main" }

func isErrorName(name string) bool {
	return strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err")
}

// table says whether the variable could be a table; whether it is one hangs on nobody writing to it.
func (g global) table() bool {
	literal, ok := g.value.(*ast.CompositeLit)
	if !ok || g.name.IsExported() || len(literal.Elts) == 0 {
		return false
	}
	typeName := qualified(literal.Type)
	return !strings.HasPrefix(typeName, "sync.") && !strings.HasPrefix(typeName, "atomic.")
}

// writtenGlobals returns the package-level variables of one folder that are assigned to, wholly or in part, or
// whose address is taken, each with a place.
func writtenGlobals(files []*File) map[string]string {
	written := map[string]string{}
	if len(files) == 0 {
		return written
	}
	parsed := make([]*ast.File, len(files))
	for i, f := range files {
		parsed[i] = f.AST
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}} // imports do not matter for who writes what
	pkg, _ := config.Check(files[0].Dir, files[0].fset, parsed, info)
	for _, f := range files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			for _, target := range targets(n) {
				name := root(target)
				if name == nil {
					continue
				}
				if object := info.Uses[name]; object != nil && object.Parent() == pkg.Scope() {
					written[name.Name] = fmt.Sprintf("%s:%d", f.Path, f.Line(name.Pos()))
				}
			}
			return true
		})
	}
	return written
}

// noImports makes every import fail, which the type checker survives.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

// targets returns the expressions that a node may write to.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		return []ast.Expr{n.Key, n.Value}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		builtin, ok := n.Fun.(*ast.Ident)
		if ok && len(n.Args) > 0 && slices.Contains([]string{"clear", "copy", "delete"}, builtin.Name) {
			return n.Args[:1]
		}
	}
	return nil
}

// root returns the variable that x, x.f, x[i], x[i:j], *x and (x) are parts of, or nil.
func root(e ast.Expr) *ast.Ident {
	for {
		switch part := e.(type) {
		case *ast.Ident:
			return part
		case *ast.SelectorExpr:
			e = part.X
		case *ast.IndexExpr:
			e = part.X
		case *ast.SliceExpr:
			e = part.X
		case *ast.StarExpr:
			e = part.X
		case *ast.ParenExpr:
			e = part.X
		default:
			return nil
		}
	}
}
