// Command gotest is what `make test` runs: it goes through the sections of plan.go one after the other, shows
// progress as it comes and failures in full, and ends with what was skipped and the line
// "N passed, N failed, N skipped".
//
// It owns nothing but its children: go and make, which it starts one at a time. It trusts their output.
// Exit status: 0 all passed (skips are listed), 1 something failed, or was skipped while REQUIRE_ALL=1 is set;
// 2 usage.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	only := flag.String("only", "", "run the `section` of this name only")
	fuzzTime := flag.Duration("fuzztime", 5*time.Second, "how long each fuzz target runs")
	flag.Parse()
	if flag.NArg() > 0 || *fuzzTime <= 0 {
		fmt.Fprintln(os.Stderr, "gotest: takes no arguments, and a -fuzztime above 0")
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
