package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	"brokerd/internal/config"
)

func TestDefaultSocket(t *testing.T) {
	for _, uid := range []int{0, 1000} {
		for _, xdg := range []string{"", "/run/user/1000", "relative"} {
			if got, want := defaultSocket(uid, xdg), config.ResolvePaths(uid, xdg).Socket; got != want {
				t.Errorf("uid %d, XDG_RUNTIME_DIR=%q: got %s, the daemon has %s", uid, xdg, got, want)
			}
		}
	}
}

func TestCheckOwner(t *testing.T) {
	for _, tc := range []struct {
		daemon, uid int
		fine        bool
	}{{0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}} {
		if err := checkOwner(tc.daemon, tc.uid); (err == nil) != tc.fine {
			t.Errorf("daemon of uid %d, caller %d: got %v", tc.daemon, tc.uid, err)
		}
	}
}

func TestAdvice(t *testing.T) {
	s := newScript(t)
	if err := s.ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Dial(t.Context(), Options{Socket: s.path})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), s.path) || !strings.Contains(err.Error(), "start brokerd") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, Options{Socket: s.path, WaitFor: testWait}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled: got %v", err)
	}
	_, err = Dial(t.Context(), Options{Socket: "/" + strings.Repeat("x", 107)})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "108 bytes") {
		t.Errorf("path too long: got %v", err)
	}
}
