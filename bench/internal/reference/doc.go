// Package reference builds and runs the C programs of bench/reference and reads
// the line of JSON that each prints.
//
// It judges every run: a run counts only when the noise probes before and after
// it show the machine in its usual state and no other program took a core from
// it. It never changes a figure. Commands under bench/cmd may call it. It
// distrusts the programs' output (strictly decoded) and their run time (bounded).
package reference
