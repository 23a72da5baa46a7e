package docs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// What docs/CHOOSING.md quotes are ratios of these, from one run:
//
//	go test ./tests/docs -run '^$' -bench . -count 5
//
// Producers and readers are goroutines of this process; the rings are a daemon's.

// recordBytes is the payload of a record, unless a benchmark is about sizes.
const recordBytes = 48

// bench is a daemon with one ring, and a connection to it.
type bench struct {
	b   *testing.B
	ctx context.Context
	c   *client.Client
}

// newBench makes a ring bench with these keys, and more rings if they end its entry.
func newBench(b *testing.B, keys string) *bench {
	p := harness.NewPlace(b, binaries, "[{name: bench, "+keys+"}]")
	p.Start()
	return &bench{b, b.Context(), p.Dial()}
}

func (h *bench) producer(ring string, o client.ProducerOptions) *client.Producer {
	h.b.Helper()
	p, err := h.c.Producer(h.ctx, ring, o)
	if err != nil {
		h.b.Fatal(err)
	}
	return p
}

func (h *bench) consumer(ring string, o client.ConsumerOptions) *client.Consumer {
	h.b.Helper()
	r, err := h.c.Consumer(h.ctx, ring, o)
	if err != nil {
		h.b.Fatal(err)
	}
	return r
}

// beside runs a reader, or whatever else, while the benchmark runs. It is to end
// with its context.
func (h *bench) beside(work func(context.Context) error) {
	ctx, cancel := context.WithCancel(h.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := work(ctx); !errors.Is(err, context.Canceled) {
			h.b.Errorf("beside the benchmark: %v", err)
		}
	})
	h.b.Cleanup(func() { cancel(); running.Wait() })
}

// drain receives until the end.
func drain(r *client.Consumer) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			if _, err := r.Receive(ctx); err != nil {
				return err
			}
		}
	}
}

// lookEvery receives what is there now and then.
func lookEvery(pause time.Duration, r *client.Consumer) func(context.Context) error {
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			if _, err := r.TryReceive(); err != nil && !errors.Is(err, client.ErrEmpty) {
				return err
			}
			time.Sleep(pause)
		}
		return ctx.Err()
	}
}

