package client

import (
	"context"

	"brokerd/internal/wire"
)

// Reload makes the daemon read its configuration file again, and tells in
// sentences what took effect and what only a restart can change. It is for
// administrators. Errors: ErrInvalidConfig for a file with any error, which
// changes nothing; ErrAccessDenied; ErrUnreachable.
func (c *Client) Reload(ctx context.Context) (ReloadOut, error) {
	var out ReloadOut
	err := c.call(ctx, wire.MethodReload, wire.ReloadIn{}, &out)
	return out, err
}
