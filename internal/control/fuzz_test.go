package control

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"brokerd/internal/wire"
)

// FuzzSession sends any bytes, says that no more will come, and reads what the
// server has to say: replies, all of them well formed, and then the end.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "\x00\x00", "{}", `{"method":"x"}`, "\xff\x00",
		`{"method":"io.brokerd.Broker.GetStatus"}` + "\x00" + `{"method":"org.varlink.service.GetInfo","more":true}` + "\x00",
		`{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.brokerd.Broker"}}` + "\x00",
		`{"method":"io.brokerd.Broker.Stats","more":true,"parameters":{"interval_ms":10}}` + "\x00",
		`{"method":"io.brokerd.Broker.Stats","more":true}` + "\x00" + `{"method":"io.brokerd.Broker.Stats","oneway":true}` + "\x00",
		`{"method":"io.brokerd.Broker.CreateRing","parameters":{"ring":{"name":"f","capacity":65536,"allow":{"gate":{"users":["a"],"groups":[]}}}}}` + "\x00",
		`{"method":"io.brokerd.Broker.Attach","parameters":{"ring":"md","role":"consumer","policy":"block","token":"t"}}` + "\x00",
		`{"method":"io.brokerd.Broker.Attach","parameters":{"ring":"md","role":"producer","epoch":1}}` + "\x00",
		`{"method":"io.brokerd.Broker.Attach","parameters":{"ring":"md","role":"consumer","name":"risk","resume":true}}` + "\x00",
		`{"method":"io.brokerd.Broker.ListLinks"}` + "\x00",
		`{"method":"io.brokerd.Broker.Reload"}` + "\x00",
		`{"method":"io.brokerd.Broker.Detach","parameters":{"id":"md/c0.1"}}` + "\x00",
		`{"method":"io.brokerd.Broker.RemoveRing","parameters":{"name":"../x","force":true}}` + "\x00",
		`{"method":"io.brokerd.Broker.DescribeRing","parameters":{"name":"md"}}` + "\x00",
		`{"method":"io.brokerd.Broker.ListAttachments","parameters":null,"upgrade":true}` + "\x00",
	} {
		f.Add([]byte(seed))
	}
	h := newHost(f, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	f.Fuzz(func(t *testing.T, data []byte) {
		socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: h.path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = socket.Close() }()
		_ = socket.SetDeadline(time.Now().Add(waitMax))
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			_, _ = socket.Write(data) // the server may hang up in the middle
			_ = socket.CloseWrite()
		}()
		answer, err := io.ReadAll(socket)
		<-wrote
		if netErr, ok := err.(net.Error); ok && netErr.Timeout() {
			t.Fatalf("the server did not end the connection: %v", err)
		}
		replies := bytes.Split(answer, []byte{0})
		if rest := replies[len(replies)-1]; len(rest) > 0 {
			t.Fatalf("the last reply has no end: %q", rest)
		}
		calls := bytes.Count(data, []byte{0})
		for _, reply := range replies[:len(replies)-1] {
			r, err := wire.DecodeReply(reply)
			if err != nil {
				t.Fatalf("%v in %q", err, reply)
			}
			if r.Error == string(wire.ErrFailed) {
				t.Fatalf("a call failed: %s", reply)
			}
			if !r.Continues {
				calls--
			}
		}
		if calls < 0 {
			t.Fatalf("%d replies too many to %q", -calls, data)
		}
	})
}
