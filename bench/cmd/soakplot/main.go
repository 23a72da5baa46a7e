// Command soakplot draws what the daemons used during a soak (make soak): it reads
// the CSV file that tests/soak writes, and writes an SVG file with a panel for each
// figure.
//
//	soakplot SAMPLES.csv PLOT.svg
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: soakplot SAMPLES.csv PLOT.svg")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "soakplot:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	series, err := read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return drawSVG(series, to)
}
