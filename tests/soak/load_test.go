package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// load is what goes on meanwhile. Each part is a goroutine that repeats a cycle;
// the first error ends all.
type load struct {
	ctx         context.Context
	stop        context.CancelCauseFunc
	parts       sync.WaitGroup
	origin, far *site

	records, received, attached, created, killed, connected, scraped, reloaded atomic.Uint64
}

// run starts all parts; join waits for them and returns the first error.
func (l *load) run() {
	for i, part := range []struct {
		name  string
		pause time.Duration // between two cycles, at random around it
		cycle func(random *rand.Rand) error
	}{
		{"feed", 0, l.feed},
		{"block reader", 0, l.reader(client.PolicyBlock)},
		{"demote reader", 0, l.reader(client.PolicyDemote)},
		{"skip reader", 0, l.reader(client.PolicySkip)},
		{"latest reader", 0, l.reader(client.PolicyLatest)},
		{"reader of the mirror", 0, l.mirrorReader},
		{"attaching", 4 * time.Millisecond, l.attach},
		{"creating", 40 * time.Millisecond, l.create},
		{"killing", 150 * time.Millisecond, l.kill},
		{"remote clients", 60 * time.Millisecond, l.connect},
		{"scraping", 250 * time.Millisecond, l.scrape},
		{"reloading", 2 * time.Second, l.reload},
	} {
		random := rand.New(rand.NewPCG(*seed, uint64(i)))
		l.parts.Go(func() {
			for harness.Sleep(l.ctx, time.Duration(random.Int64N(2*int64(part.pause)+1))) {
				if err := part.cycle(random); err != nil && l.ctx.Err() == nil {
					l.stop(fmt.Errorf("%s: %w", part.name, err))
				}
			}
		})
	}
}

func (l *load) join() error {
	l.parts.Wait()
	if err := context.Cause(l.ctx); !errors.Is(err, errDone) {
		return err
	}
	return nil
}

// errDone is the end that was planned.
var errDone = errors.New("the time is over")

func (l *load) dial(s *site) (*client.Client, error) {
	return client.Dial(l.ctx, client.Options{Socket: s.Socket, WaitFor: standstillMax})
}

// feed publishes for a second or so, then comes back with another attachment: some
// 20,000 records a second, in bursts.
func (l *load) feed(random *rand.Rand) error {
	c, err := l.dial(l.origin)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.Producer(l.ctx, feedRing, client.ProducerOptions{Name: "feed"})
	if err != nil {
		return err
	}
	payload := make([]byte, 2000)
	for range 500 {
		for range 40 {
			if err := p.Send(l.ctx, payload[:random.IntN(len(payload))]); err != nil {
				return err
			}
			l.records.Add(1)
		}
		if !harness.Sleep(l.ctx, 2*time.Millisecond) {
			return nil
		}
	}
	return p.Close()
}

// reader reads some thousand records with a policy.
func (l *load) reader(policy client.Policy) func(*rand.Rand) error {
	return func(*rand.Rand) error {
		return l.read(l.origin, feedRing, client.ConsumerOptions{Name: string(policy), Policy: policy})
	}
}

func (l *load) mirrorReader(*rand.Rand) error {
	return l.read(l.far, mirrorRing, client.ConsumerOptions{Name: "mirror", Policy: client.PolicySkip})
}

func (l *load) read(s *site, ring string, o client.ConsumerOptions) error {
	c, err := l.dial(s)
	if err != nil {
		return err
	}
	defer c.Close()
	o.WaitStrategy = client.WaitPark
	r, err := c.Consumer(l.ctx, ring, o)
	if err != nil {
		return err
	}
	for range 5000 {
		if _, err := r.Receive(l.ctx); err != nil {
			return err
		}
		l.received.Add(1)
	}
	return r.Close()
}

