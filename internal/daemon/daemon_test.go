package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"brokerd/internal/config"
	"brokerd/internal/wire"
)

const patience = 20 * time.Second

// testConfig is a daemon of its own with the given rings.
func testConfig(t *testing.T, rings string) *config.Config {
	t.Helper()
	shm, err := os.MkdirTemp("/dev/shm", "brokerd-test-")
	if err != nil {
		t.Skipf("no tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	tmp, err := os.MkdirTemp("", "bd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	text := fmt.Sprintf("dir: %s/rings\ncontrol: {socket: %s/control.sock}\nadmin: {listen: \"127.0.0.1:0\"}\nrings: %s\n", shm, tmp, rings)
	cfg, err := config.Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// running is a Run under way.
type running struct {
	t    *testing.T
	logs *observer.ObservedLogs
	stop context.CancelFunc
	done chan error
}

// quiet are options of a daemon whose log nobody reads.
func quiet(cfg *config.Config) Options {
	return Options{Config: cfg, Log: zap.NewNop(), Level: zap.NewAtomicLevel(), Version: "test"}
}

// failToStart returns why a daemon does not start.
func failToStart(t *testing.T, cfg *config.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := Run(ctx, quiet(cfg))
	if err == nil {
		t.Fatal("the daemon starts")
	}
	return err
}

func startRun(t *testing.T, cfg *config.Config) *running {
	t.Helper()
	return startOptions(t, quiet(cfg))
}

// startOptions replaces the log of o by one that the test reads.
func startOptions(t *testing.T, o Options) *running {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	o.Log = zap.New(core)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, logs: logs, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- Run(ctx, o) }()
	r.waitFor("ready")
	return r
}

func (r *running) waitFor(message string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); r.logs.FilterMessageSnippet(message).Len() == 0; time.Sleep(time.Millisecond) {
		select {
		case err := <-r.done:
			r.t.Fatalf("the daemon ended before it logged %q: %v", message, err)
		default:
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no %q in the log: %v", message, r.logs.All())
		}
	}
}

// end stops it and reports what Run returned.
func (r *running) end() error {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		r.t.Fatal("Run does not return")
		return nil
	}
}

func (r *running) get(path string) int {
	r.t.Helper()
	address := r.logs.FilterMessage("admin HTTP listens").All()[0].ContextMap()["address"]
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(fmt.Sprintf("http://%v%s", address, path))
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestRunFiftyTimesLeavesNothingBehind(t *testing.T) {
	cfg := testConfig(t, "[{name: md, capacity: 64KiB}]")
	once := func() {
		r := startRun(t, cfg)
		if code := r.get("/readyz"); code != http.StatusOK {
			t.Errorf("/readyz: %d", code)
		}
		if code := r.get("/metrics"); code != http.StatusOK {
			t.Errorf("/metrics: %d", code)
		}
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
	}
	once() // what the runtime and the libraries keep for ever is opened here
	files := openFiles(t)
	known := goleak.IgnoreCurrent()
	for range 50 {
		once()
	}
	goleak.VerifyNone(t, known)
	if now := openFiles(t); now > files {
		t.Errorf("%d files are open, %d before", now, files)
	}
	if _, err := os.Lstat(cfg.Control.Socket); err == nil {
		t.Error("the socket is still there")
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "md")); err != nil {
		t.Errorf("the ring is gone: %v", err)
	}
}

