package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the tracer says on its stdout.
const (
	saidReady  = "ready"
	saidKilled = "killed before " // and the name of the call
)

// stderrFD is where the daemon's log goes, which is nothing that anybody depends on.
const stderrFD = 2

// changes names a system call that changes what others can see, "" for any other.
func changes(number uint64, args [6]uint64) string {
	switch number {
	case unix.SYS_OPENAT:
		if args[2]&unix.O_CREAT != 0 {
			return "openat"
		}
	case unix.SYS_MKDIRAT:
		return "mkdirat"
	case unix.SYS_FALLOCATE:
		return "fallocate"
	case unix.SYS_FTRUNCATE:
		return "ftruncate"
	case unix.SYS_PWRITE64:
		return "pwrite64"
	case unix.SYS_WRITE:
		if args[0] > stderrFD {
			return "write"
		}
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return "renameat"
	case unix.SYS_UNLINKAT:
		return "unlinkat"
	case unix.SYS_FCHMOD, unix.SYS_FCHMODAT:
		return "fchmod"
	case unix.SYS_SENDMSG:
		return "sendmsg"
	case unix.SYS_MMAP:
		if args[3]&unix.MAP_SHARED != 0 {
			return "mmap"
		}
	}
	return ""
}

// tracer follows the threads of one process.
type tracer struct {
	pid    int
	inside map[int]bool // threads that are in a system call
	steps  int          // so far
}

// trace kills a process right before its step-th call that changes something. It
// returns when that is done, or the process is gone.
func trace(pid, step int) error {
	runtime.LockOSThread() // only the thread that has seized may go on
	t := &tracer{pid: pid, inside: map[int]bool{}}
	if err := t.seizeAll(); err != nil {
		return err
	}
	fmt.Println(saidReady)
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case !status.Stopped():
			delete(t.inside, tid)
			continue
		}
		name, err := t.look(tid, status)
		if err != nil {
			return err
		}
		if name != "" {
			if t.steps++; t.steps == step {
				fmt.Println(saidKilled + name)
				return unix.Kill(pid, unix.SIGKILL)
			}
		}
		if err := t.goOn(tid, status); err != nil {
			return err
		}
	}
}

// seizeAll follows every thread there is. Those that come while it does so come from
// threads that are not followed yet, so it looks until there are no more.
func (t *tracer) seizeAll() error {
	for more := true; more; {
		more = false
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", t.pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				return err
			}
			if _, known := t.inside[tid]; known {
				continue
			}
			if more, err = true, t.seize(tid); err != nil {
				return fmt.Errorf("follow thread %d: %w", tid, err)
			}
		}
	}
	if len(t.inside) == 0 {
		return fmt.Errorf("there is no process %d: %w", t.pid, os.ErrNotExist)
	}
	return nil
}

func (t *tracer) seize(tid int) error {
	err := unix.PtraceSeize(tid)
	if errors.Is(err, unix.EPERM) { // a thread of one that is followed, by its clone
		if _, statErr := os.Stat(fmt.Sprintf("/proc/%d/task/%d", t.pid, tid)); statErr == nil && len(t.inside) > 0 {
			t.inside[tid] = false
			return nil
		}
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err == nil {
		err = unix.PtraceInterrupt(tid)
	}
	if err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(tid, &status, unix.WALL, nil); err != nil {
		return err
	}
	if !status.Stopped() {
		return nil
	}
	t.inside[tid] = false
	if err := unix.PtraceSetOptions(tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE); err != nil {
		return err
	}
	return t.goOn(tid, status)
}

// look names the call that a thread is about to make, if it changes something.
func (t *tracer) look(tid int, status unix.WaitStatus) (string, error) {
	if status.StopSignal() != unix.SIGTRAP|0x80 {
		return "", nil
	}
	if t.inside[tid] = !t.inside[tid]; !t.inside[tid] {
		return "", nil // it comes back from one
	}
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		if errors.Is(err, syscall.ESRCH) {
			return "", nil
		}
		return "", fmt.Errorf("registers of thread %d: %w", tid, err)
	}
	return changes(call(&regs)), nil
}

// goOn lets a stopped thread go on, with the signal that it was stopped by, if that
// is one of its own.
func (t *tracer) goOn(tid int, status unix.WaitStatus) error {
	signal := 0
	event := uint32(status)>>16 != 0
	if s := status.StopSignal(); !event && s != unix.SIGTRAP|0x80 && s != unix.SIGTRAP {
		signal = int(s)
	}
	if err := unix.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("let thread %d go on: %w", tid, err)
	}
	return nil
}
