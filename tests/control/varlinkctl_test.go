//go:build varlinkctl

package control

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

// These tests want varlinkctl, which systemd has had since version 255 and
// Debian 12 has not, so they are asked for by name:
//
//	go test -tags varlinkctl -run Varlinkctl ./tests/control

func varlinkctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(deadline(t), "varlinkctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("varlinkctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestVarlinkctlReadsTheDescriptions has systemd's parser read both.
func TestVarlinkctlReadsTheDescriptions(t *testing.T) {
	address := "unix:" + start(t).path
	if out := varlinkctl(t, "info", address); !strings.Contains(out, "brokerd") || !strings.Contains(out, wire.Interface) {
		t.Errorf("info: %s", out)
	}
	for _, iface := range []string{wire.Interface, wire.ServiceInterface} {
		if out := varlinkctl(t, "introspect", address, iface); !strings.Contains(out, "interface "+iface) {
			t.Errorf("introspect %s: %s", iface, out)
		}
	}
}

// TestVarlinkctlCallsEveryMethod compares what varlinkctl prints with the
// description.
func TestVarlinkctlCallsEveryMethod(t *testing.T) {
	c := newChecker(t, wire.Description)
	for _, method := range c.description.Methods {
		t.Run(method.Name, func(t *testing.T) {
			w := newWorld(t)
			in, err := json.Marshal(samples()[method.Name].in(t, w))
			if err != nil {
				t.Fatal(err)
			}
			out := varlinkctl(t, "call", "--json=short", "unix:"+w.service.path, wire.Interface+"."+method.Name, string(in))
			if err := c.check(json.RawMessage(out), method.Out, method.Name); err != nil {
				t.Errorf("%v\nin %s", err, out)
			}
		})
	}
}