func TestFailedStartLeavesNothingBehind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := testConfig(t, "[{name: md, capacity: 64KiB}]")
	if err := startRun(t, good).end(); err != nil {
		t.Fatal(err)
	}
	files, known := openFiles(t), goleak.IgnoreCurrent()
	// One configuration for each step that can fail.
	for want, spoil := range map[string]func(*config.Config){
		"control.socket":               func(c *config.Config) { c.Control.Socket = "/" + strings.Repeat("s", 200) },
		"folder of the control socket": func(c *config.Config) { c.Control.Socket = "/nonexistent/a/control.sock" },
		"not tmpfs":                    func(c *config.Config) { c.Dir = "/proc" },
		"admin.listen":                 func(c *config.Config) { c.Admin.Listen = taken.Addr().String() },
		"control.group":                func(c *config.Config) { c.Control.Group = "no-such-group" },
		"control.admin_group":          func(c *config.Config) { c.Control.AdminGroup = "no-such-group" },
		"rings[1] (huge)":              func(c *config.Config) { c.Rings = append(c.Rings, hugeRing()) },
		"gateway.listen": func(c *config.Config) {
			c.Gateway.Name, c.Gateway.Listen, c.Gateway.TLS.Off = "a", taken.Addr().String(), true
		},
	} {
		bad := *good
		spoil(&bad)
		err := failToStart(t, &bad)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot start: ") {
			t.Errorf("got %v, want a start that fails for %q", err, want)
		}
		if _, err := os.Lstat(good.Control.Socket); err == nil {
			t.Errorf("%s: the socket is still there", want)
		}
	}
	goleak.VerifyNone(t, known)
	if now := openFiles(t); now > files {
		t.Errorf("%d files are open, %d before", now, files)
	}
	r := startRun(t, good) // nothing stands in the way of a good start
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

// hugeRing does not fit into the limits that a test has.
func hugeRing() config.Ring {
	r := config.DefaultRing("huge")
	r.RecordMax, r.Capacity = 1024, 2<<30
	return r
}

func TestEveryBadRingIsReported(t *testing.T) {
	cfg := testConfig(t, "[{name: a, capacity: 64KiB}, {name: b, capacity: 64KiB}, {name: c, capacity: 64KiB}]")
	for _, i := range []int{0, 2} { // longer than the broker takes
		cfg.Rings[i].Allow.Consume = &config.Principals{Users: []string{strings.Repeat("u", 300)}}
	}
	err := failToStart(t, cfg)
	if err == nil || !errors.Is(err, wire.ErrInvalidRing) {
		t.Fatalf("%v is not wire.ErrInvalidRing", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "cannot start: rings[0] (a)") || !strings.HasPrefix(lines[1], "cannot start: rings[2] (c)") {
		t.Errorf("got %v, want a line for each bad ring", err)
	}
	if _, err := os.Lstat(filepath.Join(cfg.Dir, "b")); err == nil {
		t.Error("the good ring was made all the same")
	}
}

func TestStopBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cfg := testConfig(t, "[{name: md, capacity: 64KiB}]")
	if err := Run(ctx, quiet(cfg)); err != nil {
		t.Errorf("Run with a context that is done: %v", err)
	}
	if _, err := os.Lstat(cfg.Control.Socket); err == nil {
		t.Error("it has made a socket")
	}
}

func TestSecondRunOfADirectoryIsRefused(t *testing.T) {
	cfg := testConfig(t, "[{name: md, capacity: 64KiB}]")
	r := startRun(t, cfg)
	other := *testConfig(t, "[]")
	other.Dir = cfg.Dir
	err := failToStart(t, &other)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("second daemon: %v, want the pid of the first", err)
	}
	if code := r.get("/readyz"); code != http.StatusOK {
		t.Errorf("the first daemon: %d", code)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

func TestChangedGeometryIsAProblemNotAFailure(t *testing.T) {
	cfg := testConfig(t, "[{name: md, capacity: 64KiB}]")
	if err := startRun(t, cfg).end(); err != nil {
		t.Fatal(err)
	}
	changed := *cfg
	changed.Rings = append([]config.Ring(nil), cfg.Rings...)
	changed.Rings[0].Capacity *= 2
	r := startRun(t, &changed)
	r.waitFor("needs a look")
	problem := r.logs.FilterMessage("needs a look").All()[0].ContextMap()["problem"]
	if text := fmt.Sprint(problem); !strings.Contains(text, "md") || !strings.Contains(text, "capacity") {
		t.Errorf("problem: %s", text)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
}
