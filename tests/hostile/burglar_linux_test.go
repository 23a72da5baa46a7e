package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// way is one way for a reader to get at what it was not lent.
type way struct {
	name string
	try  func(b *burglar) error // nil: it got in
}

// burglar is a reader of another user.
type burglar struct {
	*lent
	dir                      string // of the ring
	daemon, producer, reader int    // pids
}

// ways are all that the kernel has. Those by mmap, mprotect, write, ftruncate,
// fchmod, names and /proc/PID are in tests/e2e (TestReaderCannotWrite), too; here they
// come in other forms.
var ways = []way{
	{"open /proc/self/fd O_WRONLY", func(b *burglar) error { return openAgain(b.dataFile(), os.O_WRONLY) }},
	{"open /proc/self/fd O_RDWR|O_TRUNC", func(b *burglar) error { return openAgain(b.dataFile(), os.O_RDWR|os.O_TRUNC) }},
	{"open /proc/thread-self/fd", func(b *burglar) error {
		return opened(fmt.Sprintf("/proc/thread-self/fd/%d", b.dataFile().Fd()), os.O_RDWR)
	}},
	{"open /dev/fd", func(b *burglar) error { return opened(fmt.Sprintf("/dev/fd/%d", b.dataFile().Fd()), os.O_RDWR) }},
	{"open the mapping by map_files", func(b *burglar) error { return openMapFiles() }},
	{"fcntl F_SETFL O_RDWR", func(b *burglar) error {
		if _, err := unix.FcntlInt(b.dataFile().Fd(), unix.F_SETFL, unix.O_RDWR); err != nil {
			return err
		}
		_, err := b.dataFile().WriteAt([]byte{0}, 0)
		return err
	}},
	{"fcntl F_ADD_SEALS on the data", func(b *burglar) error {
		_, err := unix.FcntlInt(b.dataFile().Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
		return err
	}},
	{"fcntl F_SETLEASE on the data", func(b *burglar) error {
		_, err := unix.FcntlInt(b.dataFile().Fd(), unix.F_SETLEASE, unix.F_WRLCK)
		return err
	}},
	{"write", func(b *burglar) error { _, err := b.dataFile().Write([]byte{0}); return err }},
	{"pwritev2", func(b *burglar) error {
		_, err := unix.Pwritev2(int(b.dataFile().Fd()), [][]byte{{0}}, 0, 0)
		return err
	}},
	{"sendfile", func(b *burglar) error {
		_, err := unix.Sendfile(int(b.dataFile().Fd()), int(b.pageFile().Fd()), new(int64), 8)
		return err
	}},
	{"copy_file_range", func(b *burglar) error {
		_, err := unix.CopyFileRange(int(b.pageFile().Fd()), new(int64), int(b.dataFile().Fd()), new(int64), 8, 0)
		return err
	}},
	{"splice", func(b *burglar) error { return spliceInto(b.dataFile()) }},
	{"fallocate", func(b *burglar) error { return unix.Fallocate(int(b.dataFile().Fd()), 0, 0, 1<<30) }},
	{"fchown", func(b *burglar) error { return unix.Fchown(int(b.dataFile().Fd()), os.Getuid(), -1) }},
	{"fchmod the own page", func(b *burglar) error { return unix.Fchmod(int(b.pageFile().Fd()), 0o666) }},
	{"futimens", func(b *burglar) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", b.dataFile().Fd()), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0)
	}},
	{"fsetxattr", func(b *burglar) error { return unix.Fsetxattr(int(b.dataFile().Fd()), "user.x", []byte("x"), 0) }},
	{"linkat by descriptor", func(b *burglar) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", b.dataFile().Fd()), unix.AT_FDCWD, "/dev/shm/brokerd-test-stolen", unix.AT_SYMLINK_FOLLOW)
	}},
	{"unlink", func(b *burglar) error { return unix.Unlink(filepath.Join(b.dir, "data")) }},
	{"rename the ring", func(b *burglar) error { return unix.Rename(b.dir, b.dir+"-stolen") }},
	{"make a ring by hand", func(b *burglar) error { return unix.Mkdir(b.dir+"-mine", 0o700) }},
	{"inotify", func(b *burglar) error {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.InotifyAddWatch(fd, filepath.Join(b.dir, "data"), unix.IN_MODIFY)
		return err
	}},
	{"mprotect", func(b *burglar) error { return unix.Mprotect(b.data[:pageBytes], unix.PROT_READ|unix.PROT_WRITE) }},
	{"mremap and mprotect", func(b *burglar) error {
		copied, err := unix.Mmap(int(b.dataFile().Fd()), 0, pageBytes, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		if copied, err = unix.Mremap(copied, 2*pageBytes, unix.MREMAP_MAYMOVE); err != nil {
			return err
		}
		defer func() { _ = unix.Munmap(copied) }()
		return unix.Mprotect(copied, unix.PROT_WRITE)
	}},
	{"madvise MADV_REMOVE", func(b *burglar) error { return unix.Madvise(b.data[:pageBytes], unix.MADV_REMOVE) }},
	{"write by /proc/self/mem", func(b *burglar) error { return writeSelfMem(b.data) }},
	{"map a longer page", func(b *burglar) error {
		m, err := unix.Mmap(int(b.pageFile().Fd()), pageBytes, pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Munmap(m) }()
		return errNothingThere // a page of its own file, behind the end: no one else's
	}},
	{"ptrace the daemon", func(b *burglar) error { return unix.PtraceSeize(b.daemon) }},
	{"ptrace the producer", func(b *burglar) error { return unix.PtraceSeize(b.producer) }},
	{"ptrace the other reader", func(b *burglar) error { return unix.PtraceSeize(b.reader) }},
	{"process_vm_writev the daemon", func(b *burglar) error { return vmWrite(b.daemon) }},
	{"process_vm_writev the producer", func(b *burglar) error { return vmWrite(b.producer) }},
	{"process_vm_readv the daemon", func(b *burglar) error { return vmRead(b.daemon) }},
	{"pidfd_getfd of the daemon", func(b *burglar) error { return stealFDs(b.daemon) }},
	{"pidfd_getfd of the producer", func(b *burglar) error { return stealFDs(b.producer) }},
	{"pidfd_getfd of the other reader", func(b *burglar) error { return stealFDs(b.reader) }},
	{"list the daemon's descriptors", func(b *burglar) error { _, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.daemon)); return err }},
	{"kill the daemon", func(b *burglar) error { return unix.Kill(b.daemon, unix.SIGKILL) }},
	{"stop the producer", func(b *burglar) error { return unix.Kill(b.producer, unix.SIGSTOP) }},
	{"hang up the daemon", func(b *burglar) error { return unix.Kill(b.daemon, unix.SIGHUP) }},
	{"setpriority of the daemon", func(b *burglar) error { return unix.Setpriority(unix.PRIO_PROCESS, b.daemon, 19) }},
	{"prlimit of the daemon", func(b *burglar) error {
		return unix.Prlimit(b.daemon, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: 1}, nil)
	}},
}

