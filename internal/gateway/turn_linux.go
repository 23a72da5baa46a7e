package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// run works until ctx is done, and returns ctx.Err() then, or the poller's error.
// At the end it closes every listener and socket, joins all goroutines that the
// loop has started, and frees what newLoop has made. beat, nil for none, is
// called every beatMax, with the lock held.
func (l *loop) run(ctx context.Context, beat func()) error {
	defer context.AfterFunc(ctx, l.wake)()
	if beat != nil {
		l.mu.Lock()
		l.beat.fire = func(now int64) {
			beat()
			l.schedule(&l.beat, now+int64(beatMax))
		}
		l.beat.fire(l.now())
		l.mu.Unlock()
	}
	var err error
	for asleep := false; err == nil && ctx.Err() == nil; {
		asleep, err = l.turn(asleep)
	}
	if err == nil {
		err = ctx.Err()
	}
	return errors.Join(err, l.end())
}

// turn waits for events, if the turn before has left nothing to do, and works
// through what there is.
func (l *loop) turn(sleep bool) (sleepNext bool, err error) {
	timeout := 0
	if sleep {
		timeout = -1
	}
	n, err := unix.EpollWait(l.poller, l.events, timeout)
	if errors.Is(err, unix.EINTR) {
		n, err = 0, nil
	}
	if err != nil {
		return false, fmt.Errorf("epoll_wait: %w", err)
	}
	l.woken.Store(false) // before the look at what the waker has left

	l.mu.Lock()
	defer l.mu.Unlock()
	l.working = true
	for _, e := range l.events[:n] {
		l.dispatch(e)
	}
	for _, fn := range l.takeCompleted() {
		fn(l.now())
	}
	l.serve()
	now := l.now()
	for tm := l.timers.pop(now); tm != nil; tm = l.timers.pop(now) {
		tm.fire(now)
	}
	busy := l.o.BeforeSleep(now)
	l.arm()
	l.working = false
	// After work there is often more by now: a second look costs less than a sleep.
	return n == 0 && !busy && !l.o.BusyPoll && len(l.ready) == 0 && len(l.completed) == 0, nil
}

// dispatch notes what the kernel says of one descriptor.
func (l *loop) dispatch(e unix.EpollEvent) {
	if s := l.sockets[e.Fd]; s != nil && s.serial == e.Pad {
		s.noted(e.Events)
		l.queue(s)
		return
	}
	if ln := l.listeners[e.Fd]; ln != nil && ln.serial == e.Pad {
		l.schedule(&ln.timer, l.now())
		return
	}
	if int(e.Fd) == l.clock {
		l.armed = never
	}
}

func (l *loop) takeCompleted() []func(int64) {
	taken := l.completed
	l.completed = nil
	return taken
}

// serve gives each socket that is ready a turn. Those that are not done then, or
// come meanwhile, have the next one after another look at the poller.
func (l *loop) serve() {
	since := l.now()
	round := l.ready
	l.ready = l.spare[:0]
	for i, s := range round {
		round[i] = nil
		s.queued = false
		s.turn(l.now())
		if now := l.now(); now-since > int64(lockHoldMax) {
			l.mu.Unlock() // working stays true: this turn is not over
			l.mu.Lock()
			since = now
		}
	}
	l.spare = round
}

// end closes all, waits for the last words to be read, and joins.
func (l *loop) end() error {
	l.mu.Lock()
	l.over = true
	l.stop()
	for _, ln := range l.listeners {
		ln.close()
	}
	for _, d := range slices.Clone(l.dials) {
		d.finish(nil, errStopped)
	}
	for _, s := range l.all() {
		s.close(errStopped)
	}
	l.mu.Unlock()

	l.workers.Wait() // their connections are shut down, their context is done
	err := l.linger(l.now() + int64(endLingerMax))

	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fn := range l.takeCompleted() {
		fn(l.now())
	}
	for _, s := range l.all() {
		s.discard()
	}
	return errors.Join(err, l.closeOwn())
}

// linger waits until no closed socket has unread words, or the time is over.
func (l *loop) linger(until int64) error {
	for {
		l.mu.Lock()
		left := l.lingering
		l.mu.Unlock()
		wait := (until - l.now()) / 1e6
		if left == 0 || wait <= 0 {
			return nil
		}
		n, err := unix.EpollWait(l.poller, l.events, int(wait))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		l.mu.Lock()
		l.working = true
		for _, e := range l.events[:max(0, n)] {
			l.dispatch(e)
		}
		l.serve()
		l.working = false
		l.mu.Unlock()
	}
}

func (l *loop) all() []*socket {
	sockets := make([]*socket, 0, len(l.sockets))
	for _, s := range l.sockets {
		sockets = append(sockets, s)
	}
	return sockets
}
