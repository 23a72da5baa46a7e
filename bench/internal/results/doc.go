// Package results holds what all files of raw results share: the machine that the
// figures belong to, and how the file is written.
//
// It measures nothing. What else is in a file is up to the command that writes it.
// Commands under bench/cmd may call it. It distrusts the host: a fact that it does
// not show is "unknown" and stops nothing.
package results
