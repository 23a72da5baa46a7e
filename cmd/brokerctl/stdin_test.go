package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestStoppableReadsAll(t *testing.T) {
	text := strings.Repeat("0123456789", 3*inputBufferBytes/10)
	got, err := io.ReadAll(newStoppable(t.Context(), strings.NewReader(text)))
	if err != nil || string(got) != text {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(text))
	}
}

// TestStoppableEndsABlockedRead stops while a read of a pipe is under way.
func TestStoppableEndsABlockedRead(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close() // lets the goroutine that reads end
	ctx, cancel := context.WithCancel(t.Context())
	s := newStoppable(ctx, r)
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := s.Read(buf); n != 3 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	done := make(chan error)
	go func() {
		_, err := s.Read(buf)
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, errStopped) {
			t.Fatalf("got %v, want errStopped", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the read goes on")
	}
}

// TestStoppableKeepsWhatWasRead stops after a chunk was read and before it was
// asked for.
func TestStoppableKeepsWhatWasRead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	source := &once{data: "abc", asked: make(chan struct{}), release: make(chan struct{})}
	defer close(source.release)
	s := newStoppable(ctx, source)
	<-source.asked // for the second time, so the first chunk is there
	cancel()
	got, err := io.ReadAll(s)
	if !errors.Is(err, errStopped) || string(got) != "abc" {
		t.Fatalf("got %q, %v; want all that was read, then errStopped", got, err)
	}
}

// once gives data; then it closes asked and blocks until release is closed.
type once struct {
	data           string
	asked, release chan struct{}
}

func (o *once) Read(p []byte) (int, error) {
	if o.data == "" {
		close(o.asked)
		<-o.release
		return 0, io.EOF
	}
	n := copy(p, o.data)
	o.data = ""
	return n, nil
}