// errNothingThere: it is allowed, and reaches nothing.
var errNothingThere = errors.New("nothing of anybody else's")

// breakIn is a role. Arguments: socket, ring, its folder, pids of daemon, producer and
// another reader. It prints how many ways it tried.
func breakIn(args []string) error {
	l, err := attachRaw(args[0], wire.AttachIn{Ring: args[1], Role: wire.RoleConsumer, Name: "burglar"})
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	b := &burglar{lent: l, dir: args[2]}
	for i, pid := range []*int{&b.daemon, &b.producer, &b.reader} {
		if *pid, err = strconv.Atoi(args[3+i]); err != nil {
			return err
		}
	}
	before := bytes.Clone(l.data[:offState])
	for _, w := range ways {
		if err := w.try(b); err == nil {
			return fmt.Errorf("%s: it got in", w.name)
		}
	}
	if !bytes.Equal(before, l.data[:offState]) {
		return errors.New("the header of the ring has changed")
	}
	fmt.Println(len(ways))
	return nil
}

func openAgain(f *os.File, flags int) error {
	return opened(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags)
}

func opened(path string, flags int) error {
	f, err := os.OpenFile(path, flags, 0)
	if err == nil {
		_ = f.Close()
	}
	return err
}

// openMapFiles opens every mapped file of this process to write, and fails as all do.
func openMapFiles() error {
	list, err := os.ReadDir("/proc/self/map_files")
	if err != nil {
		return err
	}
	err = errNothingThere
	for _, e := range list {
		target, lerr := os.Readlink("/proc/self/map_files/" + e.Name())
		if lerr != nil || filepath.Base(target) != "data" {
			continue
		}
		if err = opened("/proc/self/map_files/"+e.Name(), os.O_RDWR); err == nil {
			return nil
		}
	}
	return err
}

