package daemon

import (
	"os"
	"strings"
	"testing"

	"brokerd/internal/config"
)

func TestCheckFindsEverythingAtOnce(t *testing.T) {
	cfg := testConfig(t, "[{name: a, capacity: 64KiB}, {name: b, capacity: 64KiB}]")
	cfg.Dir = "/proc/rings"
	cfg.Control.Group, cfg.Control.AdminGroup = "no-such-group", "nor-this-one"
	cfg.Rings[1].Allow.Gate = &config.Principals{Groups: []string{strings.Repeat("g", 300)}}
	cfg.Limits.Memory = 64 << 10
	cfg.Gateway = config.Gateway{Name: "a", Listen: "127.0.0.1:0", TLS: config.TLS{Cert: "/proc/no.pem", Key: "/proc/no-key.pem", CA: "/proc/ca.pem"},
		Peers: []config.Peer{{Name: "b", Address: "b:1", TLS: config.TLS{Cert: "/proc/peers.pem", Key: "/proc/peers-key.pem", CA: "/proc/ca.pem"}}}}
	_, err := Check(t.Context(), "/etc/b.yaml", cfg)
	if err == nil {
		t.Fatal("nothing is found")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{"not tmpfs", `control.group: this host has no group "no-such-group"`,
		`control.admin_group: this host has no group "nor-this-one"`,
		"gateway.tls: open /proc/no.pem", "gateway.peers[0].tls (b): open /proc/peers.pem", "rings[1] (b): ", "limits.memory"}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(lines), len(want), err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "/etc/b.yaml: ") || !strings.Contains(line, want[i]) {
			t.Errorf("line %d is %q, want the file and %q", i, line, want[i])
		}
	}
}

func TestCheckChangesNothing(t *testing.T) {
	cfg := testConfig(t, "[{name: a, capacity: 64KiB}]")
	plan, err := Check(t.Context(), "/etc/b.yaml", cfg)
	if err != nil || plan.Rings != 1 || !strings.HasPrefix(plan.String(), "1 ring, ") {
		t.Errorf("got %v, %v", plan, err)
	}
	for _, path := range []string{cfg.Dir, cfg.Control.Socket} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	if two := (Plan{Rings: 2, MemoryBytes: 3}).String(); two != "2 rings, 3 bytes" {
		t.Errorf("two rings read %q", two)
	}
}
