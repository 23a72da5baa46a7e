package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
)

// source always has more to send, as a link has: a header and a body.
type source struct {
	quiet
	header, body []byte
	at           int
	left         int
}

func (s *source) output() [][]byte {
	if s.left <= 0 {
		return nil
	}
	if s.at < len(s.header) {
		return [][]byte{s.header[s.at:], s.body}
	}
	return [][]byte{s.body[s.at-len(s.header):]}
}

func (s *source) sent(n int) error {
	s.left -= n
	s.at += n
	if s.at >= len(s.header)+len(s.body) {
		s.at -= len(s.header) + len(s.body)
	}
	return nil
}

// sink lets bodies land.
type sink struct {
	quiet
	place      []byte
	got, until int
	done       chan struct{}
}

func (s *sink) direct() []byte { return s.place }
func (s *sink) landed(_ int64, n int) error {
	s.take(n)
	return nil
}

func (s *sink) input(_ int64, p []byte) error {
	s.take(len(p))
	return nil
}

func (s *sink) take(n int) {
	s.got += n
	if s.got >= s.until && s.got-n < s.until {
		close(s.done)
	}
}

const benchBody = 256 << 10

// BenchmarkStream is what a stream of large frames moves between two loops, and
// between two goroutines that block; an operation is a frame.
func BenchmarkStream(b *testing.B) {
	ca := newAuthority(b, "lab")
	server, client := ca.issue(time.Hour, "server"), ca.issue(time.Hour, "client")
	for _, name := range []string{"plain", "tls"} {
		b.Run("loops/"+name, func(b *testing.B) {
			total := b.N * (benchBody + 48)
			near, far := newLoopRig(b, loopOptions{Log: zap.NewNop()}), newLoopRig(b, loopOptions{Log: zap.NewNop()})
			in := &sink{place: make([]byte, benchBody), until: total, done: make(chan struct{})}
			o := listenOptions{Plain: name == "plain", Accept: func(s *socket) session {
				s.authenticated()
				in.quiet = *newQuiet(s)
				return in
			}}
			d := dialOptions{ServerName: "server"}
			if name == "tls" {
				o.Certs, d.Certs = server.load(ca), client.load(ca)
			}
			d.Address, _ = far.listen(o)
			b.SetBytes(benchBody + 48)
			b.ReportAllocs()
			d.Done = func(s *socket, err error) session {
				if err != nil {
					b.Error(err)
				}
				b.ResetTimer()
				return &source{quiet: *newQuiet(s), header: make([]byte, 48), body: make([]byte, benchBody), left: total}
			}
			near.with(func() { near.l.dial(d) })
			<-in.done
			b.StopTimer()
		})
		b.Run("blocking/"+name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			done := make(chan error)
			go func() {
				conn, err := ln.Accept()
				if err == nil && name == "tls" {
					config := server.config("")
					conn = tls.Server(conn, config)
				}
				p := make([]byte, benchBody)
				for err == nil {
					_, err = conn.Read(p)
				}
				if errors.Is(err, io.EOF) {
					err = nil
				}
				done <- err
			}()
			var conn io.WriteCloser
			raw, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			conn = raw
			if name == "tls" {
				secret := tls.Client(raw, client.config("server"))
				if err := secret.Handshake(); err != nil {
					b.Fatal(err)
				}
				conn = secret
			}
			p := make([]byte, benchBody+48)
			b.SetBytes(benchBody + 48)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := conn.Write(p); err != nil {
					b.Fatal(err)
				}
			}
			_ = conn.Close()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkEcho is the round trip of 64 bytes to a loop and back, and to a
// goroutine that blocks.
func BenchmarkEcho(b *testing.B) {
	echo := func(b *testing.B, conn net.Conn) {
		p := make([]byte, 64)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if _, err := conn.Write(p); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, p); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
	}
	for _, busy := range []bool{false, true} {
		b.Run(map[bool]string{false: "loop", true: "busy"}[busy], func(b *testing.B) {
			r := newLoopRig(b, loopOptions{Log: zap.NewNop(), BusyPoll: busy})
			address, _ := r.listen(listenOptions{})
			conn := connect(b, address, nil)
			_ = conn.SetDeadline(time.Time{})
			echo(b, conn)
		})
	}
	b.Run("blocking", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = ln.Close() }()
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(onlyWriter{conn}, onlyReader{conn}) // no splice
			_ = conn.Close()
		}()
		conn := connect(b, ln.Addr().String(), nil)
		_ = conn.SetDeadline(time.Time{})
		echo(b, conn)
		_ = conn.Close()
	})
}

type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
