package main

import (
	"context"
	"errors"
	"time"

	"brokerd/internal/shmring"
)

// doorWake is the gateway's own wake-up: a reader sleeps at a shmring.Door as the gateway does, a producer
// publishes at fixed instants. args as for wakeReference. The p50 in ns, from before the publish until the
// sleeper has the record.
func doorWake(args []string) (float64, error) {
	ring, err := shmring.CreatePrivate(shmring.Config{Capacity: 1 << 20, RecordMax: 4096, Epoch: 1, ConsumersMax: 1}, shmring.Boundary{})
	if err != nil {
		return 0, err
	}
	defer ring.Close()
	p, c, err := lend(ring)
	if err != nil {
		return 0, err
	}
	door := shmring.NewDoor()
	if err := door.Add(c); err != nil {
		return 0, err
	}
	ready("")
	said, heard, failed := make(chan int64, 1<<16), make(chan struct{}), error(nil)
	ages := newAges(1 << 16)
	go func() {
		defer close(heard)
		for failed == nil {
			if door.Arm() {
				door.Sleep(time.Second)
			}
			door.Disarm()
			span, err := c.NextSpan(1 << 16)
			if errors.Is(err, shmring.ErrEmpty) {
				continue
			}
			if failed = err; err != nil {
				return
			}
			at := now()
			for range span.Records {
				sent, more := <-said
				if !more {
					return
				}
				ages.add(at - sent)
			}
			failed = c.Release(shmring.Boundary{Position: span.Position + uint64(len(span.Bytes)), Sequence: span.Sequence + span.Records})
		}
	}()
	buf := make([]byte, payloadBytes)
	err = pace(args, func() error {
		said <- now()
		return p.Send(context.Background(), buf)
	})
	close(said)
	err = errors.Join(err, p.Send(context.Background(), buf))
	<-heard
	return ages.median(), errors.Join(err, failed)
}

func lend(ring *shmring.Ring) (*shmring.Producer, *shmring.Consumer, error) {
	if err := errors.Join(ring.BindProducer(0, shmring.Binding{Generation: 1}),
		ring.BindConsumer(0, shmring.Binding{Generation: 1, Policy: shmring.PolicyBlock, Parks: true})); err != nil {
		return nil, nil, err
	}
	data, cursors, err := ring.LendProducer()
	if err != nil {
		return nil, nil, err
	}
	p, err := shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1})
	if err != nil {
		return nil, nil, err
	}
	file, page, err := ring.LendConsumer(0)
	if err != nil {
		return nil, nil, err
	}
	c, err := shmring.OpenConsumer(file, page, shmring.ConsumerOptions{
		Generation: 1, Policy: shmring.PolicyBlock, Wait: shmring.WaitPark, From: shmring.FromOldest(), Spans: true,
	})
	return p, c, err
}
