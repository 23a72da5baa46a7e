package unixconn

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var withFiles = ReadOptions{BytesMax: 64 << 10, WantFiles: true}

func expectFiles(t *testing.T, c *Conn, want string, wantNumbers ...int) {
	t.Helper()
	msg, files, err := c.ReadMessage(withFiles)
	if err != nil || string(msg) != want {
		t.Fatalf("got %.20q, %v; want %.20q", msg, err, want)
	}
	if got := numbers(t, files); !slices.Equal(got, wantNumbers) {
		t.Fatalf("%.20q came with files %v, want %v", want, got, wantNumbers)
	}
}

func TestFilesRideWithTheirMessage(t *testing.T) {
	checkLeaks(t)
	f1, f2, f3 := numbered(t, 1), numbered(t, 2), numbered(t, 3)
	long := strings.Repeat("x", 50000)
	for _, tt := range []struct {
		name   string
		send   func(a *Conn)
		expect func(b *Conn)
	}{
		{"alone", func(a *Conn) {
			write(t, a, "one\x00", f1, f2)
		}, func(b *Conn) {
			expectFiles(t, b, "one", 1, 2)
		}},
		{"merged with the message before", func(a *Conn) {
			write(t, a, "one\x00")
			write(t, a, "two\x00", f1)
			write(t, a, "three\x00")
		}, func(b *Conn) {
			expectFiles(t, b, "one")
			expectFiles(t, b, "two", 1)
			expectFiles(t, b, "three")
		}},
		{"each its own", func(a *Conn) {
			write(t, a, "one\x00", f1)
			write(t, a, "two\x00", f2)
			write(t, a, "three\x00", f3)
		}, func(b *Conn) {
			expectFiles(t, b, "one", 1)
			expectFiles(t, b, "two", 2)
			expectFiles(t, b, "three", 3)
		}},
		{"with the second half", func(a *Conn) {
			write(t, a, "one\x00tw")
			write(t, a, "o\x00", f1)
		}, func(b *Conn) {
			expectFiles(t, b, "one")
			expectFiles(t, b, "two", 1)
		}},
		{"in two parts", func(a *Conn) {
			write(t, a, "o", f1)
			write(t, a, "ne\x00", f2)
		}, func(b *Conn) {
			expectFiles(t, b, "one", 1, 2)
		}},
		{"a message longer than one read", func(a *Conn) {
			write(t, a, "one\x00")
			write(t, a, long+"\x00", f1)
			write(t, a, "two\x00", f2)
		}, func(b *Conn) {
			expectFiles(t, b, "one")
			expectFiles(t, b, long, 1)
			expectFiles(t, b, "two", 2)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t)
			tt.send(a)
			tt.expect(b)
		})
	}
}

func TestWriteMessageSendsFiles(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	f := numbered(t, 7)
	msg := append([]byte(strings.Repeat("x", 60000)), 0)
	done := make(chan error, 1)
	go func() { done <- a.WriteMessage(msg, []*os.File{f}) }()
	expectFiles(t, b, string(msg[:60000]), 7)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFilesAtAndPastTheLimit(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	f := numbered(t, 7)
	most := slices.Repeat([]*os.File{f}, FilesMax)
	if err := a.WriteMessage([]byte("x\x00"), append(most, f)); !errors.Is(err, ErrTooManyFiles) {
		t.Fatalf("wrote 254 files: %v", err)
	}
	if err := a.WriteMessage([]byte("x\x00"), most); err != nil {
		t.Fatal(err)
	}
	expectFiles(t, b, "x", slices.Repeat([]int{7}, FilesMax)...)

	// A peer can send more with several parts of one message, finished or not.
	write(t, a, "y", most...)
	write(t, a, "y\x00", f)
	expectError(t, b, withFiles, ErrTooManyFiles)

	a, b = pair(t)
	write(t, a, "y", most...)
	write(t, a, "y", f)
	expectError(t, b, withFiles, ErrTooManyFiles)
}

// Of two messages that lie in the inbox each may bear the most files.
func TestFilesOfTwoMessages(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	most := slices.Repeat([]*os.File{numbered(t, 7)}, FilesMax)
	write(t, a, "o", most...)
	write(t, a, "ne\x00")
	write(t, a, "two\x00", most...)
	sevens := slices.Repeat([]int{7}, FilesMax)
	expectFiles(t, b, "one", sevens...)
	expectFiles(t, b, "two", sevens...)
}

// The kernel passes as many descriptors as the limit of the receiver allows and
// says that it lost the others.
func TestLostFilesAreAnError(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	f := numbered(t, 7)
	write(t, a, "x\x00", f, f, f, f)

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowest, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(lowest); err != nil {
		t.Fatal(err)
	}
	lowered := limit
	lowered.Cur = uint64(lowest) + 2
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	_, _, err = b.ReadMessage(withFiles)
	if restore := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); restore != nil {
		t.Fatal(restore)
	}
	if !errors.Is(err, ErrFilesTruncated) {
		t.Errorf("got %v, want ErrFilesTruncated", err)
	}
}

// Files that nobody asked for never arrive.
func TestUnwantedFilesAreDropped(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	before := len(openFiles(t))
	f := numbered(t, 7)
	write(t, a, "x\x00", f, f)
	expect(t, b, small, "x")
	if after := len(openFiles(t)); after != before+1 {
		t.Errorf("%d files open, then %d, of which 1 is the test's", before, after)
	}
}

// Files of a message that never ends are closed with the connection.
func TestPendingFilesAreClosed(t *testing.T) {
	checkLeaks(t)
	a, b := pair(t)
	f := numbered(t, 7)
	write(t, a, "half", f)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.ReadMessage(withFiles); err == nil {
		t.Fatal("read half a message")
	}
	if len(b.inbox.arrived) != 1 {
		t.Fatalf("%d arrivals", len(b.inbox.arrived))
	}
}
