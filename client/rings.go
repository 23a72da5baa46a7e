package client

import (
	"context"
	"errors"
	"time"

	"brokerd/internal/wire"
)

// ringPollMax is the longest pause between two looks for a ring.
const ringPollMax = 100 * time.Millisecond

// CreateRing makes a ring. Errors: ErrInvalidRing, ErrRingExists, ErrNoSpace,
// ErrLimitExceeded, ErrAccessDenied; ErrUnreachable.
func (c *Client) CreateRing(ctx context.Context, spec RingSpec) (Ring, error) {
	var out wire.CreateRingOut
	err := c.call(ctx, wire.MethodCreateRing, wire.CreateRingIn{Ring: spec}, &out)
	return out.Ring, err
}

// RemoveRing removes a ring. It is refused with ErrRingInUse while anybody is
// attached, unless force: then whoever is attached gets ErrRemoved.
func (c *Client) RemoveRing(ctx context.Context, name string, force bool) error {
	return c.call(ctx, wire.MethodRemoveRing, wire.RemoveRingIn{Name: name, Force: force}, &wire.RemoveRingOut{})
}

// Rings lists the rings.
func (c *Client) Rings(ctx context.Context) ([]Ring, error) {
	var out wire.ListRingsOut
	err := c.query(ctx, wire.MethodListRings, wire.ListRingsIn{}, &out)
	return out.Rings, err
}

// DescribeRing tells all about one ring, or ErrRingNotFound.
func (c *Client) DescribeRing(ctx context.Context, name string) (RingDetails, error) {
	var out RingDetails
	err := c.query(ctx, wire.MethodDescribeRing, wire.DescribeRingIn{Name: name}, &out)
	return out, err
}

// WaitRing waits until a ring exists and the daemon is ready to lend it, or
// until ctx ends; the error then wraps both the context's and what was missing,
// and says how long it was waited for.
func (c *Client) WaitRing(ctx context.Context, name string) error {
	begin := time.Now()
	var missing error
	for pause := redialDelayMin; ; pause = min(2*pause, ringPollMax) {
		_, err := c.DescribeRing(ctx, name)
		switch {
		case errors.Is(err, ErrRingNotFound), errors.Is(err, ErrNotReady):
			missing = err
		case missing != nil && errors.Is(err, errUnanswered):
			return overdue(ctx, begin, missing)
		default:
			return err
		}
		if !sleep(ctx, pause) {
			return overdue(ctx, begin, missing)
		}
	}
}
