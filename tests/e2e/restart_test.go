package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	restarts = 5
	// resumeMax is how long after a daemon is ready all attachments are back.
	resumeMax = time.Second
	// pieceTime is how long each piece of the feed takes, so that restarts meet
	// a stream and not its end.
	pieceTime  = 300 * time.Millisecond
	pieceSteps = 100
)

// identity is what a restart must not change about an attachment.
type identity struct {
	id         string
	role       client.Role
	slot       int
	generation uint32
	epoch      uint64
	name       string
	pid        int
	policy     client.Policy
	since      int64
}

func identities(list []client.Attachment) []identity {
	var ids []identity
	for _, a := range list {
		if a.State == client.StateAttached {
			ids = append(ids, identity{a.ID, a.Role, a.Slot, a.Generation, a.Epoch, a.Name, a.PID, a.Policy, a.SinceNS})
		}
	}
	slices.SortFunc(ids, func(a, b identity) int { return cmp.Compare(a.id, b.id) })
	return ids
}

// TestWholeFeedWhileTheDaemonDies kills the daemon five times in the middle of
// the stream. While it is away the stream goes on; when it is back, everybody
// is attached as before.
func TestWholeFeedWhileTheDaemonDies(t *testing.T) {
	data := harness.Feed(t)
	p := newPlace(t, feedRing)
	d := p.Start()
	c := p.Dial()
	r := newRelay(t, p, c)
	first := bytes.IndexByte(data, '\n') + 1
	r.write(data[:first])
	r.arrived(first)

	begin := time.Now()
	before := identities(harness.WaitAttached(t, c, "md", feedReaders+1))
	sent := first
	piece := func() (part []byte) { // whole lines: half a line arrives nowhere
		end := sent + len(data)/(2*restarts+1)
		end = bytes.LastIndexByte(data[:end], '\n') + 1
		part, sent = data[sent:end], end
		return part
	}
	for n := range restarts {
		half := sent
		done := r.writeSlowly(piece())
		half += (sent - half) / 2
		r.arrived(half)
		d.Kill()
		<-done
		r.arrived(sent) // with no daemon at all

		done = r.writeSlowly(piece())
		d = p.Start()
		ready := time.Now()
		var now []identity
		for !slices.Equal(now, before) && time.Since(ready) < harness.Patience {
			now = identities(harness.Attachments(t, c, "md"))
		}
		took := since(ready)
		if !slices.Equal(now, before) {
			t.Fatalf("restart %d: attachments are\n%+v\nand were\n%+v", n, now, before)
		}
		if took > resumeMax {
			t.Errorf("restart %d: all were attached again after %v, want at most %v", n, took, resumeMax)
		}
		t.Logf("restart %d: all attached again %v after ready", n, took)
		<-done
		r.arrived(sent)
		checkPositions(t, c)
	}
	r.write(data[sent:])
	r.finish(data)
	t.Logf("%d restarts in %v", restarts, since(begin))
	var status client.Status
	p.Object(&status, "status")
	if status.RingsAdopted != 1 || status.Repairs != 0 || len(status.Problems)+len(status.Quarantined) != 0 {
		t.Errorf("status of the last daemon: %+v", status)
	}
}

// writeSlowly writes in the background, paced, and closes the channel when all
// is written.
func (r *relay) writeSlowly(data []byte) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pieceTime / pieceSteps)
		defer tick.Stop()
		for part := range slices.Chunk(data, len(data)/pieceSteps+1) {
			if _, err := r.input.Write(part); err != nil {
				r.t.Errorf("write to the producer: %v", err)
				return
			}
			<-tick.C
		}
	}()
	return done
}

// checkPositions checks, while nothing moves, that everybody is at the end.
func checkPositions(t *testing.T, c *client.Client) {
	t.Helper()
	var different string
	harness.Eventually(t, "all positions are the end of the ring", func() bool {
		end := harness.RingStats(t, c, "md")
		different = ""
		for _, a := range harness.Attachments(t, c, "md") {
			if a.Position != end.Position || a.Sequence != end.Sequence || a.LagBytes != 0 || a.MissedRecords != 0 {
				different = fmt.Sprintf("%+v at %+v", a, end)
			}
		}
		return different == ""
	})
}
