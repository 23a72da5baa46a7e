package unixconn

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

// FuzzReadMessage sends bytes in chunks of any sizes, some with a file, and
// checks what is read against bytes.Split. Of sizes, the low 7 bits of each byte
// are the size of a chunk, the high bit gives it a file.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("one\x00two\x00thr"), []byte{3, 1, 0x85, 2})
	f.Add([]byte("\x00\x00\x00"), []byte{0x81, 0x82})
	f.Add(bytes.Repeat([]byte("x"), 200), []byte{})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		const bytesMax = 100
		if len(stream) > 4096 {
			stream = stream[:4096]
		}
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = null.Close() }()
		a, b := pair(t)
		sent := send(t, a, stream, sizes, null)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		parts := bytes.Split(stream, []byte{0})
		messages, rest := parts[:len(parts)-1], parts[len(parts)-1]
		received := 0
		for _, want := range messages {
			msg, files, err := b.ReadMessage(ReadOptions{BytesMax: bytesMax, WantFiles: true})
			if len(want) > bytesMax {
				if !errors.Is(err, ErrMessageTooLarge) {
					t.Fatalf("a message of %d bytes: %v", len(want), err)
				}
				return
			}
			if err != nil || !bytes.Equal(msg, want) {
				t.Fatalf("got %q, %v; want %q", msg, err, want)
			}
			received += len(files)
			CloseFiles(files)
		}
		want := io.EOF
		if len(rest) > 0 {
			want = io.ErrUnexpectedEOF
		}
		if len(rest) > bytesMax {
			want = ErrMessageTooLarge
		}
		if _, _, err := b.ReadMessage(ReadOptions{BytesMax: bytesMax, WantFiles: true}); !errors.Is(err, want) {
			t.Fatalf("at the end: %v, want %v", err, want)
		}
		for _, left := range b.inbox.arrived {
			received += len(left.files)
		}
		if len(rest) <= bytesMax && received != sent {
			t.Fatalf("%d files came, %d were sent", received, sent)
		}
	})
}

// send returns how many files it sent.
func send(t *testing.T, a *Conn, stream, sizes []byte, file *os.File) (files int) {
	for _, size := range sizes {
		chunk := stream[:min(int(size&0x7f), len(stream))]
		stream = stream[len(chunk):]
		switch {
		case len(chunk) == 0:
		case size&0x80 != 0 && files < FilesMax:
			write(t, a, string(chunk), file)
			files++
		default:
			write(t, a, string(chunk))
		}
	}
	if len(stream) > 0 {
		write(t, a, string(stream))
	}
	return files
}
