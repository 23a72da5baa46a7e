package harness

import (
	"context"
	"fmt"
	"testing"

	"brokerd/client"
)

// Dial connects this process; the test closes the connection.
func (p Place) Dial() *client.Client {
	p.T.Helper()
	c, err := Dial(p.Socket)
	if err != nil {
		p.T.Fatal(err)
	}
	p.T.Cleanup(func() { _ = c.Close() })
	return c
}

// Dial connects a process that has no test, in a role.
func Dial(socket string) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return client.Dial(ctx, client.Options{Socket: socket, WaitFor: Patience})
}

// Attachments lists who is attached, "" for all rings.
func Attachments(t testing.TB, c *client.Client, ring string) []client.Attachment {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	list, err := c.Attachments(ctx, ring)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// RingStats returns the numbers of one ring.
func RingStats(t testing.TB, c *client.Client, ring string) client.RingStats {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	s, err := c.Stats(ctx, ring)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rings) != 1 || s.Rings[0].Name != ring {
		t.Fatalf("stats of ring %s: %+v", ring, s)
	}
	return s.Rings[0]
}

// WaitAttached waits until the ring has so many attachments that are attached.
func WaitAttached(t testing.TB, c *client.Client, ring string, n int) []client.Attachment {
	t.Helper()
	var list []client.Attachment
	Eventually(t, fmt.Sprintf("%d attachments of %s", n, ring), func() bool {
		list = Attachments(t, c, ring)
		attached := 0
		for _, a := range list {
			if a.State == client.StateAttached {
				attached++
			}
		}
		return attached == n
	})
	return list
}
