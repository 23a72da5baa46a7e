package rules

import (
	"path"
	"slices"
	"strings"
)

// Import prefixes of the libraries that have a place of their own.
const (
	sysLibrary        = "golang.org/x/sys"
	unixLibrary       = "golang.org/x/sys/unix"
	zapLibrary        = "go.uber.org/zap"
	prometheusLibrary = "github.com/prometheus"
)

// layer says what the code of one folder may import besides the standard library and x/sys.
type layer struct {
	packages  []string // of this module, by folder
	libraries []string // others, by import path prefix
}

// layers is the picture of docs/ARCHITECTURE.md: imports run downward only, siblings never import each other.
// Tests are free; so is everything below tests/ and examples.
func layers() map[string]layer {
	return map[string]layer{
		"configs":           {},
		"internal/shmring":  {},
		"internal/unixconn": {},
		"internal/process":  {},
		"internal/wire":     {},
		"internal/config":   {[]string{"configs"}, []string{"gopkg.in/yaml.v3"}},

		"internal/stepping": {}, // its doc.go: the rest is under the tag ringstep, for the tests of shmring and broker

		"internal/framing": {},
		"internal/pki":     {},
		"internal/link":    {[]string{"internal/wire", "internal/shmring"}, nil},
		"internal/broker":  {[]string{"internal/shmring", "internal/process", "internal/wire"}, nil},
		"client":           {[]string{"internal/shmring", "internal/unixconn", "internal/process", "internal/wire", "internal/link"}, nil},
		"internal/metrics": {nil, []string{prometheusLibrary}},

		"internal/control": {[]string{"internal/broker", "internal/unixconn", "internal/process", "internal/wire"}, []string{zapLibrary}},
		"internal/gateway": {[]string{"internal/broker", "internal/shmring", "internal/process", "internal/link", "internal/framing", "internal/wire"}, []string{zapLibrary}},
		"internal/uplink":  {[]string{"internal/broker", "internal/shmring", "internal/wire"}, []string{zapLibrary, "github.com/nats-io"}},

		"internal/daemon": {[]string{
			"configs", "internal/shmring", "internal/unixconn", "internal/process", "internal/wire", "internal/config",
			"internal/link", "internal/broker", "internal/metrics", "internal/control", "internal/gateway", "internal/uplink",
		}, []string{zapLibrary, prometheusLibrary}},

		"cmd/brokerd": {[]string{"configs", "internal/config", "internal/daemon"}, []string{zapLibrary}},
		"cmd/brokerctl": {[]string{"client", "internal/shmring", "internal/pki"},
			[]string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/HdrHistogram/hdrhistogram-go"}},
	}
}

func checkLayers(t *Tree, report reporter) {
	table := layers()
	unknown := map[string]bool{}
	for _, f := range t.Files {
		if f.Test || free(f.Dir) {
			continue
		}
		may, known := table[f.Dir]
		if !known {
			if !unknown[f.Dir] {
				report(f, 1, "folder %s has no layer: give it one in tests/rules/imports.go and in docs/ARCHITECTURE.md", f.Dir)
			}
			unknown[f.Dir] = true
			continue
		}
		f.Imports(func(p string, line int) {
			if dir, ours := t.folder(p); ours {
				if dir != f.Dir && !slices.Contains(may.packages, dir) {
					report(f, line, "%s may not import %s; it may import: %s", f.Dir, dir, orNothing(may.packages))
				}
				return
			}
			if isLibrary(p) && !within(p, sysLibrary) && !slices.ContainsFunc(may.libraries, func(l string) bool { return within(p, l) }) {
				report(f, line, "%s may not use the library %s; it may use: %s", f.Dir, p, orNothing(may.libraries))
			}
		})
	}
}

func checkUnsafe(t *Tree, report reporter) {
	for _, f := range t.Files {
		f.Imports(func(p string, line int) {
			named := strings.HasSuffix(f.Base(), "_unsafe.go") || strings.HasSuffix(f.Base(), "_unsafe_test.go")
			if p == "unsafe" && (f.Dir != "internal/shmring" || !named) {
				report(f, line, "unsafe belongs into internal/shmring/*_unsafe.go")
			}
		})
	}
}

func checkLinux(t *Tree, report reporter) {
	for _, f := range t.Files {
		f.Imports(func(p string, line int) {
			named := strings.HasSuffix(f.Base(), "_linux.go") || strings.HasSuffix(f.Base(), "_linux_test.go")
			if within(p, unixLibrary) && !named {
				report(f, line, "%s belongs into files called *_linux.go or *_linux_test.go", unixLibrary)
			}
		})
	}
}

// checkLibraries holds tests, too, to the places of logging and metrics: a test elsewhere that needs a logger or
// a registry says that the code under test does. Tests of the whole daemon, below tests/, may read metrics.
func checkLibraries(t *Tree, report reporter) {
	table := layers()
	for _, f := range t.Files {
		if free(f.Dir) {
			continue
		}
		f.Imports(func(p string, line int) {
			for _, library := range []string{zapLibrary, prometheusLibrary} {
				if within(p, library) && !slices.Contains(table[f.Dir].libraries, library) {
					report(f, line, "%s has no place in %s", library, f.Dir)
				}
			}
		})
	}
}

// free says whether a folder stands outside the layers.
func free(dir string) bool { return within(dir, "tests") || within(dir, "examples") }

// within says whether p is prefix or lies below it.
func within(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

// folder returns the folder of an import path of this module.
func (t *Tree) folder(importPath string) (dir string, ours bool) {
	if !within(importPath, t.Module) {
		return "", false
	}
	return path.Clean(strings.TrimPrefix(strings.TrimPrefix(importPath, t.Module), "/")), true
}

// isLibrary says whether an import path is of another module: those begin with a host, which has a dot.
func isLibrary(p string) bool {
	host, _, _ := strings.Cut(p, "/")
	return strings.Contains(host, ".")
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
