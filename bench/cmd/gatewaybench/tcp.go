package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
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

// tlsConfig is that of dir's certificate, "" for none.
func tlsConfig(dir string) (*tls.Config, error) {
	if dir == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(dir+"/a.pem", dir+"/a-key.pem")
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(dir + "/ca.pem")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s/ca.pem holds no certificate", dir)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ServerName: "a",
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}

// tcpReceive reads a stream to its end: GB/s from the first byte on. args: folder of certificates or "".
func tcpReceive(args []string) (float64, error) {
	config, err := tlsConfig(args[0])
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	ready(l.Addr().String())
	conn, err := l.Accept()
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
	config, err := tlsConfig(args[2])
	if err != nil {
		return 0, err
	}
	var conn net.Conn
	if conn, err = net.Dial("tcp", args[0]); err != nil {
		return 0, err
	}
	if config != nil {
		conn = tls.Client(conn, config)
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

// now is CLOCK_MONOTONIC, which the processes of a host share, in ns.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// tcpHear reads messages of 64 bytes, blocking, and gives the p50 of their age in ns. args[0]: how many.
func tcpHear(args []string) (float64, error) {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	ready(l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		return 0, err
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	fd := int(file.Fd()) // blocking from now on
	if err := unix.SetNonblock(fd, false); err != nil {
		return 0, err
	}
	ages, buf := newAges(count), make([]byte, payloadBytes)
	for range count {
		for got := 0; got < len(buf); {
			n, err := unix.Read(fd, buf[got:])
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return 0, fmt.Errorf("read: %d bytes, %w", n, err)
			}
			got += n
		}
		ages.add(now() - int64(binary.LittleEndian.Uint64(buf)))
	}
	return ages.median(), nil
}

// tcpSay writes args[1] messages to args[0], one each args[2] nanoseconds.
func tcpSay(args []string) (float64, error) {
	conn, err := net.Dial("tcp", args[0])
	if err != nil {
		return 0, err
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	fd, buf := int(file.Fd()), make([]byte, payloadBytes)
	if err := unix.SetNonblock(fd, false); err != nil {
		return 0, err
	}
	ready("")
	return 0, pace(args[1:], func() error {
		binary.LittleEndian.PutUint64(buf, uint64(now()))
		_, err := unix.Write(fd, buf)
		return err
	})
}

// pace calls say args[0] times, at fixed instants args[1] ns apart; one that comes late is not moved.
func pace(args []string, say func() error) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	gap, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	next := now() + 100*gap
	for range count {
		ts := unix.NsecToTimespec(next)
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
		}
		if err := say(); err != nil {
			return err
		}
		next += gap
	}
	return nil
}
