package client

import (
	"context"

	"brokerd/internal/wire"
)

// Status tells how far the daemon is, what it holds and what its limits are. It
// answers in every state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	err := c.query(ctx, wire.MethodGetStatus, wire.GetStatusIn{}, &out)
	return out, err
}
