package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const (
	// rootFolderMode lets every user reach the socket; its own mode then says
	// who may connect.
	rootFolderMode = os.FileMode(0o755)
	userFolderMode = os.FileMode(0o700)
)

// prepareFolder makes sure that the socket's folder is there and that nobody
// but uid and root can put another socket in the socket's place. A missing
// folder is created, its parent is not.
func prepareFolder(path string, uid int) error {
	mode := userFolderMode
	if uid == 0 {
		mode = rootFolderMode
	}
	err := os.Mkdir(path, mode)
	switch {
	case err == nil:
		// Mkdir is subject to the umask. Nobody else can have replaced the folder
		// meanwhile: its parent is ours, root's, or sticky like /tmp.
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("folder of the control socket: %w", err)
		}
	case errors.Is(err, fs.ErrExist):
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("folder of the control socket: %w; create the folder above it, or set control.socket elsewhere", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("folder of the control socket: %w; create it for uid %d, or set control.socket elsewhere", err, uid)
	default:
		return fmt.Errorf("folder of the control socket: %w", err)
	}
	return checkFolder(path, uid)
}

// checkFolder refuses what somebody else could have prepared in /tmp to catch
// clients: a link, or a folder that they own or may write to.
func checkFolder(path string, uid int) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("folder of the control socket: %w", err)
	}
	const wayOut = "remove it, or set control.socket to a path in another folder"
	if info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("folder of the control socket: %s is a symbolic link; %s", path, wayOut)
	}
	if !info.IsDir() {
		return fmt.Errorf("folder of the control socket: %s is not a folder; %s", path, wayOut)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("folder of the control socket: the owner of %s cannot be told", path)
	}
	if owner := int(stat.Uid); owner != uid && owner != 0 {
		return fmt.Errorf("folder of the control socket: %s belongs to uid %d, and this daemon runs as uid %d; %s",
			path, owner, uid, wayOut)
	}
	if info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("folder of the control socket: everybody may write to %s (mode %04o) and replace the socket; chmod o-w it, or set control.socket elsewhere",
			path, info.Mode().Perm())
	}
	return nil
}
