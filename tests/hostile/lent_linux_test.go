package hostile

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// lent is an attachment with all that it was lent in hand: the descriptors, and the
// files mapped as docs/MEMORY_LAYOUT.md says.
type lent struct {
	raw   *harness.Raw
	out   wire.AttachOut
	files []*os.File
	data  []byte   // writable for a producer
	pages [][]byte // writable for a consumer, who has one
}

// attachRaw attaches and maps.
func attachRaw(socket string, in wire.AttachIn) (*lent, error) {
	raw, err := harness.DialRaw(socket)
	if err != nil {
		return nil, err
	}
	l := &lent{raw: raw}
	if l.out, l.files, err = raw.Attach(in); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if err := l.mapAll(in.Role == wire.RoleProducer); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *lent) mapAll(producer bool) (err error) {
	writable, readable := unix.PROT_READ|unix.PROT_WRITE, unix.PROT_READ
	dataProt, pageProt := readable, writable
	if producer {
		dataProt, pageProt = writable, readable
	}
	if l.data, err = mapWhole(l.dataFile(), dataProt); err != nil {
		return err
	}
	for _, i := range l.out.Files.Cursors {
		page, err := mapWhole(l.files[i], pageProt)
		if err != nil {
			return err
		}
		l.pages = append(l.pages, page)
	}
	return nil
}

func mapWhole(f *os.File, prot int) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), prot, unix.MAP_SHARED)
}

func (l *lent) dataFile() *os.File { return l.files[l.out.Files.Data] }

func (l *lent) pageFile() *os.File { return l.files[l.out.Files.Cursors[0]] }

// detach says that nothing of it is used any more.
func (l *lent) detach() error {
	_, err := l.raw.Call(wire.MethodDetach, wire.DetachIn{ID: l.out.Attachment.ID}, nil)
	return err
}

// close lets go of everything.
func (l *lent) close() error {
	for _, m := range append(l.pages, l.data) {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	unixconn.CloseFiles(l.files)
	return l.raw.Close()
}

// again is another descriptor of the same open file, for who closes it.
func again(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// put64 stores a word of a mapping.
func put64(m []byte, off, value uint64) { binary.LittleEndian.PutUint64(m[off:], value) }
