package config_test

import (
	"errors"
	"testing"

	"brokerd/internal/config"
)

func TestResolvePaths(t *testing.T) {
	for _, tt := range []struct {
		uid  int
		xdg  string
		want config.Paths
	}{
		{0, "", config.Paths{Socket: "/run/brokerd/control.sock", Dir: "/dev/shm/brokerd"}},
		{0, "/run/user/0", config.Paths{Socket: "/run/brokerd/control.sock", Dir: "/dev/shm/brokerd"}},
		{1001, "/run/user/1001", config.Paths{Socket: "/run/user/1001/brokerd/control.sock", Dir: "/dev/shm/brokerd-1001"}},
		{1001, "", config.Paths{Socket: "/tmp/brokerd-1001/control.sock", Dir: "/dev/shm/brokerd-1001"}},
		{1001, "relative", config.Paths{Socket: "/tmp/brokerd-1001/control.sock", Dir: "/dev/shm/brokerd-1001"}},
	} {
		if got := config.ResolvePaths(tt.uid, tt.xdg); got != tt.want {
			t.Errorf("uid %d, %q: got %+v, want %+v", tt.uid, tt.xdg, got, tt.want)
		}
	}
}

func TestResolveKeepsWhatTheFileNames(t *testing.T) {
	c := mustParse(t, "dir: /dev/shm/desk\n")
	if err := c.Resolve(config.ResolvePaths(0, "")); err != nil {
		t.Fatal(err)
	}
	if c.Dir != "/dev/shm/desk" || c.Control.Socket != "/run/brokerd/control.sock" {
		t.Errorf("got %q and %q", c.Dir, c.Control.Socket)
	}
	var key *config.KeyError
	if err := mustParse(t, "").Resolve(config.Paths{Dir: "x", Socket: "/s"}); !errors.As(err, &key) || key.Key != "dir" {
		t.Errorf("a relative dir gives %v", err)
	}
	if err := mustParse(t, "").Resolve(config.Paths{Dir: "/x"}); !errors.As(err, &key) || key.Key != "control.socket" {
		t.Errorf("no socket gives %v", err)
	}
}
