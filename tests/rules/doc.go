// Package rules checks the house rules of brokerd on its source: what may import what, where unsafe, system calls,
// logging and metrics may appear, and how large and how global code may be.
//
// It owns the rules as written in docs/ARCHITECTURE.md and CONTRIBUTING.md, each a function from a Tree to the
// Findings in it, and nobody but its own test calls it. It reads every Go file whatever its build tags, since what
// `go list` shows is only what builds here. Modules below the root with a go.mod of their own (bench) are not
// part of the tree, nor are testdata and hidden folders. It trusts the source to be well meant: it finds
// mistakes, not tricks.
package rules
