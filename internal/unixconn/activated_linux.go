package unixconn

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// activatedStart is the first descriptor that a service manager passes on.
	activatedStart = 3
	// ActivatedMax is how many descriptors of a service manager Activated takes.
	ActivatedMax = 64
	// unnamed is what a service manager calls a descriptor that has no name.
	unnamed = "unknown"
)

// Activated returns the descriptors that a service manager has passed to the
// process pid, which is the caller, and nil when it has passed none or passed
// them to another process. They are made close-on-exec and belong to the caller,
// so call it once, early; the name of each file is the one that the manager gave
// it. getenv is os.Getenv: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are read as
// sd_listen_fds(3) says, and stay in the environment, where they mean nothing to
// a child, whose pid is another. An error wraps ErrActivation.
func Activated(getenv func(string) string, pid int) ([]*os.File, error) {
	return activated(getenv, pid, activatedStart)
}

func activated(getenv func(string) string, pid, start int) ([]*os.File, error) {
	forPID, count, names := getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES")
	if forPID == "" || count == "" {
		return nil, nil
	}
	meant, err := strconv.Atoi(forPID)
	if err != nil || meant <= 0 {
		return nil, fmt.Errorf("%w: LISTEN_PID is %q, not the number of a process", ErrActivation, forPID)
	}
	if meant != pid {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > ActivatedMax {
		return nil, fmt.Errorf("%w: LISTEN_FDS is %q, expected a number up to %d", ErrActivation, count, ActivatedMax)
	}
	named := strings.Split(names, ":")
	if names != "" && len(named) != n {
		return nil, fmt.Errorf("%w: LISTEN_FDS is %d, LISTEN_FDNAMES has %d names: %q", ErrActivation, n, len(named), names)
	}
	return takeOver(start, n, func(i int) string {
		if names == "" {
			return unnamed
		}
		return named[i]
	})
}

// takeOver owns the n descriptors from start on. It looks at all of them before
// it makes a file of any: what is not open here may be a file of somebody else
// by the time it would be closed.
func takeOver(start, n int, name func(i int) string) ([]*os.File, error) {
	for fd := start; fd < start+n; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("%w: LISTEN_FDS is %d, but descriptor %d: %w", ErrActivation, n, fd, err)
		}
	}
	var files []*os.File
	for i := range n {
		files = append(files, os.NewFile(uintptr(start+i), name(i)))
	}
	return files, nil
}
