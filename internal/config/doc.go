// Package config owns the configuration of brokerd: its structs, its defaults,
// the strict reading of its YAML and the rules a value must meet.
//
// Load and Parse turn a file into a Config or into every error that the file
// has, each with file, line, key, what was found and what was expected.
// Resolve puts the paths of the running user where the file names none, and
// YAML prints the outcome so that it reads back equal. NormalizeRing is the
// same judgement for one ring that did not come from a file.
//
// The daemon and cmd/brokerd call this package. It opens the one file it is
// told to open and has no other effect: creating folders, looking up users and
// binding sockets belong to the daemon.
//
// It distrusts the file: its size, its lists, its names and its numbers are
// bounded, aliases are followed no deeper than the schema goes, and text that
// ends up in a message is quoted and clipped.
package config
