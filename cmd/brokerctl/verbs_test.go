package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"brokerd/client"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// TestJSONIsTheReply holds the JSON of lists and snapshots to the types of the
// protocol.
func TestJSONIsTheReply(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB}]")
	var stats client.Stats
	decodeStrict(t, h.good("stats", "-o", "json").stdout, &stats)
	var status client.Status
	decodeStrict(t, h.good("status", "-o", "json").stdout, &status)
	var attachments struct{ Attachments []client.Attachment }
	decodeStrict(t, h.good("attachments", "-o", "json").stdout, &attachments)
	if len(stats.Rings) != 1 || status.State != client.DaemonReady || attachments.Attachments == nil {
		t.Errorf("got %+v, %+v, %+v", stats, status, attachments)
	}
	if got := h.good("status").stdout; !strings.HasPrefix(got, "state ") || !strings.Contains(got, " of 256\n") {
		t.Errorf("status:\n%s", got)
	}
}

// starting serves one client with a status, in turn of each state and then of the
// last one. It returns the path of its socket.
func starting(t *testing.T, states ...client.DaemonState) string {
	t.Helper()
	ln, err := unixconn.Listen(filepath.Join(t.TempDir(), "s"), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for n := 0; ; n++ {
			if _, _, err := conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.CallBytesMax}); err != nil {
				return // the client has closed
			}
			parameters, _ := json.Marshal(wire.GetStatusOut{State: states[min(n, len(states)-1)], PID: 7})
			frame, err := wire.EncodeReply(wire.Reply{Parameters: parameters})
			if err == nil {
				err = conn.WriteMessage(frame, nil)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		serving.Wait()
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	})
	return ln.Path()
}

// TestStatusNotReady asks a daemon that starts.
func TestStatusNotReady(t *testing.T) {
	const message = "brokerd (pid 7) is starting, not ready\n"
	got := brokerctl(t.Context(), "", "status", "--socket", starting(t, client.DaemonStarting))
	if got.code != exitFailed || got.stderr != "brokerctl: "+message || !strings.HasPrefix(got.stdout, "state          starting\n") {
		t.Errorf("at once: %+v", got)
	}
	got = brokerctl(t.Context(), "", "status", "--socket", starting(t, client.DaemonStarting), "--wait-for", "60ms")
	if got.code != exitFailed || got.stderr != "brokerctl: waited 60ms: "+message || strings.Count(got.stdout, "state ") != 1 {
		t.Errorf("after 60ms: %+v", got)
	}
	got = brokerctl(t.Context(), "", "status", "--socket", starting(t, client.DaemonStarting, client.DaemonStarting, client.DaemonReady), "--wait-for", "1h")
	if got.code != exitDone || got.stderr != "" || !strings.HasPrefix(got.stdout, "state          ready\n") {
		t.Errorf("until it is ready: %+v", got)
	}
}

// TestTimely looks at what the end of a bounded call is called.
func TestTimely(t *testing.T) {
	c := &cli{socket: "/run/s"}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	refusal := &client.Error{Name: client.ErrRingNotFound, Message: "no ring"}
	for _, tc := range []struct {
		ctx  context.Context
		err  error
		says string
		code int
	}{
		{late, nil, "", exitDone},
		{late, refusal, "no ring", exitRefused},
		{t.Context(), refusal, "no ring", exitRefused},
		{late, fmt.Errorf("x: %w", context.DeadlineExceeded), "brokerd is unreachable at /run/s: no answer within 10s;", exitUnreachable},
		{stopped, fmt.Errorf("x: %w", context.Canceled), "interrupted before brokerd answered", exitFailed},
	} {
		err := c.timely(tc.ctx, tc.err)
		if exitCode(err) != tc.code || err != nil && !strings.HasPrefix(err.Error(), tc.says) {
			t.Errorf("%v: got %v", tc.err, err)
		}
	}
	c.socket = ""
	if got := c.socketPath(); got != client.DefaultSocket() {
		t.Errorf("no --socket: %s", got)
	}
}

func TestBuildVersion(t *testing.T) {
	built := func(main, revision string) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			info := &debug.BuildInfo{Main: debug.Module{Version: main}}
			if revision != "" {
				info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: revision}}
			}
			return info, true
		}
	}
	for _, tc := range []struct {
		linked string
		read   func() (*debug.BuildInfo, bool)
		want   string
	}{
		{"v1.2.3", built("v9", ""), "v1.2.3"},
		{"", built("v1.0.0", "0123456789abcdef"), "v1.0.0"},
		{"", built("(devel)", "0123456789abcdef"), "devel-0123456789ab"},
		{"", built("(devel)", ""), "(devel)"},
		{"", built("", ""), "unknown"},
		{"", func() (*debug.BuildInfo, bool) { return nil, false }, "unknown"},
	} {
		if got := buildVersion(tc.linked, tc.read); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.linked, got, tc.want)
		}
	}
	if got := brokerctl(t.Context(), "", "version"); got.code != exitDone || !strings.HasPrefix(got.stdout, "brokerctl ") {
		t.Errorf("got %+v", got)
	}
}
