// Package soak runs two brokerd for a while under a load like that of a trading
// host, and watches what they use: memory, heap, descriptors, threads, goroutines,
// once a second. At the end it fails when one of these still grows.
//
// In `make test` it runs for some seconds, which shows that it works, and judges
// nothing but errors of the load. `make soak` is the long form; it writes a CSV file,
// which bench/cmd/soakplot draws.
//
// It owns the daemons, and the processes that it starts and kills. It distrusts the
// scheduler: what it judges are trends over minutes.
package soak
