package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

type loopOptions struct {
	Log      *zap.Logger
	BusyPoll bool // never sleep
	// DeadAfter is about how long a silent peer lives before the kernel asks for
	// it; 0 for deadAfterDefault. It holds for sockets made later.
	DeadAfter time.Duration
	// BeforeSleep is called with the lock held at the end of each turn; while it
	// says busy the loop does not sleep. May be nil.
	BeforeSleep func(now int64) (busy bool)
}

// loop moves bytes between sockets and sessions. One goroutine, run, waits for
// the kernel without the lock and works with it; others may work with sockets as
// long as they hold the lock.
//
// Everything is registered once and edge triggered, for both directions: so a
// socket costs no further call of the poller however it goes, and what is not
// drained stays in the list ready, which also gives each its turn.
type loop struct {
	mu    sync.Mutex // the gateway's lock: all of sockets, sessions, and what follows
	o     loopOptions
	start time.Time

	// Descriptors of the loop, closed at the end of run.
	poller int
	clock  int      // timerfd
	waker  *os.File // eventfd; a file, because wake may come after its end
	woken  atomic.Bool

	sockets    map[int32]*socket   // by descriptor
	listeners  map[int32]*listener // by descriptor
	serial     int32               // of the newest descriptor: tells a late event of its predecessor
	waiting    waitingRoom
	lingering  int
	socketsMax int // of those that come in

	ready     []*socket         // have something to do, whatever the poller says
	spare     []*socket         // the memory of the last such list
	dials     []*dialing        // not done yet
	completed []func(now int64) // results of goroutines
	timers    timers
	armed     int64 // when the clock goes off
	beat      timer
	working   bool // the loop's goroutine is in its turn, and will see what is changed
	over      bool // run has ended or is about to

	incoming, outgoing *handshakes
	resolver           net.Resolver
	background         context.Context // of resolvers
	stop               context.CancelFunc
	workers            sync.WaitGroup // resolvers and handshakes; joined by run

	events []unix.EpollEvent
	direct [2][]byte // what a read fills, while it does
	buffer []byte    // receiveBytesMax
	cipher []byte    // receiveBytesMax, of what TLS is to decrypt
	seals  sync.Pool // *[]byte with room for sealBytesMax of plain text, encrypted
	gather []byte    // recordBytesMax
}

// newLoop returns a loop whose run must be called: it frees everything.
func newLoop(o loopOptions) (*loop, error) {
	if o.DeadAfter == 0 {
		o.DeadAfter = deadAfterDefault
	}
	if o.BeforeSleep == nil {
		o.BeforeSleep = func(int64) bool { return false }
	}
	l := &loop{
		o: o, start: time.Now(), poller: -1, clock: -1, armed: never,
		sockets: map[int32]*socket{}, listeners: map[int32]*listener{},
		resolver: net.Resolver{PreferGo: true}, // the other one cannot be stopped
		events:   make([]unix.EpollEvent, eventsMax),
		buffer:   make([]byte, receiveBytesMax),
		cipher:   make([]byte, receiveBytesMax),
		gather:   make([]byte, 0, recordBytesMax),
	}
	l.seals.New = func() any {
		p := make([]byte, 0, sealBytesMax+sealBytesMax/8)
		return &p
	}
	crypto := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	l.incoming = &handshakes{l: l, perAddressMax: handshakesPerAddressMax, crypto: crypto}
	l.outgoing = &handshakes{l: l, perAddressMax: handshakesMax, crypto: crypto}
	l.background, l.stop = context.WithCancel(context.Background())
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		l.stop()
		return nil, os.NewSyscallError("getrlimit", err)
	}
	l.socketsMax = unreserved(int(min(files.Cur, math.MaxInt32)))
	if err := l.open(); err != nil {
		l.stop()
		return nil, errors.Join(fmt.Errorf("epoll loop: %w", err), l.closeOwn())
	}
	return l, nil
}

// unreserved is what anybody may take of n.
func unreserved(n int) int { return n - n/reservedPart }

func (l *loop) open() (err error) {
	if l.poller, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if l.clock, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	waker, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	l.waker = os.NewFile(uintptr(waker), "waker of the gateway")
	// Edge triggered, neither has ever to be read.
	return errors.Join(l.register(l.clock, 0, unix.EPOLLIN), l.register(waker, 0, unix.EPOLLIN))
}

func (l *loop) register(fd int, serial int32, events uint32) error {
	e := unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(fd), Pad: serial}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.poller, unix.EPOLL_CTL_ADD, fd, &e))
}

func (l *loop) closeOwn() (err error) {
	for _, fd := range []int{l.poller, l.clock} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	if l.waker != nil {
		err = errors.Join(err, l.waker.Close())
	}
	return err
}

// now is the loop's clock: monotonic ns.
func (l *loop) now() int64 { return int64(time.Since(l.start)) }

// wake ends the present or the next wait of the loop. Anybody may call it.
func (l *loop) wake() {
	if !l.woken.Swap(true) {
		// It fails once the loop has ended: then nobody waits.
		_, _ = l.waker.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// complete hands the result of a goroutine to the loop's.
func (l *loop) complete(fn func(now int64)) {
	l.mu.Lock()
	l.completed = append(l.completed, fn)
	l.mu.Unlock()
	l.wake()
}

// queue gives s a turn soon.
func (l *loop) queue(s *socket) {
	if s.queued {
		return
	}
	s.queued = true
	l.ready = append(l.ready, s)
	if !l.working {
		l.wake()
	}
}

// schedule sets a timer. The clock is touched only for one that is due earlier
// than all: going off too early costs less than being set each time.
func (l *loop) schedule(tm *timer, due int64) {
	l.timers.set(tm, due)
	if !l.working {
		l.arm()
	}
}

func (l *loop) arm() {
	due := l.timers.next()
	if due >= l.armed || l.over {
		return
	}
	l.armed = due
	wait := unix.NsecToTimespec(max(1, due-l.now()))
	if err := unix.TimerfdSettime(l.clock, 0, &unix.ItimerSpec{Value: wait}, nil); err != nil {
		l.o.Log.Error("the clock of the gateway cannot be set: timeouts are late", zap.Error(err))
	}
}
