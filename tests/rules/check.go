package rules

import (
	"cmp"
	"fmt"
	"slices"
)

// Rule is one house rule.
type Rule struct {
	Name  string
	Check func(t *Tree, report reporter)
}

// reporter takes a breach: the file, the line from 1, and what to do about it.
type reporter = func(f *File, line int, format string, args ...any)

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"layers", checkLayers},
		{"unsafe", checkUnsafe},
		{"linux", checkLinux},
		{"libraries", checkLibraries},
		{"doc", checkDoc},
		{"package name", checkPackageName},
		{"init", checkInit},
		{"globals", checkGlobals},
		{"exit", checkExit},
		{"size", checkSize},
		{"markers", checkMarkers},
	}
}

// Check returns the findings of all rules, by file and line.
func Check(t *Tree) []Finding {
	var findings []Finding
	for _, r := range Rules() {
		findings = append(findings, r.findings(t)...)
	}
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return findings
}

func (r Rule) findings(t *Tree) []Finding {
	var findings []Finding
	r.Check(t, func(f *File, line int, format string, args ...any) {
		findings = append(findings, Finding{r.Name, f.Path, line, fmt.Sprintf(format, args...)})
	})
	return findings
}
