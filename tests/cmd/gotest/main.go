// Command gotest is what `make test` runs: it goes through the sections of plan.go one after the other, shows
// progress as it comes and failures in full, and ends with what was skipped and the line
// "N passed, N failed, N skipped".
//
// It owns nothing but its children: go and make, which it starts in the order of the plan. It trusts their output.
// Exit status: 0 all passed (skips are listed), 1 something failed, or was skipped while REQUIRE_ALL=1 is set;
// 2 usage.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	only := flag.String("only", "", "run the `section` of this name only")
	fuzzTime := flag.String("fuzztime", "10000x", "how long each fuzz target runs: a `number` of inputs (10000x) or a time (5s)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "gotest: takes no arguments")
		flag.Usage()
		os.Exit(2)
	}
	sections, err := plan(*fuzzTime, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	requireAll := os.Getenv("REQUIRE_ALL") == "1"
	if !runAll(os.Stdout, sections, requireAll) {
		os.Exit(1)
	}
}
