package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

const (
	crowdConnections = 1000 // that are open at a time
	crowdMembers     = 1700 // some of whom have just been turned out, or come back
	honestAttaches   = 150
	attachPause      = 10 * time.Millisecond
	dripEvery        = time.Second
	// growthMost bounds what a crowd may make the daemon grow by: a whole call in the
	// buffer of each, a copy of it, and a stack.
	growthMost = crowdMembers * (2*wire.CallBytesMax + 32<<10)
)

// manner is how one of a crowd behaves on a connection. It returns when that ends;
// another one is opened then.
type manner struct {
	name string
	live func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand)
}

var manners = []manner{
	{"half a message", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		_, _ = io.WriteString(conn, `{"method":"io.brokerd.Broker.Attach","parameters":{"ri`)
		rest(conn)
	}},
	{"one byte a second", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		text := `{"method":"io.brokerd.Broker.GetStatus"}` + "\x00"
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			harness.Sleep(ctx, dripEvery)
		}
	}},
	{"silence", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) { rest(conn) }},
	{"a huge call", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		piece := bytes.Repeat([]byte(" "), 16<<10)
		for ctx.Err() == nil {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	}},
	{"almost a huge call", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		_, _ = conn.Write(bytes.Repeat([]byte("["), wire.CallBytesMax-1))
		rest(conn)
	}},
	{"deep nesting", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		_, _ = io.WriteString(conn, `{"method":"io.brokerd.Broker.Stats","parameters":`+strings.Repeat(`{"a":[`, wire.CallBytesMax/8)+"\x00")
		rest(conn)
	}},
	{"descriptors", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		fds := make([]int, 1+rng.IntN(unixconn.FilesMax))
		for i := range fds {
			fds[i] = int(os.Stdin.Fd())
		}
		for ctx.Err() == nil {
			if _, _, err := conn.WriteMsgUnix([]byte(`{"method":"io.brokerd.Broker.ListRings"}`+"\x00"), unix.UnixRights(fds...), nil); err != nil {
				return
			}
			if _, err := conn.Read(make([]byte, 1<<16)); err != nil {
				return
			}
			harness.Sleep(ctx, 100*time.Millisecond)
		}
	}},
	{"calls without end, replies not read", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		call := []byte(`{"method":"io.brokerd.Broker.GetStatus"}` + "\x00")
		for ctx.Err() == nil {
			if _, err := conn.Write(call); err != nil {
				return
			}
		}
	}},
	{"noise", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {
		piece := make([]byte, 512)
		for ctx.Err() == nil {
			for i := range piece {
				piece[i] = byte(rng.Uint32())
			}
			if _, err := conn.Write(piece); err != nil {
				return
			}
			harness.Sleep(ctx, 20*time.Millisecond)
		}
	}},
	{"opened and closed", func(ctx context.Context, conn *net.UnixConn, rng *rand.Rand) {}},
}

// rest is silent until the connection ends.
func rest(conn *net.UnixConn) { _, _ = io.Copy(io.Discard, conn) }

// crowdIn is a role. Arguments: socket, how many connections, seed. It keeps that many
// open, or tries to, each with one of the manners, until its input ends.
func crowdIn(args []string) error {
	giveWay()
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			m := manners[i%len(manners)]
			for ctx.Err() == nil {
				conn, err := net.Dial("unix", args[0])
				if err == nil {
					stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
					m.live(ctx, conn.(*net.UnixConn), rng)
					stop()
					_ = conn.Close()
				}
				harness.Sleep(ctx, time.Duration(100+rng.IntN(400))*time.Millisecond)
			}
		})
	}
	fmt.Println(sayReady)
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	all.Wait()
	return err
}

// attachHonestly attaches and detaches a reader, each time by a connection of its own,
// and returns how long it took from dialling on to being attached.
func attachHonestly(t testing.TB, p harness.Place) (took delays) {
	t.Helper()
	for range honestAttaches {
		begin := time.Now()
		c, err := client.Dial(harness.Bounded(t), client.Options{Socket: p.Socket, WaitFor: harness.Patience})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Consumer(harness.Bounded(t), "good", client.ConsumerOptions{})
		took = append(took, time.Since(begin))
		if err := errors.Join(err, r.Close(), c.Close()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(attachPause)
	}
	return took
}

// TestCrowd keeps a thousand connections busy with nonsense, by another user with a
// quota and without one, while an honest client attaches.
func TestCrowd(t *testing.T) {
	harness.NeedRoot(t, "to connect as another user")
	for _, quota := range []int{0, 50} {
		t.Run(map[bool]string{true: "no quota", false: "quota"}[quota == 0], func(t *testing.T) {
			seed := drawSeed()
			more := ""
			if quota > 0 {
				more = fmt.Sprintf("limits: {per_uid: {connections: %d}}", quota)
			}
			p := harness.NewPlace(t, binaries, "["+goodRing+"]", more)
			d := p.Start()
			c := p.Dial()
			before, memory := look(d), harness.MemoryPeak(t, d.PID())
			cmd := harness.AsUser(role(p, "crowd", crowdMembers, seed), otherUID, otherUID)
			input, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			crowd := harness.Launch(t, cmd)
			crowd.WaitSaid(sayReady)
			connections := func() int {
				s, err := c.Status(harness.Bounded(t))
				if err != nil {
					t.Fatal(err)
				}
				return s.Connections
			}
			most, enough := 0, crowdConnections
			if quota > 0 {
				enough = quota
			}
			harness.Eventually(t, "the crowd is in", func() bool { most = max(most, connections()); return most >= enough })
			took := attachHonestly(t, p)
			most = max(most, connections())
			if quota > 0 && most > quota+2 { // the test's own two
				t.Errorf("%d connections, want at most %d of the crowd", most, quota)
			}
			took.judge(t)
			wantUnhurt(t, d)
			grown := harness.MemoryPeak(t, d.PID()) - memory
			if grown > growthMost {
				t.Errorf("the daemon grew by %d KiB, want at most %d", grown>>10, growthMost>>10)
			}
			if err := input.Close(); err != nil {
				t.Fatal(err)
			}
			crowd.Expect(0)
			before.threads += threadsOfCrowd
			wantBack(t, d, before)
			fmt.Printf("counts: hostile: crowd: seed %d, up to %d connections (quota %d): an honest client attaches: %v; the daemon grew by %d KiB\n",
				seed, most, quota, took, grown>>10)
		})
	}
}

// threadsOfCrowd: Go keeps the threads that it once needed to write to sockets.
const threadsOfCrowd = 16
