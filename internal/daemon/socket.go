package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"brokerd/internal/config"
	"brokerd/internal/control"
	"brokerd/internal/unixconn"
)

// prepareSocket takes over the control socket that a service manager has opened,
// or makes the folder of one to be opened later.
func (d *daemon) prepareSocket(context.Context) error {
	path := d.cfg.Load().Control.Socket
	files, err := unixconn.Activated(os.Getenv, os.Getpid())
	if err != nil {
		return fmt.Errorf("socket activation: %w", err)
	}
	if len(files) == 0 {
		return prepareFolder(filepath.Dir(path), os.Geteuid())
	}
	d.handed, err = inherit(files, path)
	if err != nil {
		return fmt.Errorf("socket activation: %w", err)
	}
	d.inherits = true
	d.log.Info("the control socket is the service manager's, its mode and group too", zap.String("socket", path))
	d.undo = append(d.undo, func() error {
		if d.handed == nil { // the control server has closed it
			return nil
		}
		return d.handed.Close()
	})
	return nil
}

// inherit makes the listener of the one socket that was handed over, which has
// to lie where clients look for it. It owns files from the call on.
func inherit(files []*os.File, path string) (*unixconn.Listener, error) {
	if len(files) > 1 {
		errs := []error{fmt.Errorf("%d sockets are handed over, expected one: leave ListenStream=%s alone in the socket unit", len(files), path)}
		for _, f := range files {
			errs = append(errs, f.Close())
		}
		return nil, errors.Join(errs...)
	}
	listener, err := unixconn.Inherit(files[0])
	if err != nil {
		return nil, err
	}
	if at := listener.Path(); filepath.Clean(at) != path {
		return nil, errors.Join(fmt.Errorf(
			"the socket handed over is %s and control.socket is %s: make ListenStream= of the socket unit and control.socket the same", at, path),
			listener.Close())
	}
	return listener, nil
}

// listen returns the control socket, to be closed by the caller. The mode and
// group of one that was handed over are the service manager's.
func (d *daemon) listen(ctx context.Context, c config.Control) (*unixconn.Listener, error) {
	if listener := d.handed; listener != nil {
		d.handed = nil
		return listener, nil
	}
	gid, err := groupID(ctx, "control.group", c.Group)
	if err != nil {
		return nil, err
	}
	return unixconn.Listen(c.Socket, c.Mode, gid)
}

// groupID resolves the group that key of the configuration names.
func groupID(ctx context.Context, key, group string) (int, error) {
	gid, err := control.GroupID(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return gid, nil
}
