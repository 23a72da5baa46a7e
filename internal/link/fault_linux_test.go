package link

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// truncatedSink places into a mapping whose file was truncated.
type truncatedSink struct {
	memorySink
	memory []byte
}

func (s *truncatedSink) Place(position uint64, n int) ([]byte, error) { return s.memory[:n-16], nil }

func newTruncatedSink(t *testing.T) *truncatedSink {
	t.Helper()
	const size = 64 << 10
	file, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	err = file.Truncate(size)
	memory, mapErr := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, mapErr, file.Truncate(0), file.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	return &truncatedSink{memorySink{limit: size}, memory}
}

// TestSinkFaults: memory that is gone while a frame is put into it ends the
// stream, not the connection, and the rest of the frame is skipped.
func TestSinkFaults(t *testing.T) {
	frame := data(1, 5, 0, 0, 1, 16<<10)
	const head = wire.LinkDataHeaderBytes + firstBytes
	for name, rest := range map[string]func(p *pair) error{
		"copied": func(p *pair) error { return p.dialer.Input(0, frame[head:]) },
		"received": func(p *pair) error {
			return errors.Join(p.dialer.Landed(0, 8000), p.dialer.Input(0, frame[head+8000:]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 0)
			p.receiving(newTruncatedSink(t))
			p.give(frame[:head])
			if p.dialer.Direct() == nil {
				t.Fatal("the rest of a large frame is not received directly")
			}
			if err := rest(p); err != nil {
				t.Fatal(err)
			}
			if e := p.expect(p.dialer, EventEnd); !errors.Is(e.Err, shmring.ErrFault) {
				t.Fatalf("the stream ended with %v", e.Err)
			}
			p.give(wire.LinkEndFrame{Stream: 1}.Append(nil))
			p.receiving(&memorySink{limit: 1024})
		})
	}
}
