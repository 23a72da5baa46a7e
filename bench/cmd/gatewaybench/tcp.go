package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// writeBytes is what the bare streams write and read at a time.
const writeBytes = 256 << 10

// tcpReceive reads a stream to its end: GB/s from the first byte on. args: folder of certificates or "".
func tcpReceive(args []string) (float64, error) {
	config, err := tlsConfig(args[0], "a")
	if err != nil {
		return 0, err
	}
	conn, err := acceptOne()
	if err != nil {
		return 0, err
	}
	if config != nil {
		conn = tls.Server(conn, config)
	}
	buf := make([]byte, writeBytes)
	n, err := conn.Read(buf)
	begin, total := time.Now(), 0
	for ; err == nil; n, err = conn.Read(buf) {
		total += n
	}
	if err != io.EOF {
		return 0, err
	}
	return float64(total) / float64(time.Since(begin).Nanoseconds()), nil
}

// tcpSend writes args[1] bytes to args[0]. args[2]: folder of certificates or "".
func tcpSend(args []string) (float64, error) {
	total, err := strconv.Atoi(args[1])
	if err != nil {
		return 0, err
	}
	config, err := tlsConfig(args[2], "a")
	if err != nil {
		return 0, err
	}
	conn, err := dial(args[0], config)
	if err != nil {
		return 0, err
	}
	ready("")
	buf := make([]byte, writeBytes)
	for sent := 0; sent < total; sent += len(buf) {
		if _, err := conn.Write(buf); err != nil {
			return 0, err
		}
	}
	return 0, conn.Close()
}

// tcpHear reads messages of 64 bytes, blocking, and gives the p50 of their age in ns. args[0]: how many.
func tcpHear(args []string) (float64, error) {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return 0, err
	}
	conn, err := acceptOne()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	file, fd, err := blocking(conn)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	ages, buf := newAges(count), make([]byte, payloadBytes)
	for range count {
		for got := 0; got < len(buf); {
			n, err := unix.Read(fd, buf[got:])
			if err == unix.EINTR {
				continue
			}
			if err == nil && n == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return 0, fmt.Errorf("read: %w", err)
			}
			got += n
		}
		ages.add(now() - int64(binary.LittleEndian.Uint64(buf)))
	}
	return ages.median(), nil
}

// tcpSay writes args[1] messages to args[0], one each args[2] nanoseconds.
func tcpSay(args []string) (float64, error) {
	conn, err := dial(args[0], nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	file, fd, err := blocking(conn)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	buf := make([]byte, payloadBytes)
	ready("")
	return 0, pace(args[1:], func() error {
		binary.LittleEndian.PutUint64(buf, uint64(now()))
		_, err := unix.Write(fd, buf)
		return err
	})
}

// blocking is a TCP connection as a descriptor, a duplicate, whose reads and writes block. The file owns it:
// the caller closes that, after the last use of the descriptor.
func blocking(conn net.Conn) (*os.File, int, error) {
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return nil, 0, err
	}
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, fd, nil
}
