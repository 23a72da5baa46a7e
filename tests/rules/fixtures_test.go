package rules

import (
	"slices"
	"strings"
)

// fixtures are the bad and good trees of all rules.
func fixtures() []fixture {
	return slices.Concat(importFixtures(), shapeFixtures(), codeFixtures(), globalFixtures())
}

// file is a fixture tree of one file.
func file(name, text string) map[string]string { return map[string]string{name: text} }

func importFixtures() []fixture {
	return []fixture{
		{"layers", "upward", file("internal/wire/a.go", "package wire\n\nimport _ \"brokerd/internal/broker\"\n"),
			[]string{"internal/wire/a.go:3: layers: internal/wire may not import internal/broker; it may import: nothing"}},
		{"layers", "sideways", file("internal/control/a.go", "package control\nimport _ \"brokerd/internal/gateway\"\n"),
			[]string{"internal/control/a.go:2: layers: internal/control may not import internal/gateway; it may import: internal/broker, internal/unixconn, internal/process, internal/wire"}},
		{"layers", "a foreign library", file("internal/shmring/a_linux.go", "package shmring\nimport (\n\t_ \"golang.org/x/sys/unix\"\n\t_ \"gopkg.in/yaml.v3\"\n)\n"),
			[]string{"internal/shmring/a_linux.go:4: layers: internal/shmring may not use the library gopkg.in/yaml.v3; it may use: nothing"}},
		{"layers", "a folder that nobody placed", map[string]string{"internal/new/a.go": "package new", "internal/new/b.go": "package new"},
			[]string{"internal/new/a.go:1: layers: folder internal/new has no layer: give it one in tests/rules/imports.go and in docs/ARCHITECTURE.md"}},
		{"layers", "a name that begins alike", file("client/a.go", "package client\nimport _ \"brokerd/internal/wirelike\"\n"),
			[]string{"client/a.go:2: layers: client may not import internal/wirelike; it may import: internal/shmring, internal/unixconn, internal/process, internal/wire, internal/link"}},
		{"layers", "downward, and tests that reach up", map[string]string{
			"internal/broker/a.go":      "package broker\nimport (\n\t_ \"fmt\"\n\t_ \"brokerd/internal/shmring\"\n)\n",
			"internal/broker/a_test.go": "package broker\nimport _ \"brokerd/client\"\n",
			"internal/config/a.go":      "package config\nimport _ \"gopkg.in/yaml.v3\"\n",
			"tests/demo/main.go":        "package main\nimport _ \"brokerd/client\"\n",
		}, nil},
		{"unsafe", "outside the ring", map[string]string{
			"internal/wire/a_unsafe.go": "package wire\nimport _ \"unsafe\"\n",
			"internal/shmring/a.go":     "package shmring\nimport _ \"unsafe\"\n",
		}, []string{
			"internal/shmring/a.go:2: unsafe: unsafe belongs into internal/shmring/*_unsafe.go",
			"internal/wire/a_unsafe.go:2: unsafe: unsafe belongs into internal/shmring/*_unsafe.go",
		}},
		{"unsafe", "in its place", file("internal/shmring/a_unsafe.go", "package shmring\nimport _ \"unsafe\"\n"), nil},
		{"linux", "in a portable file", map[string]string{
			"internal/unixconn/a.go":      "package unixconn\nimport _ \"golang.org/x/sys/unix\"\n",
			"internal/unixconn/a_test.go": "package unixconn\nimport _ \"golang.org/x/sys/unix\"\n",
		}, []string{
			"internal/unixconn/a.go:2: linux: golang.org/x/sys/unix belongs into files called *_linux.go or *_linux_test.go",
			"internal/unixconn/a_test.go:2: linux: golang.org/x/sys/unix belongs into files called *_linux.go or *_linux_test.go",
		}},
		{"linux", "in its place", map[string]string{
			"tests/x/a_linux_test.go":      "package x\nimport _ \"golang.org/x/sys/unix\"\n",
			"internal/unixconn/a_linux.go": "package unixconn\nimport _ \"golang.org/x/sys/unix\"\n",
		}, nil},
		{"libraries", "a logger in the broker, metrics in control", map[string]string{
			"internal/broker/a_test.go": "package broker\nimport _ \"go.uber.org/zap/zaptest\"\n",
			"internal/control/a.go":     "package control\nimport _ \"github.com/prometheus/client_golang/prometheus\"\n",
		}, []string{
			"internal/broker/a_test.go:2: libraries: go.uber.org/zap has no place in internal/broker",
			"internal/control/a.go:2: libraries: github.com/prometheus has no place in internal/control",
		}},
		{"libraries", "in their places", map[string]string{
			"internal/control/a.go": "package control\nimport _ \"go.uber.org/zap\"\n",
			"internal/daemon/a.go":  "package daemon\nimport _ \"github.com/prometheus/client_golang/prometheus\"\n",
			"internal/wire/a.go":    "package wire\nimport _ \"go.uber.org/zapper\"\n",
		}, nil},
	}
}

