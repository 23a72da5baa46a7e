package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

const (
	// fewFiles is the limit of open files of a daemon that is to reach it.
	fewFiles = 200
	// fewPeerFiles are three quarters of the sockets, which are three quarters of the
	// files.
	fewPeerFiles = 113
)

// startPoor starts a daemon that may have only fewFiles.
func startPoor(t *testing.T, rings string, keys gatewayKeys) *host {
	t.Helper()
	p := harness.NewPlace(t, binaries, rings, keys.yaml())
	p.Inside = []string{harness.Tool(t, "prlimit", "util-linux"), fmt.Sprintf("--nofile=%d:%d", fewFiles, fewFiles)}
	h := &host{Daemon: p.Start(), t: t, rings: rings, keys: keys}
	h.address = fmt.Sprint(h.Logged("gateway listens")["address"])
	h.client = h.Dial()
	return h
}

// greeted connects as a peer and says hello. It returns the connection and what
// was answered.
func greeted(t *testing.T, address, name string, session byte) (net.Conn, wire.LinkKind, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	hello := wire.LinkHelloFrame{VersionMin: 1, VersionMax: 1, Session: [16]byte{session}, Name: name, Agent: "hostile"}
	if _, err := conn.Write(hello.Append(nil)); err != nil {
		t.Fatal(err)
	}
	kind, frame, err := readFrame(conn)
	if err != nil {
		return conn, 0, nil // closed before it was heard
	}
	return conn, kind, frame
}

// readFrame reads one frame.
func readFrame(r io.Reader) (wire.LinkKind, []byte, error) {
	head := make([]byte, wire.LinkHeaderBytes)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	h, err := wire.DecodeLinkHeader(head)
	if err != nil {
		return 0, nil, err
	}
	frame := append(head, make([]byte, int(h.Bytes)-len(head))...)
	_, err = io.ReadFull(r, frame[len(head):])
	return h.Kind, frame, err
}

// TestFilesRunOut: the limit of open files is reached by those who say nothing,
// and by one peer that connects again and again. Links, local clients and other
// peers go on, the peer is told, and all is well when they are gone.
func TestFilesRunOut(t *testing.T) {
	a := startPoor(t, mdRing, gatewayKeys{name: "a", export: "[md]", peers: []string{"{name: b}", "{name: c}", "{name: many}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", silent: true, peers: []string{a.asPeer("[md]")}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	p := newProbe(t, a, b, remoteOf(t, a, "c", nil))
	calm := make(chan struct{})
	close(calm)
	before := harness.UsageOf(t, a.PID()).Files
	serves := func(what string) {
		t.Helper()
		p.lags(20, calm)
		conn, err := client.Dial(harness.Bounded(t), client.Options{Socket: a.Socket})
		if err != nil {
			t.Fatalf("%s: a local client: %v", what, err)
		}
		if _, err := conn.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{}); err != nil {
			t.Errorf("%s: a local reader: %v", what, err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if n := harness.UsageOf(t, a.PID()).Files; n >= fewFiles {
			t.Errorf("%s: all of %d files are taken", what, n)
		}
	}

	end := flood(t, a.address, 2000, []byte{0})
	serves("while nobody says who he is")
	remoteOf(t, a, "b", nil)
	end()

	welcome, busy := 0, 0
	var conns []net.Conn
	for i := range 2 * fewPeerFiles {
		conn, kind, frame := greeted(t, a.address, "many", byte(i+1))
		conns = append(conns, conn)
		switch kind {
		case wire.LinkWelcome:
			welcome++
		case wire.LinkClose:
			end, err := wire.DecodeLinkClose(frame)
			if err != nil || end.Code != wire.CodeBusy || !strings.Contains(end.Message, fmt.Sprintf("%d connections", fewPeerFiles)) {
				t.Fatalf("connection %d: %+v, %v", i, end, err)
			}
			busy++
		}
	}
	if welcome != fewPeerFiles || busy == 0 { // some are closed without a word: that would take a socket for a while
		t.Errorf("of one peer %d connections were welcomed, want %d, and %d told that it has too many", welcome, fewPeerFiles, busy)
	}
	serves("while a peer takes all it gets")
	remoteOf(t, a, "c", nil)
	for _, conn := range conns {
		_ = conn.Close()
	}
	harness.Eventually(t, "the files are given back", func() bool { return harness.UsageOf(t, a.PID()).Files <= before+4 })
	if _, kind, _ := greeted(t, a.address, "many", 1); kind != wire.LinkWelcome {
		t.Error("when its connections are gone the peer is not let in again")
	}
	if now := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); now.SinceNS != steady.SinceNS || now.Reconnects != 0 {
		t.Errorf("the link was %+v and is %+v", steady, now)
	}
	fmt.Printf("counts: hostile network: %d open files: 2000 silent connections and %d of one peer, %d told busy, the link untouched\n", fewFiles, len(conns), busy)
}

// TestKilledAmidHandshakes kills a gateway while handshakes go on. Started again,
// it listens where it did, has the same rings and nothing else, and the link is
// there.
func TestKilledAmidHandshakes(t *testing.T) {
	pki := harness.NewAuthority(t, binaries)
	a := startHost(t, mdRing, gatewayKeys{name: "a", tls: pki.Issue("a"), export: "[md]", peers: []string{"{name: b}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", tls: pki.Issue("b"), silent: true, peers: []string{a.asPeer("[md]")}})
	b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	hello := clientHello(t)
	const kills = 3
	for i := range kills {
		end := flood(t, a.address, 300, hello)
		a.Kill()
		end()
		a.start()
		a.Publish("md", lines(10*i, 10))
		b.waitCaughtUp("md", a, "md")
		entries, err := os.ReadDir(a.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name := e.Name(); name != "md" && name != ".lock" {
				t.Errorf("kill %d has left %s", i, name)
			}
		}
	}
	if got := b.read("md", 10*kills); got != lines(0, 10*kills) {
		t.Errorf("the mirror reads\n%s", got)
	}
	if l := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); l.Gaps != 0 || l.Reconnects != kills {
		t.Errorf("the link: %+v", l)
	}
	if _, err := os.Stat(a.Socket); errors.Is(err, os.ErrNotExist) {
		t.Error("there is no control socket")
	}
}
