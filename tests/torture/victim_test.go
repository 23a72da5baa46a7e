package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// What this binary can be besides a test.
const (
	roleProducer = "producer"
	roleReader   = "reader"
)

// orderEvery is how often a victim looks into its book for an order.
const orderEvery = 5 * time.Millisecond

// retryEvery is how often it tries to attach where it cannot yet. A gateway takes no storm of tries, and keeps the
// place of a remote producer that has vanished for ten seconds.
const retryEvery = 40 * time.Millisecond

// job is what a victim has to do.
type job struct {
	Socket    string // of the daemon on this host; "" with Remote
	Remote    *far   // a remote client
	Ring      string
	Book      string // path
	Life      [2]uint32
	Seed      uint64
	RecordMax int    // bytes
	Name      string // of the attachment, and of a cursor
	Policy    client.Policy
	From      string // oldest, latest or resume
	Wait      client.WaitStrategy
	MayMiss   bool // the policy or the way permits it
	Mirror    bool // the ring is a mirror
	Lazy      int  // one in so many records is followed by a rest, 0 for none
	Views     bool // it looks at views of records that may be overwritten meanwhile
}

// far is how a remote client comes to the gateway.
type far struct{ Address, Cert, Key, CA string }

func (f far) options() client.TCPOptions {
	return client.TCPOptions{Address: f.Address, Cert: f.Cert, Key: f.Key, CA: f.CA, WaitFor: 2 * harness.Patience}
}

func (j job) life() life { return life{j.Life[0], j.Life[1]} }

// victimOf is the life of a victim in a role. Its argument is a job.
func victimOf(role string) func(args []string) error {
	return func(args []string) error {
		var j job
		err := json.Unmarshal([]byte(args[0]), &j)
		if err == nil {
			err = j.play(role)
		}
		if err != nil {
			return fmt.Errorf("%s %v of ring %s: %w", role, j.life(), j.Ring, err)
		}
		return nil
	}
}

// host is a daemon as a victim sees it, near or far.
type host interface {
	Producer(ctx context.Context, ring string, o client.ProducerOptions) (*client.Producer, error)
	Consumer(ctx context.Context, ring string, o client.ConsumerOptions) (*client.Consumer, error)
	Close() error
}

func (j job) dial(ctx context.Context) (host, error) {
	if j.Remote != nil {
		return client.DialTCP(ctx, j.Remote.options())
	}
	return client.Dial(ctx, client.Options{Socket: j.Socket, WaitFor: 2 * harness.Patience})
}

func (j job) play(role string) (err error) {
	b, err := openBook(j.Book)
	if err != nil {
		return err
	}
	b.set(wordStarted, uint64(time.Now().UnixNano()))
	ctx := context.Background() // who waits for ever is found by the test
	h, err := j.dial(ctx)
	if err != nil {
		return err
	}
	if role == roleProducer {
		err = j.produce(ctx, b, h)
	} else {
		err = j.read(ctx, b, h)
	}
	if err = errors.Join(err, h.Close()); err == nil {
		b.set(wordState, stateFinished)
	}
	return errors.Join(err, b.close())
}

// persistently attaches, also where a predecessor whose death is not known yet is in the way.
func persistently(attach func() error) error {
	for {
		err := attach()
		if !errors.Is(err, client.ErrNotReady) && !errors.Is(err, client.ErrProducerPresent) && !errors.Is(err, client.ErrSlotsExhausted) && !errors.Is(err, client.ErrCursorInUse) &&
			!errors.Is(err, client.ErrRingNotFound) { // a mirror that is yet to be made
			return err
		}
		time.Sleep(retryEvery)
	}
}
