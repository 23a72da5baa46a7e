package main

import (
	"context"
	"errors"
	"time"

	"brokerd/client"
)

// dialPatience is how long a process that starts before the daemon waits for it.
const dialPatience = time.Minute

// connect dials the daemon, once in a process, and waits until it lends the rings.
func connect(ctx context.Context, socket string, rings ...string) (*client.Client, error) {
	c, err := client.Dial(ctx, client.Options{Socket: socket, WaitFor: dialPatience})
	if err != nil {
		return nil, err
	}
	for _, ring := range rings {
		if err := c.WaitRing(ctx, ring); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}
