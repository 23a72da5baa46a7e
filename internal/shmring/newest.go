package shmring

import "runtime/debug"

// Newest is the boundary behind the newest record that is committed: exact while
// nothing is published. The walk to it is a bounded one (look in walk.go), and
// moves nothing of the reader. Errors: ErrCorrupt, ErrFault, ErrClosed.
func (c *Consumer) Newest() (at Boundary, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if c.closed {
		return Boundary{}, ErrClosed
	}
	end, err := c.look(boundary{c.pos, c.seq})
	if err != nil {
		return Boundary{}, err
	}
	return end.public(), nil
}