func shapeFixtures() []fixture {
	return []fixture{
		{"doc", "missing, misplaced, misworded", map[string]string{
			"internal/a/a.go":      "package a",
			"internal/b/b.go":      "// Package b is here.\npackage b",
			"internal/c/doc.go":    "// This package is c.\npackage c",
			"cmd/d/main.go":        "package main",
			"tests/e/e_test.go":    "package e",
			"internal/f/doc.go":    "package f",
			"internal/f/f.go":      "// Package f is commented elsewhere.\npackage f",
			"internal/f/f_test.go": "package f_test",
		}, []string{
			"cmd/d/main.go:1: doc: cmd/d has no package comment: what it owns, who may call it, what it distrusts",
			"internal/a/a.go:1: doc: internal/a has no package comment: what it owns, who may call it, what it distrusts",
			"internal/b/b.go:1: doc: internal/b has no doc.go: its package comment belongs there",
			"internal/c/doc.go:1: doc: the comment should begin \"Package c ...\"",
			"internal/f/doc.go:1: doc: the comment should begin \"Package f ...\"",
			"tests/e/e_test.go:1: doc: tests/e has no package comment: what it owns, who may call it, what it distrusts",
		}},
		{"doc", "there", map[string]string{
			"internal/a/doc.go": "// Package a is here.\npackage a",
			"internal/a/a.go":   "package a",
			"cmd/d/main.go":     "// Command d does it.\npackage main",
			"tests/e/e_test.go": "// Package e tests it.\npackage e",
		}, nil},
		{"package name", "meaningless", map[string]string{
			"internal/util/a.go": "package util",
			"internal/b/b.go":    "package helpers",
		}, []string{
			"internal/b/b.go:1: package name: \"helpers\" says nothing about what the package is for",
			"internal/util/a.go:1: package name: \"util\" says nothing about what the package is for",
		}},
		{"package name", "telling", file("internal/wire/a.go", "package wire"), nil},
		{"size", "one line too many", map[string]string{
			"a/long.go": "package a\n" + lines(71),
			"a/file.go": "package a\n" + strings.Repeat("//\n", 350),
		}, []string{
			"a/file.go:351: size: the file has 351 lines, 350 at most: split it by idea",
			"a/long.go:2: size: long has 71 lines, 70 at most",
		}},
		{"size", "at the limit, and a test past it", map[string]string{
			"a/long.go":      "package a\n" + lines(70),
			"a/file.go":      "package a\n" + strings.Repeat("//\n", 349),
			"a/long_test.go": "package a\n" + lines(400),
		}, nil},
	}
}

