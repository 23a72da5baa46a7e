package gateway

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

var seedFlag = flag.Uint64("seed", 0, "seed of what is random; 0 draws one")

func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return seed
}

// as dials address with the certificate of a name, by hand.
func as(t *testing.T, pki *harness.Authority, name, address string) net.Conn {
	t.Helper()
	conn := dialAs(t, pki.Files(name), address, "a")
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	return conn
}

// joined is as, welcomed, with one stream asked for.
func joined(t *testing.T, conn net.Conn, session byte, o wire.LinkOpenFrame) wire.LinkOpenedFrame {
	t.Helper()
	hello := wire.LinkHelloFrame{VersionMin: 1, VersionMax: 1, Session: [16]byte{session, 1}, Name: "evil", Agent: "hostile"}
	if _, err := conn.Write(hello.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if kind, _, err := readFrame(conn); err != nil || kind != wire.LinkWelcome {
		t.Fatalf("instead of a welcome: %v, %v", kind, err)
	}
	o.Stream = 1
	if _, err := conn.Write(o.Append(nil)); err != nil {
		t.Fatal(err)
	}
	kind, frame, err := readFrame(conn)
	if err != nil || kind != wire.LinkOpened {
		t.Fatalf("instead of opened: %v %q, %v", kind, frame, err)
	}
	opened, err := wire.DecodeLinkOpened(frame)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// whole are well-formed frames of a stream of that ring, to be mutated.
func whole(o wire.LinkOpenedFrame, text string) [][]byte {
	at := o.Position
	record := func(text string) []byte {
		b := make([]byte, 16, 64)
		word := (at | 1) ^ o.Key
		for i := range 8 {
			b[i] = byte(word >> (8 * i))
		}
		b[8] = byte(len(text))
		b = append(b, text...)
		return append(b, make([]byte, (16-len(b)%16)%16)...)
	}(text)
	data := wire.LinkDataFrame{Stream: 1, Epoch: o.Epoch, Position: at, Sequence: o.Sequence, Records: 1}
	return [][]byte{
		append(data.Append(nil, record), record...),
		wire.LinkAckFrame{Stream: 1, Position: at, Sequence: o.Sequence, Limit: at + 4096}.Append(nil),
		wire.LinkGapFrame{Stream: 1, Epoch: o.Epoch, Position: at, Sequence: o.Sequence, To: at + 4096, Lost: 3}.Append(nil),
		wire.LinkOpenFrame{Stream: 2, Mode: wire.LinkRead, Ring: "md"}.Append(nil),
		wire.LinkEndFrame{Stream: 1}.Append(nil),
		wire.LinkBeatFrame{Time: 1}.Append(nil),
		wire.LinkCloseFrame{Code: wire.CodeGoodbye}.Append(nil),
	}
}

// TestHostileClients: remote clients with a valid certificate send garbage, ask
// and never read, read and never acknowledge, produce and never read. The ring md,
// its mirror and an honest client go on, and afterwards the daemon has what it had.
func TestHostileClients(t *testing.T) {
	seed := newSeed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	pki := harness.NewAuthority(t, binaries)
	rings := "[{name: md, capacity: 64KiB}, {name: in, capacity: 64KiB, producers: many}]"
	pki.Issue("c")
	pki.Issue("evil")
	a := startHost(t, rings, gatewayKeys{name: "a", tls: pki.Issue("a"), export: "[md, in]", more: []string{"dead_after: 500ms"},
		peers: []string{"{name: b}", "{name: c}", "{name: evil, allow: {import: [in]}}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", tls: pki.Issue("b"), silent: true, peers: []string{a.asPeer("[md]")}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	p := newProbe(t, a, b, remoteOf(t, a, "c", pki))
	calm := make(chan struct{})
	close(calm)
	p.lags(50, calm)
	before, goroutines := harness.UsageOf(t, a.PID()), a.Scrape()["go_goroutines{}"]
	produce := wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "in", Label: "x"}
	read := wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "md", From: wire.LinkFromOldest, Policy: 2}

	const garbled = 150
	for i := range garbled {
		conn, ask := as(t, pki, "evil", a.address), produce
		if i%2 == 1 {
			ask = read
		}
		frames := whole(joined(t, conn, byte(i), ask), "evil")
		for range 4 {
			f := frames[random.IntN(len(frames))]
			for range random.IntN(4) {
				f[random.IntN(len(f))] ^= 1 << random.IntN(8)
			}
			if _, err := conn.Write(f); err != nil {
				break // closed meanwhile, as it should be
			}
		}
		_ = conn.Close()
	}
	p.lags(50, calm)

	// Those who ask and never read, until it is not taken any more.
	var deaf []net.Conn
	open := wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "none"}
	for i, flood := range [][]byte{
		wire.LinkBeatFrame{Time: 1}.Append(nil),
		append(wire.LinkEndFrame{Stream: 1}.Append(nil), func() []byte { open.Stream = 1; return open.Append(nil) }()...),
	} {
		conn := as(t, pki, "evil", a.address)
		joined(t, conn, byte(200+i), read)
		deaf = append(deaf, conn)
		sent := 0
		for _ = conn.SetWriteDeadline(time.Now().Add(time.Second)); sent < 64<<20; sent += len(flood) {
			if _, err := conn.Write(flood); err != nil {
				break
			}
		}
		t.Logf("flood %d: %d bytes were taken", i, sent)
	}
	// A reader that has credit and does not read; a reader that reads and has no
	// credit; a producer that does not read what is acknowledged.
	silent := as(t, pki, "evil", a.address)
	o := joined(t, silent, 210, read)
	if _, err := silent.Write(wire.LinkAckFrame{Stream: 1, Position: o.Position, Sequence: o.Sequence, Limit: o.Position + 1<<40}.Append(nil)); err != nil {
		t.Fatal(err)
	}
	miser := as(t, pki, "evil", a.address)
	joined(t, miser, 211, read)
	_, p50, _ := p.lags(1000, calm)
	under := harness.UsageOf(t, a.PID())
	if grown := under.OwnBytes - before.OwnBytes; grown > floodOwnBytesMax {
		t.Errorf("the daemon has grown by %d bytes", grown)
	}
	for _, conn := range append(deaf, silent, miser) {
		_ = conn.Close()
	}
	harness.Eventually(t, "the daemon has what it had", func() bool {
		now := harness.UsageOf(t, a.PID())
		return now.Files <= before.Files+4 && a.Scrape()["go_goroutines{}"] <= goroutines+4
	})
	if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS || now.Reconnects != 0 || now.Gaps != 0 {
		t.Errorf("the link was %+v and is %+v", steady, now)
	}
	fmt.Printf("counts: hostile network: %d garbled clients with a certificate, 4 deaf ones: lag p50 of others %v, own memory +%d KiB, files and goroutines as before (seed %d)\n",
		garbled, p50, (under.OwnBytes-before.OwnBytes)>>10, seed)
}