// attach attaches to both rings in both roles, moves some records and detaches.
func (l *load) attach(random *rand.Rand) error {
	c, err := l.dial(l.origin)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Consumer(l.ctx, ordersRing, client.ConsumerOptions{Policy: client.PolicySkip})
	if err != nil {
		return err
	}
	p, err := c.Producer(l.ctx, ordersRing, client.ProducerOptions{})
	if err != nil {
		return err
	}
	l.attached.Add(2)
	for range random.IntN(10) {
		if err := p.Send(l.ctx, []byte("an order")); err != nil {
			return err
		}
	}
	return errors.Join(p.Close(), r.Close())
}

// create makes a ring and removes it, in use or not.
func (l *load) create(random *rand.Rand) error {
	c, err := l.dial(l.origin)
	if err != nil {
		return err
	}
	defer c.Close()
	name := fmt.Sprint("temporary", random.IntN(1000))
	if _, err := c.CreateRing(l.ctx, client.RingSpec{Name: name, Capacity: 64 << 10 << random.IntN(3)}); err != nil {
		return err
	}
	l.created.Add(1)
	if random.IntN(2) == 0 {
		if _, err := c.Consumer(l.ctx, name, client.ConsumerOptions{}); err != nil {
			return err
		}
	}
	return c.RemoveRing(l.ctx, name, true)
}

// kill starts a process that attaches and publishes, and kills it.
func (l *load) kill(random *rand.Rand) error {
	cmd := l.origin.Role("victim")
	if err := cmd.Start(); err != nil {
		return err
	}
	harness.Sleep(l.ctx, 10*time.Millisecond+time.Duration(random.Int64N(int64(60*time.Millisecond))))
	err := cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
	l.killed.Add(1)
	return err
}

// victim is a role that publishes and reads as fast as it can. Its argument is the socket.
func victim(args []string) error {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Options{Socket: args[0]})
	if err != nil {
		return err
	}
	p, err := c.Producer(ctx, ordersRing, client.ProducerOptions{OnFull: client.OnFullDrop})
	if err != nil {
		return err
	}
	if _, err := c.Consumer(ctx, ordersRing, client.ConsumerOptions{Name: fmt.Sprint("victim", os.Getpid()), Policy: client.PolicySkip}); err != nil {
		return err
	}
	for {
		if err := p.Send(ctx, []byte("a record of one that dies")); err != nil {
			return err
		}
	}
}

// connect is a remote client that reads a little and publishes a little.
func (l *load) connect(*rand.Rand) error {
	r, err := client.DialTCP(l.ctx, l.origin.remote())
	if err != nil {
		return err
	}
	defer r.Close()
	reader, err := r.Consumer(l.ctx, feedRing, client.ConsumerOptions{Policy: client.PolicySkip, WaitStrategy: client.WaitPark})
	if err != nil {
		return err
	}
	p, err := r.Producer(l.ctx, ordersRing, client.ProducerOptions{})
	if err != nil {
		return err
	}
	l.connected.Add(1)
	for range 20 {
		if err := p.Send(l.ctx, []byte("from afar")); err != nil {
			return err
		}
		if _, err := reader.Receive(l.ctx); err != nil {
			return err
		}
	}
	return errors.Join(p.Flush(l.ctx), p.Close(), reader.Close())
}

// scrape reads metrics and statistics.
func (l *load) scrape(*rand.Rand) error {
	c, err := l.dial(l.origin)
	if err != nil {
		return err
	}
	defer c.Close()
	l.scraped.Add(1)
	_, err = c.Stats(l.ctx, "")
	return err
}

// reload changes the limits and a right, and reads the configuration again.
func (l *load) reload(random *rand.Rand) error {
	limits := fmt.Sprintf("limits: {attachments: %d}", 3000+random.IntN(1000))
	if err := l.origin.quiet(ringsYAML, append([]string{limits}, l.origin.config...)...); err != nil {
		return err
	}
	c, err := l.dial(l.origin)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Reload(l.ctx)
	l.reloaded.Add(1)
	return err
}
