package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"brokerd/internal/wire"
)

func TestAdminPaths(t *testing.T) {
	p := &phase{}
	var missed []string
	h := adminHandler(p, func() []string { return missed }, http.NotFoundHandler())
	get := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Code, w.Body.String()
	}
	expect := func(method, path string, code int, body string) {
		t.Helper()
		if c, b := get(method, path); c != code || b != body {
			t.Errorf("%s %s: got %d %q, want %d %q", method, path, c, b, code, body)
		}
	}
	p.set(wire.DaemonStarting, "creating ring md")
	expect("GET", "/readyz", 503, "starting: creating ring md\n")
	expect("GET", "/healthz", 200, "ok\n")
	p.set(wire.DaemonReady, "1 ring")
	expect("GET", "/readyz", 200, "ok\n")
	missed = []string{"broker loop: no beat for 7s", "control accept loop: no beat for 6s"}
	expect("GET", "/healthz", 503, "broker loop: no beat for 7s\ncontrol accept loop: no beat for 6s\n")
	expect("GET", "/readyz", 200, "ok\n")
	p.set(wire.DaemonDraining, "terminated")
	expect("GET", "/readyz", 503, "draining: terminated\n")
	if code, _ := get("POST", "/readyz"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", code)
	}
	if code, _ := get("GET", "/"); code != http.StatusNotFound {
		t.Errorf("GET /: %d, want 404", code)
	}
}

// startTestAdmin serves handler on a free port until the returned stop, which
// reports what serve returned.
func startTestAdmin(t *testing.T, listen string, handler http.Handler, log *zap.Logger) (*admin, func() error) {
	t.Helper()
	a, err := newAdmin(listen, handler, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.serve(ctx) }()
	return a, func() error { cancel(); return <-done }
}

func TestAdminConnectionsAtAndPastTheLimit(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	a, stop := startTestAdmin(t, "127.0.0.1:0", handler, zap.NewNop())
	ask := func(c net.Conn) error {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 512))
		return err
	}
	conns := make([]net.Conn, 0, adminConnectionsMax)
	for i := range adminConnectionsMax {
		c, err := net.Dial("tcp", a.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := ask(c); err != nil {
			t.Fatalf("connection %d of %d: %v", i+1, adminConnectionsMax, err)
		}
		conns = append(conns, c)
	}
	extra, err := net.Dial("tcp", a.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	if err := ask(extra); err == nil {
		t.Errorf("connection %d is served", adminConnectionsMax+1)
	}
	conns[0].Close()
	deadline := time.Now().Add(10 * time.Second)
	for a.open.Load() >= adminConnectionsMax {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are counted after one was closed and one refused", a.open.Load())
		}
		time.Sleep(time.Millisecond)
	}
	again, err := net.Dial("tcp", a.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := ask(again); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestAdminRefusesLargeHeader(t *testing.T) {
	a, stop := startTestAdmin(t, "127.0.0.1:0", http.NotFoundHandler(), zap.NewNop())
	request, err := http.NewRequest(http.MethodGet, "http://"+a.listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// net/http grants 4 KiB on top of the limit.
	request.Header.Set("X-Large", strings.Repeat("x", adminHeaderBytesMax+8<<10))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", response.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestAdminStopEndsWhoeverHangsOn(t *testing.T) {
	entered := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	a, stop := startTestAdmin(t, "127.0.0.1:0", handler, zap.NewNop())
	c, err := net.Dial("tcp", a.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	begin := time.Now()
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begin); took > adminShutdownMax+5*time.Second {
		t.Errorf("stop took %v", took)
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection is not closed: %v", err)
	}
}

func TestAdminBindFailureIsClear(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, err = newAdmin(address, http.NotFoundHandler(), zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "admin.listen "+address) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want the key, the address and the cause", err)
	}
}

func TestAdminWarnsOffTheLoopback(t *testing.T) {
	for listen, warned := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true, ":0": true} {
		core, logs := observer.New(zap.WarnLevel)
		_, stop := startTestAdmin(t, listen, http.NotFoundHandler(), zap.New(core))
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := logs.FilterMessageSnippet("not a loopback address").Len() == 1; got != warned {
			t.Errorf("%s: warned %v, want %v", listen, got, warned)
		}
	}
}
