package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brokerd/client"
)

// place is where one daemon lives: folders and a configuration of its own,
// which every user may look into.
type place struct {
	t                         testing.TB
	root, dir, socket, config string
}

// newPlace writes a configuration with the given rings and further keys.
func newPlace(t testing.TB, rings string, more ...string) place {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "brokerd-e2e-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	p := place{t: t, root: root, dir: filepath.Join(root, "rings"),
		socket: filepath.Join(root, "control.sock"), config: filepath.Join(root, "brokerd.yaml")}
	p.write(fmt.Sprintf("dir: %s\ncontrol:\n  socket: %s\n  mode: \"0666\"\nadmin:\n  listen: 127.0.0.1:0\nlog:\n  format: json\nrings: %s\n%s\n",
		p.dir, p.socket, rings, strings.Join(more, "\n")))
	return p
}

func (p place) write(text string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// daemon is a running brokerd.
type daemon struct {
	*process
	place
}

// start starts brokerd and waits until brokerctl status says that it is ready.
func (p place) start() *daemon {
	p.t.Helper()
	d := &daemon{launch(p.t, exec.Command(binaries.brokerd, "--config", p.config)), p}
	eventually(p.t, "ready", func() bool {
		if !d.running() {
			p.t.Fatalf("brokerd ended before it was ready: %v\n%s", d.err, d.stderr)
		}
		return d.logged("ready") != nil
	})
	return d
}

// logged returns the fields of the first log line with that message.
func (d *daemon) logged(message string) map[string]any {
	for line := range strings.Lines(d.stderr.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			return fields
		}
	}
	return nil
}

// get asks the admin listener.
func (d *daemon) get(path string) (code int, body string) {
	t := d.process.t
	t.Helper()
	fields := d.logged("admin HTTP listens")
	if fields == nil {
		t.Fatal("the log does not name the admin address")
	}
	asker := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := asker.Get(fmt.Sprintf("http://%v%s", fields["address"], path))
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

// command is brokerctl with the socket of p.
func (p place) command(args ...string) *exec.Cmd {
	return exec.Command(binaries.brokerctl, append([]string{"--socket", p.socket}, args...)...)
}

// ctl starts brokerctl, which is to read nothing.
func (p place) ctl(args ...string) *process {
	p.t.Helper()
	return launch(p.t, p.command(args...))
}

// feed starts brokerctl with some input.
func (p place) feed(input string, args ...string) *process {
	p.t.Helper()
	cmd := p.command(args...)
	cmd.Stdin = strings.NewReader(input)
	return launch(p.t, cmd)
}

// publish publishes lines into a ring and waits until that is done.
func (p place) publish(ring, lines string, args ...string) {
	p.t.Helper()
	p.feed(lines, append([]string{"attach", ring, "--as", "producer"}, args...)...).expect(0)
}

// output runs brokerctl to its end, which must be a good one, and returns what
// it printed.
func (p place) output(args ...string) string {
	p.t.Helper()
	c := p.ctl(args...)
	c.expect(0)
	return c.stdout.String()
}

// object is output, which must be one JSON value, decoded into out.
func (p place) object(out any, args ...string) {
	p.t.Helper()
	text := p.output(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		p.t.Fatalf("brokerctl %q printed %q: %v", args, text, err)
	}
}

// dial connects this process; the test closes the connection.
func (p place) dial() *client.Client {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ctx, client.Options{Socket: p.socket, WaitFor: patience})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// bounded is a context for one call.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// attachments lists who is attached, "" for all rings.
func attachments(t testing.TB, c *client.Client, ring string) []client.Attachment {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := c.Attachments(ctx, ring)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ringStats returns the numbers of one ring.
func ringStats(t testing.TB, c *client.Client, ring string) client.RingStats {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.Stats(ctx, ring)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rings) != 1 || s.Rings[0].Name != ring {
		t.Fatalf("stats of ring %s: %+v", ring, s)
	}
	return s.Rings[0]
}

// waitAttached waits until the ring has so many attachments that are attached.
func waitAttached(t testing.TB, c *client.Client, ring string, n int) []client.Attachment {
	t.Helper()
	var list []client.Attachment
	eventually(t, fmt.Sprintf("%d attachments of %s", n, ring), func() bool {
		list = attachments(t, c, ring)
		attached := 0
		for _, a := range list {
			if a.State == client.StateAttached {
				attached++
			}
		}
		return attached == n
	})
	return list
}

// since is how long ago that was, for a log.
func since(begin time.Time) time.Duration { return time.Since(begin).Round(10 * time.Microsecond) }
