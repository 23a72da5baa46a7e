package main

import (
	"context"
	"errors"
	"io"
	"time"
)

// errStopped is what a stoppable input returns once its context has ended.
var errStopped = errors.New("stopped")

// stoppable makes reads of stdin end with a context. A read of a pipe or
// terminal cannot be interrupted, so a goroutine does the reading and hands
// chunks over. When the context ends while that goroutine sits in a read, it
// stays there, holding nothing, until the read returns or the process exits:
// it is the one goroutine of this program that is not joined.
type stoppable struct {
	ctx    context.Context
	chunks chan chunk
	free   chan []byte
	now    chunk
	left   []byte
}

type chunk struct {
	buf []byte
	n   int
	err error
}

// handOverMax is how long a chunk that was read may take to be handed over.
const handOverMax = 20 * time.Millisecond

// inputChunks is how many chunks are in circulation: one is read from while
// the other is filled.
const inputChunks = 2

func newStoppable(ctx context.Context, r io.Reader) *stoppable {
	s := &stoppable{ctx: ctx, chunks: make(chan chunk, inputChunks), free: make(chan []byte, inputChunks)}
	for range inputChunks {
		s.free <- make([]byte, inputBufferBytes)
	}
	go s.pump(r)
	return s
}

func (s *stoppable) pump(r io.Reader) {
	for s.ctx.Err() == nil {
		select {
		case buf := <-s.free:
			n, err := r.Read(buf)
			s.chunks <- chunk{buf, n, err} // never blocks: as many places as buffers
			if err != nil {
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// Read returns what was read before the context ended, then errStopped.
func (s *stoppable) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if s.now.err != nil {
			return 0, s.now.err
		}
		if s.now.buf != nil {
			s.free <- s.now.buf
			s.now = chunk{}
		}
		if !s.next() {
			return 0, errStopped
		}
		s.left = s.now.buf[:s.now.n]
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// next waits for a chunk; false when the context ended first. A read that has
// just returned, but has not handed its chunk over yet, looks like one that is
// still blocked, so what may come is waited for a moment longer.
func (s *stoppable) next() bool {
	select {
	case s.now = <-s.chunks:
		return true
	case <-s.ctx.Done():
	}
	grace := time.NewTimer(handOverMax)
	defer grace.Stop()
	select {
	case s.now = <-s.chunks:
		return true
	case <-grace.C:
		return false
	}
}