func spliceInto(f *os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write(make([]byte, 8)); err != nil {
		return err
	}
	_, err = unix.Splice(int(r.Fd()), nil, int(f.Fd()), new(int64), 8, 0)
	return err
}

func vmRead(pid int) error {
	buf := make([]byte, 8)
	_, err := unix.ProcessVMReadv(pid, []unix.Iovec{iovec(buf)}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	return err
}

func vmWrite(pid int) error {
	buf := make([]byte, 8)
	_, err := unix.ProcessVMWritev(pid, []unix.Iovec{iovec(buf)}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	return err
}

func iovec(b []byte) (v unix.Iovec) {
	v.Base = &b[0]
	v.SetLen(len(b))
	return v
}

func stealFDs(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for fd := range 64 {
		var got int
		if got, err = unix.PidfdGetfd(pidfd, fd, 0); err == nil {
			_ = unix.Close(got)
			return nil
		}
		if !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return err
}

// TestBurglar lets a reader of another user try every way to more than it was lent.
func TestBurglar(t *testing.T) {
	harness.NeedRoot(t, "to attach as another user")
	p := harness.NewPlace(t, binaries, guestRing)
	d := p.Start()
	reader := harness.Launch(t, role(p, "good reader", "good", harness.Patience))
	reader.WaitSaid(sayReady)
	feed := harness.Launch(t, role(p, "good feed", "good", 2*time.Second))
	feed.WaitSaid(sayReady)
	b := harness.Launch(t, harness.AsUser(role(p, "burglar", "good", filepath.Join(p.Dir, "good"), d.PID(), feed.PID(), reader.PID()), guestUID, guestUID))
	b.Expect(0)
	var n int
	lastLine(t, b, &n)
	feed.Expect(0)
	reader.Expect(0)
	wantSome(t, reader)
	wantUnhurt(t, d)
	fmt.Printf("counts: hostile: %d further ways for a reader of uid %d to what it was not lent, none open\n", n, guestUID)
}

// writeSelfMem writes into the own read-only mapping by /proc/self/mem, which for
// private mappings passes over their protection.
func writeSelfMem(m []byte) error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	var at int64
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "/good/data") {
			if at, err = strconv.ParseInt(line[:strings.IndexByte(line, '-')], 16, 64); err != nil {
				return err
			}
		}
	}
	f, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(m[offState:offState+8], at+offState)
	return err
}

// inherit is a role: of a process that is handed what a reader was lent, as its
// descriptors 3 and 4.
func inherit(args []string) error {
	data, page := os.NewFile(3, "data"), os.NewFile(4, "page")
	view, err := unix.Mmap(int(data.Fd()), 0, pageBytes, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := unix.Munmap(view); err != nil {
		return err
	}
	if _, err := unix.Mmap(int(data.Fd()), 0, pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("map to write: %w, want EACCES", err)
	}
	if err := openAgain(data, os.O_RDWR); !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("open again to write: %w, want EACCES", err)
	}
	if err := openAgain(data, os.O_RDONLY); !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("open again to read: %w, want EACCES", err)
	}
	if err := unix.Ftruncate(int(page.Fd()), pageBytes); err != nil {
		return fmt.Errorf("write to the page: %w", err)
	}
	fmt.Println("read data, wrote page, no more")
	return nil
}
