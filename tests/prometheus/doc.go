// Package prometheus tests what an operator's Prometheus makes of brokerd: a
// real one scrapes a running daemon and must give the right answers, promtool
// judges the names, the shipped alerts are tried on good days and bad ones, and
// docs/METRICS.md has to say what is so.
//
// It owns no code but tests. The two programs come from Debian's package
// prometheus (tests/setup.sh); a test whose program is missing skips.
package prometheus
