package client

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"brokerd/internal/shmring"
)

// Remote is a connection to a brokerd on another host, over TCP, that mends
// itself. DialTCP makes one. Its Producers and Consumers are those of a Client.
type Remote struct {
	o       TCPOptions
	session [16]byte // by which the other side knows what it has published for us
	clock   time.Time
	door    *shmring.Door
	life    context.Context // ends with Close
	end     context.CancelFunc
	joined  chan struct{} // closed when the goroutine of DialTCP has returned

	mu     sync.Mutex // holds all below, and every link.Conn
	line   *line      // nil while there is no connection
	turned chan struct{}
	away   error // why line is nil
	held   map[*stream]struct{}
	// waiting are those of held that are not open on the connection.
	waiting map[*stream]struct{}
	// producing are the rings and names whose Producer is being made.
	producing map[[2]string]bool
	closeBy   time.Time     // until when Close waits for acknowledgements
	moved     chan struct{} // closed when something was acknowledged; nil when nobody waits
	patience
}

// DialTCP connects to the gateway of a brokerd (key gateway.listen) and starts the
// Remote's goroutines, which Close joins. It fails with ErrUnreachable, after
// o.WaitFor or when ctx ends; with a refusal (IsRefused) by a gateway that knows
// nobody of that name or certificate; and with ErrProtocol by what is none, or is
// of another version.
func DialTCP(ctx context.Context, o TCPOptions) (*Remote, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Remote{
		o: o, clock: time.Now(), joined: make(chan struct{}), turned: make(chan struct{}),
		door: shmring.NewDoor(), held: map[*stream]struct{}{}, waiting: map[*stream]struct{}{}, producing: map[[2]string]bool{},
	}
	r.patience.least = o.DeadAfter
	_, _ = rand.Read(r.session[:]) // never fails (crypto/rand)
	l, err := r.dialFor(ctx, o.WaitFor)
	if err != nil {
		return nil, err
	}
	r.life, r.end = context.WithCancel(context.Background())
	r.line = l
	go r.run(l)
	return r, nil
}

// Address is the host and port that this Remote was made with.
func (r *Remote) Address() string { return r.o.Address }

// Close closes the Producers and Consumers that are still open, which must not be
// in use at that moment, and the connection. The error is the first one that
// closing one of them gave.
func (r *Remote) Close() error {
	r.mu.Lock()
	r.closeBy = time.Now().Add(closeFlushMax)
	var open []*stream
	for s := range r.held {
		open = append(open, s)
	}
	r.mu.Unlock()
	var first error
	for _, s := range open {
		if err := s.a.close(); err != nil && first == nil {
			first = err
		}
	}
	r.end()
	r.door.Knock()
	<-r.joined
	return first
}

// now is a monotonic time in ns.
func (r *Remote) now() int64 { return int64(time.Since(r.clock)) }

// connected waits for the connection; begin is when the caller began to.
func (r *Remote) connected(ctx context.Context, begin time.Time) (*line, error) {
	for {
		r.mu.Lock()
		l, turned, away := r.line, r.turned, r.away
		broken := l == nil || l.broken != nil
		r.mu.Unlock()
		if r.life.Err() != nil {
			return nil, ErrClosed
		}
		if !broken {
			return l, nil
		}
		select {
		case <-turned:
		case <-r.life.Done():
		case <-ctx.Done():
			if away == nil {
				away = unreachable(r.o.Address, errBroken)
			}
			return nil, overdue(ctx, begin, away)
		}
	}
}

// turn notes the connection, or why there is none, and tells those who wait for one.
// r.mu is held.
func (r *Remote) turn(l *line, away error) {
	r.line, r.away = l, away
	close(r.turned)
	r.turned = make(chan struct{})
}