func codeFixtures() []fixture {
	mark := "TO" + "DO"
	return []fixture{
		{"init", "a hidden start", file("a/a_test.go", "package a\n\nfunc init() {}\n"),
			[]string{"a/a_test.go:3: init: no init(): do it where main or the caller can see it"}},
		{"init", "a method of that name", file("a/a.go", "package a\ntype t int\nfunc (t) init() {}\n"), nil},
		{"exit", "outside main", map[string]string{
			"internal/a/a.go":    "package a\nimport \"os\"\nfunc f() { os.Exit(1) }\n",
			"cmd/b/run.go":       "package main\nimport \"log\"\nfunc f() { log.Fatal(1) }\n",
			"internal/c/main.go": "package c\nimport \"os\"\nvar _ = os.Exit\n",
		}, []string{
			"cmd/b/run.go:3: exit: log.Fatal outside main.go: return an error",
			"internal/a/a.go:3: exit: os.Exit outside main.go: return an error",
			"internal/c/main.go:3: exit: os.Exit outside main.go: return an error",
		}},
		{"exit", "in main, and in a test", map[string]string{
			"cmd/b/main.go":   "package main\nimport \"os\"\nfunc main() { os.Exit(1) }\n",
			"cmd/b/b_test.go": "package main\nimport \"os\"\nfunc f() { os.Exit(1) }\n",
		}, nil},
		{"markers", "left over", map[string]string{
			"a/a.go":      "package a\n\n/* first\n   " + mark + ": second */\nfunc f() {} // " + "FIX" + "ME\n\n// " + "stub for later\n",
			"docs/a.md":   "one\n" + mark + " two\n",
			"deploy/x.sh": "# " + "XX" + "X\n",
		}, []string{
			"a/a.go:4: markers: left-over marker \"" + mark + "\": do it, or say what is so and why",
			"a/a.go:5: markers: left-over marker \"FIX" + "ME\": do it, or say what is so and why",
			"a/a.go:7: markers: left-over marker \"// stu" + "b\": do it, or say what is so and why",
			"deploy/x.sh:1: markers: left-over marker \"XX" + "X\": do it, or say what is so and why",
			"docs/a.md:2: markers: left-over marker \"" + mark + "\": do it, or say what is so and why",
		}},
		{"markers", "none", map[string]string{
			"a/a.go":    "package a\n\n// the assembly stub copies; mktemp XX" + "XXXX\nconst c = \"" + mark + "\"\n",
			"docs/a.md": "todo lists and hacks\n",
		}, nil},
	}
}

func globalFixtures() []fixture {
	const loose = " is a mutable global: pass it to whoever needs it, or make it a constant"
	return []fixture{
		{"globals", "mutable", file("a/a.go", `package a

import ("errors"; "sync"; "time")

var count int
var limit = 5
var now = time.Now
var registry = map[string]int{}
var pool = sync.Pool{New: nil}
var Exported = []int{1}
var made, err = errors.New("a"), errors.New("b")
var first, second = pair()
//go:embed x
var raw []byte
var version = "1"
`), []string{
			"a/a.go:5: globals: count" + loose,
			"a/a.go:6: globals: limit" + loose,
			"a/a.go:7: globals: now" + loose,
			"a/a.go:8: globals: registry" + loose,
			"a/a.go:9: globals: pool" + loose,
			"a/a.go:10: globals: Exported" + loose,
			"a/a.go:12: globals: first" + loose,
			"a/a.go:12: globals: second" + loose,
			"a/a.go:14: globals: raw" + loose,
			"a/a.go:15: globals: version" + loose,
		}},
		{"globals", "tables that somebody writes to", map[string]string{
			"a/a.go": "package a\n\nvar a = []int{1}\nvar b = map[int]int{1: 1}\nvar c = [2]struct{ x int }{{1}}\nvar d = []int{1}\nvar e = []int{1}\n",
			"a/b.go": "package a\n\nimport _ \"absent\"\n\nfunc f() {\n\ta[0] = 2\n\tdelete(b, 1)\n\tc[1].x++\n\t_ = &d[0]\n\tfor e[0] = range 3 {\n\t}\n}\n",
		}, []string{
			"a/a.go:3: globals: a is a mutable global: it is written at a/b.go:6",
			"a/a.go:4: globals: b is a mutable global: it is written at a/b.go:7",
			"a/a.go:5: globals: c is a mutable global: it is written at a/b.go:8",
			"a/a.go:6: globals: d is a mutable global: it is written at a/b.go:9",
			"a/a.go:7: globals: e is a mutable global: it is written at a/b.go:10",
		}},
		{"globals", "immutable", map[string]string{
			"cmd/a/main.go": "package main\n\n// version is set by the linker.\nvar version = \"unknown\"\n",
			"a/a.go": `package a

import ("embed"; "errors"; "fmt"; "hash/crc32"; "io/fs"; "regexp")

var ErrA = errors.New("a")
var errB = fmt.Errorf("b: %w", ErrA)
var ErrC = &problem{"c"}
var ErrD = fs.ErrExist
var _ fmt.Stringer = problem{}
var word = regexp.MustCompile("x")
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

//go:embed x
var text string

var (
	//go:embed y
	files embed.FS
)
var names = map[int]string{1: "one"}

func f(names []string) {
	names[0] = "the parameter, not the table"
	for word := range names { word++ }
}
`,
			"a/a_test.go": "package a\n\nvar update = true\n",
			"cmd/b/v.go":  "package main\n\nvar version string\n",
		}, nil},
	}
}
