package client

import (
	"errors"
	"testing"

	"brokerd/internal/shmring"
)

// TestPollerTellsLossesBesideBusyRings that are ready at every look.
func TestPollerTellsLossesBesideBusyRings(t *testing.T) {
	c, p := newScript(t).dial()
	poller := NewPoller(PollerOptions{})
	var readers []*Consumer
	var feeds []*shmring.Producer
	for range 3 {
		mem := lender(t)
		feeds = append(feeds, feedOf(t, mem))
		out, files := grant(t, mem, 3)
		r, _ := attached(t, c, p, ConsumerOptions{}, out, files)
		readers = append(readers, r)
		if err := poller.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	turns := func(n int) map[*Consumer]int {
		got := map[*Consumer]int{}
		for range n {
			if err := feeds[0].Send(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			r, err := poller.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[r]++
			if _, err := r.TryReceive(); r == readers[0] && err != nil || r != readers[0] && !errors.Is(err, ErrLost) {
				t.Fatal(err)
			}
		}
		return got
	}
	if got := turns(5); got[readers[0]] != 5 {
		t.Errorf("turns %v, want all for the busy one", got)
	}
	for _, r := range readers[1:] {
		r.a.lose(errors.New("the test says so"))
	}
	// One turn for each loss, though the first ring is ready always; and then
	// they are not in its way.
	if got := turns(10); got[readers[1]] != 1 || got[readers[2]] != 1 || got[readers[0]] != 8 {
		t.Errorf("turns %v, want one for each loss and the rest for the busy one", got)
	}
	for range 4 { // drains what two turns left
		if r, err := poller.Wait(t.Context()); err != nil || r != readers[0] {
			break
		} else if _, err := r.TryReceive(); err != nil {
			t.Fatal(err)
		}
	}
	// With nothing else to say they are returned until they are removed.
	seen := map[*Consumer]bool{}
	for range 4 {
		r, err := poller.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen[r] = true
	}
	if !seen[readers[1]] || !seen[readers[2]] || seen[readers[0]] {
		t.Errorf("got %v, want the two that are lost in turn", seen)
	}
	detached(t, p, readers[0])
	for _, r := range readers[1:] {
		if err := r.Close(); !errors.Is(err, ErrLost) {
			t.Errorf("close: %v", err)
		}
	}
}
