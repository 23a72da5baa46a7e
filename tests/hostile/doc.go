// Package hostile lets processes loose on the built daemon that do all that their
// rights and the kernel let them do: a producer that writes garbage over every byte
// of its ring, a reader of another user that does so to its cursor page, a thousand
// connections that say nothing right, users who ask for what they may not have.
//
// It owns no rules: what must hold afterwards is what docs/SECURITY.md promises. A
// hostile process may hurt its own ring or attachment. The daemon answers, another
// ring goes on without a gap, and whoever shared the ring gets an error that has a
// name.
//
// Hostile programs and their victims give way to others (nice): what is tested is
// that they cannot reach, not that they cannot use a processor.
package hostile
