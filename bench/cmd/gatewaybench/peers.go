package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// tcpLatency is the p50 of a bare one-way message at the same rate, in ns.
func (b *bench) tcpLatency(ctx context.Context) (float64, error) {
	count, gap := b.pacing()
	return both(ctx, "tcp-hear", "tcp-say", []string{count}, []string{count, gap})
}

// natsRate is millions of messages a second through NATS core.
func (b *bench) natsRate(ctx context.Context) (float64, error) {
	server, url, err := start(ctx, "0,1", "nats-serve")
	if err != nil {
		return 0, err
	}
	defer server.kill()
	count := strconv.Itoa(b.sizes.records / 3)
	return both(ctx, "nats-count", "nats-flood", []string{url, count}, []string{url, count})
}

// zmqRate is millions of messages a second over ZeroMQ's PUSH and PULL on tcp.
func (b *bench) zmqRate(ctx context.Context) (float64, error) {
	program := filepath.Join(b.dir, "zmq_rate")
	build := exec.CommandContext(ctx, "gcc", "-O2", "-o", program, "reference/zmq_rate.c", "-lzmq")
	if text, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: libzmq3-dev (apt-get install libzmq3-dev): %.100s", errNotHere, text)
	}
	count := strconv.Itoa(b.sizes.records)
	return pair(ctx, []string{program, "receive", count}, func(at string) []string { return []string{program, "send", count, at} })
}
