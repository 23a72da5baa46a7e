//go:build ringmodel

package shmring

import (
	"fmt"
	"iter"
	"slices"
)

// The model check runs the product's own functions as threads, one access to
// shared memory at a time, and goes through every interleaving of those steps:
// depth first, replaying a schedule where it branches, cutting off where a state
// was seen before. A state is the memory, what waits in store buffers, and of
// each thread the values it has observed since the last point where it described
// its local state (thread.at): the code is deterministic, so that is all, but for
// whether something it has observed changed since: thread.block asks that.

type threadState uint8

const (
	threadReady   threadState = iota
	threadBlocked             // until memory changes
	threadAsleep              // in FUTEX_WAIT
	threadDone
	threadDead
)

type thread struct {
	m        *machine
	name     string
	state    threadState
	killable bool
	starts   func() bool // nil: at once
	began    bool
	next     func() (struct{}, bool)
	stop     func()
	yield    func(struct{}) bool
	hist     uint64
	read     []uintptr   // words, since the last at
	stale    bool        // one of them has changed, or the answer
	asks     func() bool // whether others are done; nil: it does not
	answer   bool        // as of the last at
	futex    uintptr
	remains  func() uint64 // what a death leaves outside of memory; nil: nothing
	buffer   []pendingStore
}

// machine is one run under one schedule.
type machine struct {
	threads   []*thread
	cur       *thread
	buffered  bool // stores wait in a buffer, as on amd64
	quiet     func(off uint64) bool
	data      uintptr
	bases     []uintptr
	hash      uint64
	killsLeft int
	failure   string
	log       []string // of the accesses of one replay
	logging   bool
	enabled   []action
	atEnd     func() error
}

type killed struct{}

func mix(h uint64, vs ...uint64) uint64 {
	for _, v := range vs {
		h = (h ^ v) * 0x9E3779B97F4A7C15
		h ^= h >> 29
		h *= 0xBF58476D1CE4E5B9
		h ^= h >> 32
	}
	return h
}

// fail says that a property of the ring is violated.
func (m *machine) fail(format string, args ...any) { m.stop("violated: "+format, args...) }

// broken says that the scenario is not what it claims to be, or the code panics.
func (m *machine) broken(format string, args ...any) { m.stop("broken: "+format, args...) }

func (m *machine) stop(format string, args ...any) {
	if m.failure == "" {
		m.failure = fmt.Sprintf(format, args...)
	}
}

// spawn adds a thread; starts says when it may begin.
func (m *machine) spawn(name string, killable bool, starts func() bool, body func(t *thread)) *thread {
	t := &thread{m: m, name: name, killable: killable, starts: starts}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(killed); !ok {
					m.broken("%s: panic: %v", name, r)
				}
			}
		}()
		body(t)
		t.point() // what waits in the buffer may still wait
		t.flushAll()
		t.state = threadDone
	})
	m.threads = append(m.threads, t)
	return t
}

// point lets the scheduler choose who goes on.
func (t *thread) point() {
	if !t.yield(struct{}{}) {
		panic(killed{})
	}
}

// at says that label and vs are all of the thread's local state here.
func (t *thread) at(label uint64, vs ...uint64) {
	t.hist = mix(mix(0, label), vs...)
	t.read, t.stale = t.read[:0], false
	t.answer = t.asks != nil && t.asks()
}

// block waits until something has changed that was read since the last call of at.
func (t *thread) block() {
	if !t.stale {
		t.state = threadBlocked
	}
	t.point()
}

// changed tells those who have read a word; who waits looks again.
func (m *machine) changed(word uintptr) {
	for _, t := range m.threads {
		t.stale = t.stale || slices.Contains(t.read, word)
	}
}

// ended tells those who ask whether others are done, if the answer is another one.
func (m *machine) ended() {
	for _, t := range m.threads {
		t.stale = t.stale || t.asks != nil && t.asks() != t.answer
	}
}

type action struct {
	t    *thread
	kind byte // 's' step, 'f' flush one store, 'k' kill
}

func (m *machine) actions() []action {
	as := m.enabled[:0]
	for _, t := range m.threads {
		if t.state == threadBlocked && t.stale {
			t.state = threadReady
		}
		if t.state == threadReady && (t.began || t.starts == nil || t.starts()) {
			as = append(as, action{t, 's'})
		}
	}
	for _, t := range m.threads {
		if len(t.buffer) > 0 {
			as = append(as, action{t, 'f'})
		}
		if t.killable && t.began && t.state < threadDone && m.killsLeft > 0 {
			as = append(as, action{t, 'k'})
		}
	}
	m.enabled = as
	return as
}

func (m *machine) do(a action) {
	switch a.kind {
	case 'f':
		a.t.flushOne()
	case 'k':
		a.t.flushAll() // the hardware drains the buffer of a dead process, too
		a.t.state = threadDead
		a.t.hist = 0 // nobody will ever know
		if a.t.remains != nil {
			a.t.hist = a.t.remains()
		}
		m.killsLeft--
		m.ended()
	default:
		a.t.began = true
		m.cur = a.t
		if _, more := a.t.next(); !more {
			a.t.state = threadDone
			m.ended()
		}
	}
}

func (m *machine) key() uint64 {
	h := mix(m.hash, uint64(m.killsLeft))
	for _, t := range m.threads {
		h = mix(h, t.hist, uint64(t.state), uint64(len(t.buffer)), b2u(t.began), b2u(t.stale && t.state < threadDone))
		for _, p := range t.buffer {
			h = mix(h, m.where(p.b), p.off, p.v)
		}
	}
	return h
}

func (m *machine) close() {
	for _, t := range m.threads {
		t.stop()
	}
}
