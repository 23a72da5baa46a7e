package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// fileConfig is testConfig in a file of its own.
func fileConfig(t *testing.T, rings string) Options {
	t.Helper()
	cfg := testConfig(t, rings)
	file := filepath.Join(filepath.Dir(cfg.Control.Socket), "brokerd.yaml")
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := quiet(cfg)
	o.File = file
	return o
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func TestSIGHUPWithoutAFileIsRefused(t *testing.T) {
	r := startRun(t, testConfig(t, "[]"))
	hangUp(t)
	r.waitFor("reload refused, nothing has changed: " + errNoFile.Error())
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

func TestSIGHUPReloadsAndSetsTheLevel(t *testing.T) {
	o := fileConfig(t, "[{name: md, capacity: 64KiB}]")
	r := startOptions(t, o)
	text, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "level: info", "level: error", 1)
	if err := os.WriteFile(o.File, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	r.waitFor("reloaded")
	r.waitFor("reload: log.level is error, was info")
	if level := o.Level.Level(); level != zap.ErrorLevel {
		t.Errorf("the level is %v", level)
	}
	if err := os.WriteFile(o.File, []byte(changed+"what: ever\n- and this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	r.waitFor("reload refused, nothing has changed: " + o.File + ":")
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

// callReload asks over the control socket.
func callReload(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := unixconn.Dial(ctx, socket)
	if err != nil {
		return err
	}
	call, err := wire.EncodeCall(wire.Call{Method: wire.MethodReload, Parameters: json.RawMessage("{}")})
	if err == nil {
		err = conn.WriteMessage(call, nil)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Now().Add(patience))
	}
	var message []byte
	if err == nil {
		message, _, err = conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax})
	}
	if err == nil {
		var reply wire.Reply
		if reply, err = wire.DecodeReply(message); err == nil && reply.Error != "" {
			err = errors.New(reply.Error + string(reply.Parameters))
		}
	}
	return errors.Join(err, conn.Close())
}

// TestReloadsGoOneByOne asks from many sides at once. The service manager is
// told of each reload before the next one begins.
func TestReloadsGoOneByOne(t *testing.T) {
	o := fileConfig(t, "[{name: md, capacity: 64KiB}]")
	known := goleak.IgnoreCurrent()
	address := filepath.Join(filepath.Dir(o.File), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", address)
	r := startOptions(t, o)
	const callers, each = 8, 3
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				if err := callReload(o.Config.Control.Socket); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var order []string
	buf := make([]byte, 4096)
	for n := 0; n <= callers*each; { // READY=1 of the start, and of each reload
		if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		size, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("%v, after %q", err, order)
		}
		switch word, _, _ := strings.Cut(string(buf[:size]), "\n"); word {
		case "READY=1":
			n++
			order = append(order, word)
		case "RELOADING=1":
			order = append(order, word)
		}
	}
	wg.Wait()
	for i, word := range order {
		if want := []string{"READY=1", "RELOADING=1"}[i%2]; word != want {
			t.Fatalf("the service manager was told %q", order)
		}
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if err := manager.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, known)
}

func TestReloadNeedsADaemonThatIsReady(t *testing.T) {
	for _, state := range []wire.DaemonState{wire.DaemonStarting, wire.DaemonDraining} {
		d := &daemon{log: zap.NewNop()}
		d.phase.set(state, "step 3")
		_, err := d.reload(t.Context())
		if !errors.Is(err, wire.ErrNotReady) || !strings.Contains(err.Error(), string(state)) || !strings.Contains(err.Error(), "step 3") {
			t.Errorf("while %s: %v", state, err)
		}
	}
}

// A pipe that was read once is empty, which would mean a daemon without rings.
func TestPipeIsNotReadAgain(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "brokerd.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{file: fifo}
	if _, err := d.readAgain(t.Context()); err == nil || !strings.Contains(err.Error(), fifo+": not a regular file") {
		t.Errorf("got %v", err)
	}
}

func TestReloadsAreCounted(t *testing.T) {
	r := &reloads{}
	if ok, failed, last := r.counts(); ok != 0 || failed != 0 || last != 0 {
		t.Errorf("before any: %d, %d, last at %d", ok, failed, last)
	}
	r.count(errors.New("x"))
	if ok, failed, last := r.counts(); ok != 0 || failed != 1 || last != 0 {
		t.Errorf("after a failure: %d, %d, last at %d", ok, failed, last)
	}
	before := time.Now().UnixNano()
	r.count(nil)
	if ok, failed, last := r.counts(); ok != 1 || failed != 1 || last < before {
		t.Errorf("after a success: %d, %d, last at %d", ok, failed, last)
	}
}
