package control

import (
	"syscall"
	"testing"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// TestDescriptorsRunOut takes all descriptors of this process, which is client
// and server in one: the server then cannot accept, and somebody silent has to
// go for the honest client.
func TestDescriptorsRunOut(t *testing.T) {
	t.Run("none to accept with", func(t *testing.T) { runOut(t, 1) })
	t.Run("none to hold the process with", func(t *testing.T) { runOut(t, 2) })
}

// runOut leaves spare descriptors, the first of them for the client's end of a
// new connection.
func runOut(t *testing.T, spare int) {
	h := newHost(t, nil, nil)
	silent := h.dial()
	silent.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
	honest := h.dial()
	honest.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
	for range 6 {
		h.dial()
	}
	eventually(t, "all are accepted", func() bool { return h.server.Connections() == 8 })

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	tight := syscall.Rlimit{Cur: uint64(firstFree(t) + spare), Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	eventually(t, "an honest client is served", func() bool {
		conn, err := unixconn.Dial(t.Context(), h.path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.WriteMessage([]byte(`{"method":"`+wire.MethodGetStatus+"\"}\x00"), nil)
		_, _, err = conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax})
		return err == nil
	})
}

// firstFree is the descriptor that the next open gets. All below are in use,
// and none above: the tests of this package run one after the other.
func firstFree(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	return fd
}
