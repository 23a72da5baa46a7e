package unixconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var small = ReadOptions{BytesMax: 16}

func expect(t *testing.T, c *Conn, o ReadOptions, want string) {
	t.Helper()
	msg, files, err := c.ReadMessage(o)
	if err != nil || string(msg) != want || len(files) != 0 {
		t.Fatalf("got %q, %d files, %v; want %q", msg, len(files), err, want)
	}
}

func expectError(t *testing.T, c *Conn, o ReadOptions, want error) {
	t.Helper()
	msg, files, err := c.ReadMessage(o)
	if !errors.Is(err, want) || msg != nil || files != nil {
		t.Fatalf("got %q, %d files, %v; want %v", msg, len(files), err, want)
	}
}

func TestMessagesSplitAndMerged(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	write(t, a, "one\x00two\x00\x00thr")
	expect(t, b, small, "one")
	expect(t, b, small, "two")
	expect(t, b, small, "")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, s := range []string{"e", "e", "\x00fo"} {
			if _, err := a.socket.Write([]byte(s)); err != nil {
				t.Error(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	expect(t, b, small, "three")
	expectError(t, b, small, io.ErrUnexpectedEOF)
	<-done
}

func TestMessageAtAndPastTheLimit(t *testing.T) {
	checkLeaks(t)
	for _, bytesMax := range []int{0, 1, 16, idleBytesMax - 1, idleBytesMax, idleBytesMax + 1, 3 * idleBytesMax} {
		o := ReadOptions{BytesMax: bytesMax}
		a, b := pair(t)
		fits := strings.Repeat("x", bytesMax)
		write(t, a, fits+"\x00"+fits+"\x00"+fits+"y\x00rest\x00")
		expect(t, b, o, fits)
		expect(t, b, o, fits)
		expectError(t, b, o, ErrMessageTooLarge)
		expectError(t, b, o, ErrMessageTooLarge)
	}
}

// An endless message is refused when its limit is reached, whatever else the
// peer sends: nothing of it is read on.
func TestTooLargeDoesNotReadOn(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	write(t, a, strings.Repeat("x", 10000))
	expectError(t, b, ReadOptions{BytesMax: 5000}, ErrMessageTooLarge)
	rest, err := socketUnread(b)
	if err != nil || rest != 10000-5001 {
		t.Errorf("%d bytes left unread in the socket, %v; want %d", rest, err, 10000-5001)
	}
}

func socketUnread(c *Conn) (n int, err error) {
	err = control(c.socket, func(fd int) (inner error) {
		n, inner = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return inner
	})
	return n, err
}

func TestLargeMessagesGiveTheirMemoryBack(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	large := append(bytes.Repeat([]byte("x"), 1<<20), 0)
	done := make(chan error, 1)
	go func() { done <- a.WriteMessage(large, nil) }()
	expect(t, b, ReadOptions{BytesMax: 1 << 20}, string(large[:1<<20]))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := cap(b.inbox.buf); c > idleBytesMax {
		t.Errorf("an idle connection keeps %d bytes", c)
	}
}

func TestEndOfConnection(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	write(t, a, "one\x00")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, b, small, "one")
	expectError(t, b, small, io.EOF)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	expectError(t, b, small, net.ErrClosed)
	if err := b.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if err := b.WriteMessage([]byte("x\x00"), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func TestCloseWakesReaderAndWriter(t *testing.T) {
	checkLeaks(t)
	_, b := pair(t)
	reader, writer := make(chan error, 1), make(chan error, 1)
	go func() {
		_, _, err := b.ReadMessage(small)
		reader <- err
	}()
	go func() { writer <- b.WriteMessage(append(bytes.Repeat([]byte("x"), 8<<20), 0), nil) }()
	eventually(t, "the socket is full", func() bool {
		var n int
		err := control(b.socket, func(fd int) (inner error) {
			n, inner = unix.IoctlGetInt(fd, unix.TIOCOUTQ)
			return inner
		})
		return err != nil || n > 50000
	})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, result := range []chan error{reader, writer} {
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	}
}

func TestHalfMessageTimesOut(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	o := ReadOptions{BytesMax: 16, PartialTimeout: 50 * time.Millisecond}
	write(t, a, "one\x00ha")
	expect(t, b, o, "one")
	begin := time.Now()
	expectError(t, b, o, ErrPartialTimeout)
	if took := time.Since(begin); took < o.PartialTimeout {
		t.Errorf("timed out after %v", took)
	}
	// Bytes that trickle in do not win time.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for range 10 {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := a.socket.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	expectError(t, b, o, ErrPartialTimeout)
	close(stop)
	<-stopped
}

// The clock of a message does not run while the connection is idle, and is
// stopped when the message is complete.
func TestIdleIsNeverTimed(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	o := ReadOptions{BytesMax: 16, PartialTimeout: 200 * time.Millisecond}
	write(t, a, "ha")
	got := make(chan string, 2)
	go func() {
		defer close(got)
		for range 2 {
			msg, _, err := b.ReadMessage(o)
			if err != nil {
				t.Error(err)
				return
			}
			got <- string(msg)
		}
	}()
	eventually(t, "the first half is read", func() bool { n, err := socketUnread(b); return err == nil && n == 0 })
	write(t, a, "lf\x00")
	if s := <-got; s != "half" {
		t.Fatalf("got %q", s)
	}
	select {
	case s, ok := <-got:
		t.Fatalf("got %q, %v while idle", s, ok)
	case <-time.After(2 * o.PartialTimeout):
	}
	write(t, a, "late\x00")
	if s := <-got; s != "late" {
		t.Fatalf("got %q", s)
	}
}

func TestReadDeadline(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	o := ReadOptions{BytesMax: 16, PartialTimeout: time.Hour}
	write(t, a, "ha")
	done := make(chan error, 1)
	go func() {
		_, _, err := b.ReadMessage(o)
		done <- err
	}()
	eventually(t, "the first half is read", func() bool { n, err := socketUnread(b); return err == nil && n == 0 })
	if err := b.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	err := <-done
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrPartialTimeout) {
		t.Fatalf("got %v", err)
	}
	if err := b.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if !b.partial.IsZero() {
		t.Error("the clock of the message runs on between two calls")
	}
	write(t, a, "lf\x00")
	expect(t, b, o, "half")
	if err := b.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteMessage([]byte("x\x00"), nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write past its deadline: %v", err)
	}
}

func TestWriteMessageRefuses(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	for _, msg := range []string{"", "x", "x\x00y", "x\x00y\x00", "\x00\x00"} {
		if err := a.WriteMessage([]byte(msg), nil); !errors.Is(err, ErrUnterminated) {
			t.Errorf("%q: %v", msg, err)
		}
	}
	f := numbered(t, 1)
	closed := numbered(t, 2)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteMessage([]byte("x\x00"), []*os.File{f, closed}); err == nil || !strings.Contains(err.Error(), "2 of 2") {
		t.Errorf("a closed file: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	expectError(t, b, small, io.EOF) // nothing was sent
}
