package client

import (
	"context"

	"brokerd/internal/wire"
)

// Links tells what the daemon moves to and from other hosts: its links, its feeds
// of raw streams, and the handshakes it refused. All are empty where it has no
// gateway.
func (c *Client) Links(ctx context.Context) (Links, error) {
	var out Links
	err := c.query(ctx, wire.MethodListLinks, wire.ListLinksIn{}, &out)
	return out, err
}
