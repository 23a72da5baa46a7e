package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

const (
	wantDir    = "an absolute path of a folder, at most 3072 bytes (leave the key out for the default)"
	wantSocket = "an absolute path of a socket (leave the key out for the default)"
)

// Paths are where a daemon puts its socket and its ring files.
type Paths struct {
	Socket string // control.socket
	Dir    string // dir
}

// ResolvePaths returns the default paths of a user. Root has the host's;
// everybody else has paths of their own, below xdgRuntimeDir when that is an
// absolute path and in /tmp otherwise, so that daemons of several users can run
// side by side. It touches no file.
func ResolvePaths(uid int, xdgRuntimeDir string) Paths {
	if uid == 0 {
		return Paths{Socket: "/run/brokerd/control.sock", Dir: "/dev/shm/brokerd"}
	}
	own := fmt.Sprintf("brokerd-%d", uid)
	p := Paths{Dir: filepath.Join("/dev/shm", own)}
	if filepath.IsAbs(xdgRuntimeDir) {
		p.Socket = filepath.Join(xdgRuntimeDir, "brokerd", "control.sock")
	} else {
		p.Socket = filepath.Join("/tmp", own, "control.sock")
	}
	return p
}

// Resolve puts p where c names no path. It refuses with a *KeyError a socket
// path that no socket address can hold, which a long XDG_RUNTIME_DIR can cause.
func (c *Config) Resolve(p Paths) error {
	if c.Dir == "" {
		c.Dir = p.Dir
	}
	if c.Control.Socket == "" {
		c.Control.Socket = p.Socket
	}
	if e := checkSocket(c.Control.Socket); e != nil {
		return e
	}
	if !validPath(c.Dir, dirBytesMax) {
		return &KeyError{Key: "dir", Got: quote(c.Dir), Expected: wantDir}
	}
	return nil
}

// checkSocket returns nil for a path that a socket can be bound to.
func checkSocket(path string) *KeyError {
	if len(path) > socketPathBytesMax {
		return &KeyError{Key: "control.socket", Got: fmt.Sprintf("a path of %d bytes, %s", len(path), quote(path)),
			Expected: fmt.Sprintf("at most %d bytes, all that a Unix socket address holds; set control.socket to a shorter path",
				socketPathBytesMax)}
	}
	if !validPath(path, socketPathBytesMax) {
		return &KeyError{Key: "control.socket", Got: quote(path), Expected: wantSocket}
	}
	return nil
}

// validPath accepts printable absolute paths of something below the root.
func validPath(path string, bytesMax int) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) != "/" && len(path) <= bytesMax &&
		strings.IndexFunc(path, func(c rune) bool {
			return c == unicode.ReplacementChar || !unicode.IsPrint(c)
		}) < 0
}
