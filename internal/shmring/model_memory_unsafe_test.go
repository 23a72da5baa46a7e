//go:build ringmodel

package shmring

import (
	"fmt"
	"unsafe"
)

type pendingStore struct {
	b     []byte
	off   uint64
	v     uint64
	bytes int
}

func wordAt(b []byte, off uint64) uintptr { return uintptr(unsafe.Pointer(&b[off&^7])) }

func (m *machine) where(b []byte) uint64 {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	for i, have := range m.bases {
		if have == base {
			return uint64(i)
		}
	}
	m.bases = append(m.bases, base)
	return uint64(len(m.bases) - 1)
}

// private words are of no interest to any other thread of a run: no step.
func (m *machine) private(b []byte, off uint64) bool {
	if uintptr(unsafe.Pointer(unsafe.SliceData(b))) == m.data {
		stats := off >= producersOff && off < syncOff && (off-producersOff)%producerSlotBytes >= psGeneration
		return stats || m.quiet != nil && m.quiet(off)
	}
	return off >= cuPosition && off <= cuChecksum
}

func (m *machine) load(b []byte, off uint64, bytes int) uint64 {
	t := m.cur
	if !m.private(b, off) {
		t.point()
		t.read = append(t.read, wordAt(b, off))
	}
	v := rawLoad(b, off, bytes)
	for _, p := range t.buffer { // the newest own store to this word, if any
		if &p.b[0] == &b[0] && p.off == off {
			v = p.v
		}
	}
	t.hist = mix(t.hist, 1, off, v)
	t.note("load", b, off, v)
	return v
}

func (m *machine) store(b []byte, off uint64, v uint64, bytes int, fence bool) {
	t := m.cur
	if !m.private(b, off) {
		t.point()
	}
	if m.quiet != nil && m.quiet(off) && uintptr(unsafe.Pointer(&b[0])) == m.data {
		m.broken("%s stores to word %#x, which the scenario calls constant", t.name, off)
	}
	t.hist = mix(t.hist, 2)
	t.note("store", b, off, v)
	if m.buffered && !fence {
		t.buffer = append(t.buffer, pendingStore{b, off, v, bytes})
		return
	}
	t.flushAll()
	m.write(pendingStore{b, off, v, bytes})
}

func (m *machine) update(b []byte, off uint64, bytes int, f func(uint64) uint64) uint64 {
	t := m.cur
	t.point()
	t.flushAll()
	t.read = append(t.read, wordAt(b, off))
	old := rawLoad(b, off, bytes)
	t.hist = mix(t.hist, 3, old)
	t.note("update", b, off, f(old))
	m.write(pendingStore{b, off, f(old), bytes})
	return old
}

func (m *machine) write(p pendingStore) {
	if m.private(p.b, p.off) {
		rawStore(p.b, p.off, p.v, p.bytes)
		return
	}
	granule, mem := p.off&^7, m.where(p.b)
	before := rawLoad(p.b, granule, 8)
	rawStore(p.b, p.off, p.v, p.bytes)
	after := rawLoad(p.b, granule, 8)
	if before != after {
		m.hash ^= mix(0, mem, granule, before) ^ mix(0, mem, granule, after)
		m.changed(wordAt(p.b, p.off))
	}
}

func (t *thread) flushOne() {
	p := t.buffer[0]
	t.buffer = t.buffer[1:]
	t.m.write(p)
}

func (t *thread) flushAll() {
	for len(t.buffer) > 0 {
		t.flushOne()
	}
}

func (m *machine) futexWait(b []byte, off uint64, value uint32) {
	t := m.cur
	t.point()
	t.flushAll()
	t.note("futex wait", b, off, uint64(value))
	if uint32(rawLoad(b, off, 4)) == value {
		t.state, t.futex = threadAsleep, uintptr(unsafe.Pointer(&b[off]))
		t.point()
	}
	t.hist = mix(t.hist, 4)
}

func (m *machine) futexWake(b []byte, off uint64) {
	t := m.cur
	t.point()
	t.flushAll()
	for _, other := range m.threads {
		if other.state == threadAsleep && other.futex == uintptr(unsafe.Pointer(&b[off])) {
			other.state = threadReady
		}
	}
	t.hist = mix(t.hist, 5)
	t.note("futex wake", b, off, 0)
}

func (m *machine) membarrier() {
	m.cur.point()
	for _, t := range m.threads {
		t.flushAll()
	}
	m.cur.hist = mix(m.cur.hist, 6)
}

// note logs an access, in the replay of a failure.
func (t *thread) note(what string, b []byte, off, v uint64) {
	if t.m.logging && !t.m.private(b, off) {
		t.m.log = append(t.m.log, fmt.Sprintf("%s %s %d:%#x %#x", t.name, what, t.m.where(b), off, v))
	}
}
