// Package docs holds the pages for people to the truth: the Go snippets of
// docs/EMBEDDING.md stand in examples/strategy word for word, the command blocks
// of docs/CHOOSING.md and docs/EMBEDDING.md run against a real daemon, and
// the program of examples/strategy does what the page says of it. The walk of
// docs/HOSTS.md runs with its own daemons, and its messages are in the source.
// The ratios that docs/CHOOSING.md quotes are benchmarks here.
//
// It owns no code but tests; each has a daemon of its own. Nobody imports it.
// It distrusts the pages.
package docs
