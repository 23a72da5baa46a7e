package client

import (
	"context"

	"brokerd/internal/wire"
)

// CollectGarbage deletes quarantined rings, and what is left of rings that were being
// made or removed; with dryRun it only lists them. What is no ring is listed, too, and
// left alone. It is for administrators. Errors: ErrAccessDenied; ErrUnreachable.
func (c *Client) CollectGarbage(ctx context.Context, dryRun bool) (GarbageOut, error) {
	var out GarbageOut
	err := c.call(ctx, wire.MethodCollectGarbage, wire.CollectGarbageIn{DryRun: dryRun}, &out)
	return out, err
}
