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
	count, gap := strconv.Itoa(b.sizes.messages), strconv.FormatInt(b.sizes.gapNanos, 10)
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
	receiver, at, err := launch(ctx, "1", []string{program, "receive", count}, true)
	if err != nil {
		return 0, err
	}
	sender, _, err := launch(ctx, "0", []string{program, "send", count, at}, true)
	if err != nil {
		receiver.kill()
		return 0, err
	}
	figure, err := receiver.figure()
	if err != nil {
		sender.kill()
		return 0, err
	}
	_, err = sender.figure()
	return figure, err
}
