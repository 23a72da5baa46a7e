package main

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// wakeReference is a bare wake-up: args are how many and the ns between two; one thread sleeps in
// epoll_wait on an eventfd, another writes it at fixed instants. The p50 in ns.
func wakeReference(args []string) (float64, error) {
	efd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return 0, err
	}
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return 0, err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(efd)}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, efd, &event); err != nil {
		return 0, err
	}
	ready("")
	said, failed := make(chan int64, 1<<16), make(chan error, 1)
	ages, word := newAges(1<<16), make([]byte, 8)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		events, buf := make([]unix.EpollEvent, 1), make([]byte, 8)
		for {
			if n, err := unix.EpollWait(epfd, events, -1); err != nil || n != 1 {
				if err == unix.EINTR {
					continue
				}
				failed <- err
				return
			}
			at := now()
			if _, err := unix.Read(efd, buf); err != nil {
				failed <- err
				return
			}
			for range binary.NativeEndian.Uint64(buf) { // writes that came while it was awake
				sent, more := <-said
				if !more {
					return
				}
				ages.add(at - sent)
			}
		}
	}()
	binary.NativeEndian.PutUint64(word, 1)
	err = pace(args, func() error {
		said <- now()
		_, err := unix.Write(efd, word)
		return err
	})
	close(said)
	_, _ = unix.Write(efd, word) // lets the other thread see the end
	<-heard
	select {
	case failure := <-failed:
		return 0, os.NewSyscallError("wake", failure)
	default:
		return ages.median(), err
	}
}
