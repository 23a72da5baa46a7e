package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"brokerd/internal/wire"
)

func TestStartIsReadyHealthyAndMeasured(t *testing.T) {
	p := newPlace(t, oneRing)
	i := start(t, p)
	if code, body := i.get("/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if code, body := i.get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	c := dial(t, p.socket)
	s := c.status()
	if s.State != wire.DaemonReady || s.Rings != 1 || s.PID != i.cmd.Process.Pid || s.Version != testVersion || s.Dir != p.dir {
		t.Errorf("status: %+v", s)
	}
	info, err := os.Stat(p.socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: mode %v, %v, want 0660", info.Mode(), err)
	}
	out := c.attach("top", "t1")
	values := scrape(t, i)
	for series, want := range map[string]float64{
		`brokerd_build_info{version=` + testVersion + `}`: 1,
		`brokerd_ready{}`:                      1,
		`brokerd_rings{}`:                      1,
		`brokerd_attachments{}`:                1,
		`brokerd_connections{}`:                1,
		`brokerd_ring_capacity_bytes{ring=md}`: 65536,
		`brokerd_ring_consumers{ring=md}`:      1,
		`brokerd_memory_bytes{}`:               float64(s.MemoryBytes),
		`brokerd_attachment_lag_bytes{name=top,ring=md,role=consumer,slot=0}`: 0,
		`brokerd_control_requests_total{method=Attach,result=ok}`:             1,
		`brokerd_control_requests_total{method=GetStatus,result=ok}`:          1,
	} {
		if got, there := values[series]; !there || got != want {
			t.Errorf("%s: got %v (there: %v), want %v", series, got, there, want)
		}
	}
	if out.Ring.MemoryBytes != s.MemoryBytes {
		t.Errorf("the ring takes %d bytes, the daemon says %d in all", out.Ring.MemoryBytes, s.MemoryBytes)
	}
}

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, i *instance) map[string]float64 {
	t.Helper()
	code, body := i.get("/metrics")
	if code != 200 {
		t.Fatalf("/metrics: %d %s", code, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("/metrics does not parse: %v", err)
	}
	values := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// TestBuiltInConfiguration runs as a user who has nothing but the binary. Root
// is left out: its paths are those of the host's own daemon.
func TestBuiltInConfiguration(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run the daemon as another user")
	}
	const uid = 61234
	rings, folder := "/dev/shm/brokerd-61234", "/tmp/brokerd-61234"
	for _, path := range []string{rings, folder} {
		if _, err := os.Lstat(path); err == nil {
			t.Fatalf("%s exists: is uid %d in use?", path, uid)
		}
		t.Cleanup(func() { os.RemoveAll(path) })
	}
	asUser := func(env ...string) *exec.Cmd {
		cmd := exec.Command(binary)
		cmd.Env = env
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		return cmd
	}
	check := func(socket string, env ...string) {
		i := launch(t, asUser(env...))
		eventually(t, "ready", func() bool { return strings.Contains(i.log.String(), "ready") })
		c := dial(t, socket)
		if s := c.status(); s.State != wire.DaemonReady || s.Rings != 1 || s.Dir != rings {
			t.Errorf("status: %+v", s)
		}
		if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", filepath.Dir(socket), info, err)
		}
		i.signal(syscall.SIGTERM)
		if code := i.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	check(folder+"/control.sock", "PATH=/usr/bin:/bin")
	xdg := t.TempDir()
	for dir := xdg; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(xdg, uid, uid); err != nil {
		t.Fatal(err)
	}
	check(xdg+"/brokerd/control.sock", "PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR="+xdg)

	// Somebody else was first in /tmp.
	if err := os.Chown(folder, uid+1, uid+1); err != nil {
		t.Fatal(err)
	}
	i := launch(t, asUser("PATH=/usr/bin:/bin"))
	if code := i.wait(); code != 1 || !strings.Contains(i.log.String(), folder+" belongs to uid 61235") {
		t.Errorf("exit code %d, log:\n%s", code, i.log)
	}
}
