// Package metrics owns the Prometheus face of brokerd: the names, types, help
// texts and labels, all in one table (table.go), and the handler that serves
// them.
//
// Nothing is counted while the daemon works, but control requests: a scrape
// asks a Source for one Snapshot and every value of that scrape comes from it,
// so the figures of one scrape belong together. The package imports nothing
// else of brokerd; internal/daemon, its only caller, fills the Snapshot.
//
// It distrusts method names and results of control requests (a client chooses
// the former): what is not known, or is too much, is counted as "other". The
// number of series is otherwise bounded by the limits of the configuration:
// one set for each ring, one for each attachment, one for each user who has
// either or is connected, one for each link that mirrors and for each feed.
package metrics
