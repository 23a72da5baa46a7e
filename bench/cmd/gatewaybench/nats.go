package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsServe is a NATS server without persistence. It runs until it is killed.
func natsServe([]string) (float64, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPending: 1 << 30})
	if err != nil {
		return 0, err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return 0, errors.New("not ready for connections")
	}
	ready(s.ClientURL())
	s.WaitForShutdown()
	return 0, nil
}

// natsConnect connects to args[0]; args[1] is how many messages.
func natsConnect(args []string) (*nats.Conn, int, error) {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, 0, err
	}
	c, err := nats.Connect(args[0])
	return c, count, err
}

// natsCount receives args[1] messages from args[0]: millions a second.
func natsCount(args []string) (float64, error) {
	c, count, err := natsConnect(args)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	done, n, begin := make(chan time.Duration, 1), 0, time.Time{}
	sub, err := c.Subscribe("feed", func(*nats.Msg) {
		if n++; n == 1 {
			begin = time.Now()
		}
		if n == count {
			done <- time.Since(begin)
		}
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = c.Flush()
	}
	if err != nil {
		return 0, err
	}
	ready("")
	select {
	case took := <-done:
		return float64(count-1) / float64(took.Microseconds()), nil
	case <-time.After(roleTimeout / 2):
		return 0, errors.New("messages were lost on the way")
	}
}

// natsFlood publishes args[1] messages to args[0] one by one.
func natsFlood(args []string) (float64, error) {
	c, count, err := natsConnect(args)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ready("")
	buf := make([]byte, payloadBytes)
	for range count {
		if err := c.Publish("feed", buf); err != nil {
			return 0, err
		}
	}
	return 0, c.Flush()
}
