package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// testTimeout bounds one section of tests; a hang shows its goroutines and fails.
const testTimeout = "-timeout=15m"

// modelHalf matches the tests of the model check that take about half of its time.
const modelHalf = "^TestModel(Many|Sleep)"

// Packages below tests, see plan.
var (
	ownSection    = []string{"rules", "deploy"}
	mostlyWaiting = []string{"control", "crash", "daemon", "demo", "docs", "feeds", "gateway", "linkclient", "netns", "prometheus", "remote"}
)

// section is one step of the run. run reports into the tally; an error is a failure of the step as a whole.
type section struct {
	name string
	run  func(t *tally) error
}

// plan returns the sections in their order, cheap and telling ones first; only, when not empty, picks one.
func plan(fuzzTime, only string) ([]section, error) {
	packages, err := goList("./...")
	if err != nil {
		return nil, err
	}
	units := slices.DeleteFunc(slices.Clone(packages), func(p string) bool { return strings.Contains(p, "/tests/") })
	// Of the packages below tests some have a section of their own, and some wait most of the time, so that two run at once.
	var plain, waiting []string
	for _, p := range packages {
		_, below, _ := strings.Cut(p, "/tests/")
		switch {
		case slices.Contains(ownSection, below):
		case slices.Contains(mostlyWaiting, below):
			waiting = append(waiting, p)
		default:
			plain = append(plain, p)
		}
	}
	all := []section{
		{"lint", command("make", "lint")},
		{"cross", command("make", "cross")},
		{"build", command("make", "build")},
		{"rules", goTest(quiet, "./tests/rules")},
		{"race", goTest(quiet, append([]string{"-race"}, units...)...)},
		// One package at a time: these tests start processes and count syscalls, allocations and milliseconds.
		{"plain", goTest(quiet, append([]string{"-p=1"}, plain...)...)},
		{"waiting", goTest(quiet, append([]string{"-p=2"}, waiting...)...)},
		// The model check steps one schedule at a time, so two processes share it.
		{"model", together(
			goTest(chatty, "-tags=ringmodel", "-run="+modelHalf, "./internal/shmring"),
			goTest(chatty, "-tags=ringmodel", "-run=^TestModel", "-skip="+modelHalf, "./internal/shmring"))},
		{"steps", goTest(quiet, "-p=1", "-tags=ringstep", "-run=^TestSteps$", "./internal/shmring", "./internal/broker")},
		{"fuzz", fuzz(fuzzTime)},
		{"deploy", goTest(quiet, "./tests/deploy")},
		{"bench", command("make", "-C", "bench", "test")}, // a module of its own: it builds and works, nothing is timed
	}
	if only == "" {
		return all, nil
	}
	for _, s := range all {
		if s.name == only {
			return []section{s}, nil
		}
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	return nil, fmt.Errorf("no section is called %q; there are: %s", only, strings.Join(names, ", "))
}

// goList names the packages that match, also those that do not build: the sections say what is wrong with them.
func goList(pattern string) ([]string, error) {
	out, err := exec.Command("go", "list", "-e", pattern).Output()
	if exit, ok := err.(*exec.ExitError); ok {
		return nil, fmt.Errorf("go list %s: %s", pattern, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", pattern, err)
	}
	return strings.Fields(string(out)), nil
}