// BenchmarkPolicy is what a reader of each policy costs the producer, a record. The
// producer does nothing else, the reader spins behind it.
func BenchmarkPolicy(b *testing.B) {
	for _, c := range []struct {
		name   string
		policy client.Policy
		every  time.Duration // 0: the reader never pauses
	}{
		{"nobody", "", 0},
		{"latest,1ms", client.PolicyLatest, time.Millisecond},
		{"skip", client.PolicySkip, 0},
		{"latest", client.PolicyLatest, 0},
		{"demote", client.PolicyDemote, 0},
		{"block", client.PolicyBlock, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newBench(b, "capacity: 4MiB, timestamps: false")
			p := h.producer("bench", client.ProducerOptions{WaitStrategy: client.WaitSpin})
			if c.policy != "" {
				r := h.consumer("bench", client.ConsumerOptions{Policy: c.policy, WaitStrategy: client.WaitSpin})
				if c.every > 0 {
					h.beside(lookEvery(c.every, r))
				} else {
					h.beside(drain(r))
				}
			}
			payload := make([]byte, recordBytes)
			for b.Loop() {
				if err := p.Send(h.ctx, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkProducers is the time a record takes when one or two publish at once.
func BenchmarkProducers(b *testing.B) {
	for _, c := range []struct {
		name, keys string
		others     int
	}{
		{"one", "", 0},
		{"many,1", ", producers: many", 0},
		{"many,2", ", producers: many", 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newBench(b, "capacity: 4MiB, timestamps: false"+c.keys)
			payload := make([]byte, recordBytes)
			for range c.others {
				other := h.producer("bench", client.ProducerOptions{})
				h.beside(func(ctx context.Context) error {
					for ctx.Err() == nil {
						if err := other.Send(ctx, payload); err != nil {
							return err
						}
					}
					return ctx.Err()
				})
			}
			p := h.producer("bench", client.ProducerOptions{})
			for b.Loop() {
				if err := p.Send(h.ctx, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRecord is what a record carries: sent and received, one after the other.
func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct{ name, keys, reader string }{
		{"plain", ", timestamps: false", ""},
		{"timestamps", "", ""},
		{"checksum", ", timestamps: false, checksum: true", ""},
		{"cursor", ", timestamps: false, resume_for: 1s", "bench"},
	} {
		for _, size := range []int{recordBytes, 1000} {
			b.Run(fmt.Sprintf("%s,%d", c.name, size), func(b *testing.B) {
				h := newBench(b, "capacity: 4MiB"+c.keys)
				p := h.producer("bench", client.ProducerOptions{})
				r := h.consumer("bench", client.ConsumerOptions{Name: c.reader})
				payload := make([]byte, size)
				for b.Loop() {
					if err := p.Send(h.ctx, payload); err != nil {
						b.Fatal(err)
					}
					if _, err := r.Receive(h.ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkCapacity is the time a record takes in rings that fit the caches, or do
// not, once each page of them has been written. Nobody reads.
func BenchmarkCapacity(b *testing.B) {
	for _, c := range []struct {
		capacity string
		bytes    int
	}{{"64KiB", 64 << 10}, {"1MiB", 1 << 20}, {"16MiB", 16 << 20}, {"256MiB", 256 << 20}} {
		b.Run(c.capacity, func(b *testing.B) {
			h := newBench(b, "timestamps: false, record_max: 1KiB, capacity: "+c.capacity)
			p := h.producer("bench", client.ProducerOptions{})
			payload := make([]byte, recordBytes)
			for p.Position() < uint64(c.bytes) {
				if err := p.Send(h.ctx, payload); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if err := p.Send(h.ctx, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTags is the time a record takes that its reader wants, and that it steps over.
func BenchmarkTags(b *testing.B) {
	const round = 1000 // records sent and then read, the last one wanted
	for _, c := range []struct {
		name string
		tags []uint16
	}{{"received", nil}, {"passed over", []uint16{1}}} {
		b.Run(c.name, func(b *testing.B) {
			h := newBench(b, "capacity: 4MiB, timestamps: false")
			p := h.producer("bench", client.ProducerOptions{})
			r := h.consumer("bench", client.ConsumerOptions{Tags: c.tags})
			payload := make([]byte, recordBytes)
			for b.Loop() {
				b.StopTimer()
				for i := range round {
					p.SetTag(uint16((i + 1) / round))
					if err := p.Send(h.ctx, payload); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				for got := uint16(0); got == 0; {
					record, err := r.Receive(h.ctx)
					if err != nil {
						b.Fatal(err)
					}
					got = record.Tag
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/round, "ns/record")
		})
	}
}

// BenchmarkWait is a round trip over two rings, both sides waiting in the same way,
// after a pause in which a side that sleeps at all has fallen asleep. What counts
// is the median, p50-ns.
func BenchmarkWait(b *testing.B) {
	const pause = 2 * time.Millisecond
	for _, wait := range []client.WaitStrategy{client.WaitSpin, client.WaitYield, client.WaitPark, client.WaitAuto} {
		b.Run(string(wait), func(b *testing.B) {
			h := newBench(b, "capacity: 4MiB}, {name: back, capacity: 4MiB")
			there, back := h.producer("bench", client.ProducerOptions{}), h.producer("back", client.ProducerOptions{})
			far := h.consumer("bench", client.ConsumerOptions{WaitStrategy: wait})
			near := h.consumer("back", client.ConsumerOptions{WaitStrategy: wait})
			h.beside(func(ctx context.Context) error {
				for {
					record, err := far.Receive(ctx)
					if err == nil {
						err = back.Send(ctx, record.Payload)
					}
					if err != nil {
						return err
					}
				}
			})
			payload := make([]byte, recordBytes)
			var trips []time.Duration
			for b.Loop() {
				for begin := time.Now(); time.Since(begin) < pause; { // a sleep here would wake late
				}
				begin := time.Now()
				err := there.Send(h.ctx, payload)
				if err == nil {
					_, err = near.Receive(h.ctx)
				}
				if err != nil {
					b.Fatal(err)
				}
				trips = append(trips, time.Since(begin))
			}
			slices.Sort(trips)
			b.ReportMetric(float64(trips[len(trips)/2].Nanoseconds()), "p50-ns")
		})
	}
}

// BenchmarkIdle is what a reader costs that has nothing to read: processor time
// and system calls are not in ns/op, but in its own metrics.
func BenchmarkIdle(b *testing.B) {
	const idle = time.Second
	for _, wait := range []client.WaitStrategy{client.WaitSpin, client.WaitYield, client.WaitPark, client.WaitAuto} {
		b.Run(string(wait), func(b *testing.B) {
			h := newBench(b, "capacity: 4MiB")
			r := h.consumer("bench", client.ConsumerOptions{WaitStrategy: wait})
			var used time.Duration
			for b.Loop() {
				before := processorTime(b)
				ctx, cancel := context.WithTimeout(h.ctx, idle)
				if _, err := r.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
					b.Fatal(err)
				}
				cancel()
				used += processorTime(b) - before
			}
			b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%core")
		})
	}
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
