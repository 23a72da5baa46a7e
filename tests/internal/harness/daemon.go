package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
)

// Daemon is a running brokerd.
type Daemon struct {
	*Process
	Place
}

// Start starts brokerd and waits until it logs that it is ready.
func (p Place) Start() *Daemon {
	p.T.Helper()
	argv := append(slices.Clone(p.Inside), p.Binaries.Brokerd, "--config", p.Config)
	d := &Daemon{Launch(p.T, exec.Command(argv[0], argv[1:]...)), p}
	Eventually(p.T, "ready", func() bool {
		if !d.Running() {
			p.T.Fatalf("brokerd ended before it was ready: %v\n%s", d.Err, d.Stderr)
		}
		return d.Logged("ready") != nil
	})
	return d
}

// Logged returns the fields of the first log line with that message, nil for
// none.
func (d *Daemon) Logged(message string) map[string]any {
	for line := range strings.Lines(d.Stderr.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			return fields
		}
	}
	return nil
}

// Admin is the address of the admin listener, host:port.
func (d *Daemon) Admin() string {
	t := d.Process.T
	t.Helper()
	fields := d.Logged("admin HTTP listens")
	if fields == nil {
		t.Fatal("the log does not name the admin address")
	}
	return fmt.Sprint(fields["address"])
}

// Get asks the admin listener.
func (d *Daemon) Get(path string) (code int, body string) {
	t := d.Process.T
	t.Helper()
	asker := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := asker.Get("http://" + d.Admin() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
