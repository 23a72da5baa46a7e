package client

import (
	"context"
	"fmt"
	"time"
)

// successorPause is between two looks for the successor of a ring.
const successorPause = 10 * time.Millisecond

// CorruptError says that the memory of an attachment's ring cannot be trusted any
// more: some process wrote garbage into it, or truncated it. It is an ErrCorrupt or
// an ErrFault. The daemon sets such a ring aside, and another one, with the same
// description and a new epoch, takes its name: attach again to use that. What is in
// the old one is lost, and positions and kept cursors mean nothing in the new one.
type CorruptError struct {
	Ring  string
	Epoch uint64 // of the ring that this process was attached to
	// Current is the epoch of the ring that has the name now; Epoch while it is the
	// same one, 0 when there is none, or the daemon did not tell.
	Current uint64
	found   error // in the ring
	unknown error // why the daemon did not tell
}

func (e *CorruptError) Error() string {
	text := fmt.Sprintf("%v: %s of epoch %d; ", e.found, e.Ring, e.Epoch)
	switch {
	case e.unknown != nil:
		return text + fmt.Sprintf("whether it was made anew is unknown: %v", e.unknown)
	case e.Current != e.Epoch:
		return text + fmt.Sprintf("it was made anew with epoch %d, attach again to use that", e.Current)
	}
	return text + "it was not made anew yet, brokerctl status may say why"
}

func (e *CorruptError) Unwrap() error { return e.found }

// askCorrupt waits a moment for the successor.
func (c *Client) askCorrupt(ctx context.Context, a *attachment, found error) error {
	e := &CorruptError{Ring: a.ring.Name, Epoch: a.ring.Epoch, found: found}
	for {
		now, err := c.DescribeRing(ctx, a.ring.Name)
		if err != nil && e.Current == 0 {
			e.unknown = err
		}
		if err != nil {
			return e
		}
		if e.Current = now.Ring.Epoch; e.Current != e.Epoch || !sleep(ctx, successorPause) {
			return e
		}
	}
}
