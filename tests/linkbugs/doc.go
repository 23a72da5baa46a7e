// Package linkbugs checks the simulator of internal/link: it has to find each bug
// that is planted in a copy of the code.
package linkbugs
