package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// openSocket is a listening socket as a service manager hands it over.
func openSocket(t *testing.T) (path string, file *os.File) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "control.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if file, err = listener.File(); err != nil {
		t.Fatal(err)
	}
	return path, file
}

func TestInheritTakesTheSocketThatIsConfigured(t *testing.T) {
	path, file := openSocket(t)
	listener, err := inherit([]*os.File{file}, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the path is the service manager's: %v", err)
	}
}

func TestInheritRefuses(t *testing.T) {
	first, a := openSocket(t)
	second, b := openSocket(t)
	_, c := openSocket(t)
	noSocket, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		files []*os.File
		words []string
	}{
		{[]*os.File{a}, []string{first, "control.socket is " + second, "ListenStream="}},
		{[]*os.File{b, c}, []string{"2 sockets", "expected one", "ListenStream=" + second}},
		{[]*os.File{noSocket}, []string{os.DevNull, "no socket"}},
	} {
		_, err := inherit(tt.files, second)
		for _, word := range tt.words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("got %v, want an error with %q", err, word)
			}
		}
		for _, f := range tt.files {
			if err := f.Close(); err == nil {
				t.Errorf("%v: a file was left open", tt.words)
			}
		}
	}
}
