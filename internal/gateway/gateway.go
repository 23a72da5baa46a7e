package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/process"
	"brokerd/internal/wire"
)

// Options are what a Gateway is made of.
type Options struct {
	Broker   *broker.Broker
	Log      *zap.Logger
	Settings Settings
	Version  string // said to peers
	Beat     func() // called at least once a second while Run runs
}

// Gateway connects the rings of this host with those of others. Its methods may
// be called from any goroutine.
type Gateway struct {
	broker  *broker.Broker
	log     *zap.Logger
	agent   string
	session [16]byte        // of this run, for those that we dial
	self    *process.Handle // of this process, which holds what is attached for others
	beat    func()
	loop    *loop
	joined  sync.WaitGroup // jobs and doors, joined by Run

	// What follows is guarded by loop.mu, the gateway's one lock.
	ending     bool // Run is about to return: nothing new is begun
	settings   Settings
	certs      map[TLS]*certs
	listener   *listener // nil without one
	peers      []*peer
	conns      map[*conn]struct{}
	parked     []*export // whose peers are gone and may come back
	publishers map[publishKey]*publisher
	journals   map[journalKey]*journal
	writing    map[string]bool // local names of mirrors that a job works at
	refusals   map[string]*refusalCount
	feeds      []*feed
	doors      []*doorway
	round      uint64 // of pumping, see doorway
	clock      timer  // for what is due without a connection (chores.go)
	sweepAt    int64
}

// New opens the listener and reads the certificates. Run must be called: it
// closes everything. Errors name the key of the configuration.
func New(o Options) (*Gateway, error) {
	g := &Gateway{
		broker: o.Broker, log: o.Log, agent: "brokerd " + o.Version, beat: o.Beat,
		settings:   o.Settings,
		certs:      map[TLS]*certs{},
		conns:      map[*conn]struct{}{},
		publishers: map[publishKey]*publisher{},
		journals:   map[journalKey]*journal{},
		writing:    map[string]bool{},
		refusals:   map[string]*refusalCount{},
	}
	if _, err := rand.Read(g.session[:]); err != nil {
		return nil, fmt.Errorf("draw a session: %w", err)
	}
	if err := g.Check(o.Settings); err != nil {
		return nil, err
	}
	var err error
	if g.self, err = process.Open(os.Getpid()); err != nil {
		return nil, fmt.Errorf("a handle on brokerd itself: %w", err)
	}
	g.loop, err = newLoop(loopOptions{
		Log: o.Log, BusyPoll: o.Settings.BusyPoll, DeadAfter: o.Settings.DeadAfter, BeforeSleep: g.beforeSleep,
	})
	if err != nil {
		return nil, errors.Join(err, g.self.Close())
	}
	if err := g.begin(o.Settings); err != nil {
		ended, end := context.WithCancel(context.Background())
		end()
		_ = g.loop.run(ended, nil) // nothing but its descriptors to close
		return nil, errors.Join(err, g.self.Close())
	}
	return g, nil
}

// begin opens the listeners and prepares what Run will do.
func (g *Gateway) begin(s Settings) error {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	if err := g.listen(s); err != nil {
		return err
	}
	if err := g.startFeeds(s); err != nil {
		return err
	}
	for _, want := range s.Peers {
		g.addPeer(want)
	}
	g.clock.fire = g.chores
	g.hurry()
	return nil
}

// Run works until ctx is done, says goodbye, and returns ctx.Err(). It runs the
// loop itself; doors (watch.go) and jobs (import.go) are started where they are
// needed and joined here.
func (g *Gateway) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.Background())
	defer stop()
	unhook := context.AfterFunc(ctx, func() {
		g.sayGoodbye()
		stop()
	})
	defer unhook()
	err := g.loop.run(work, g.beat)
	stop()
	g.sayGoodbye() // where the loop has failed, nobody else does
	g.joined.Wait()
	g.letGo()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("gateway loop: %w", err)
}

// errStopping is why connections close when the daemon stops.
var errStopping = errors.New("brokerd stops")

// sayGoodbye closes every connection with a word, and lets nothing new begin.
func (g *Gateway) sayGoodbye() {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	g.ending = true
	for _, p := range g.peers {
		p.stopDialling()
	}
	for c := range g.conns {
		c.close(wire.CodeGoodbye, errStopping)
	}
	for _, f := range g.feeds {
		f.drop(errStopping)
	}
	for _, d := range g.doors {
		d.door.Knock()
	}
}

// letGo gives back whatever is still held. No goroutine of the gateway runs.
func (g *Gateway) letGo() {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	for _, p := range g.peers {
		for _, m := range p.mirrors {
			m.closeSink()
			g.broker.ReleaseMirror(m.want.As)
		}
	}
	for _, e := range g.parked {
		g.release(e, "")
	}
	g.parked = nil
	for _, p := range g.publishers {
		p.close()
	}
	_ = g.self.Close() // a pidfd: nothing to lose
}

// Address is where the gateway listens, "" where it does not.
func (g *Gateway) Address() string {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	if g.listener == nil {
		return ""
	}
	return g.listener.addr()
}

// Check says whether New or Apply would take the settings: whether certificates
// can be read and fit their keys. It changes nothing.
func (g *Gateway) Check(s Settings) error { return CheckFiles(s) }
