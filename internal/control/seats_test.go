package control

import (
	"testing"
	"time"
)

// house is a set of seats with a clock of its own and a record of who was
// sent away.
type house struct {
	*seats
	at     time.Time
	closed map[string]bool
}

func newHouse(max int) *house {
	h := &house{seats: newSeats(max), at: time.Unix(1000, 0), closed: map[string]bool{}}
	h.now = func() time.Time { return h.at }
	return h
}

func (h *house) enter(name string) *seat {
	return h.take(func() { h.closed[name] = true })
}

func TestSeatsEvictTheLongestSilent(t *testing.T) {
	h := newHouse(3)
	attached := h.enter("attached")
	h.lend(attached, "md/c0.1")
	h.at = h.at.Add(time.Millisecond)
	talking := h.enter("talking")
	if !h.begin(talking) {
		t.Fatal("a call was refused for no reason")
	}
	h.at = h.at.Add(time.Millisecond)
	silent := h.enter("silent")

	h.at = silent.since.Add(evictIdleMin)
	if h.enter("early") != nil {
		t.Fatal("somebody silent for exactly evictIdleMin was sent away")
	}
	h.at = h.at.Add(1)
	late := h.enter("late")
	if late == nil || !h.closed["silent"] || len(h.closed) != 1 {
		t.Fatalf("late got %v, sent away %v; want a seat and only silent sent away", late, h.closed)
	}
	if h.begin(silent) {
		t.Error("a call began on a connection that was sent away")
	}
	h.leave(silent)
	if h.count() != 3 {
		t.Errorf("%d seats taken, want 3", h.count())
	}

	// The one that talked is next once it has been silent; the attached never.
	if !h.end(talking) {
		t.Error("a connection ended for no reason")
	}
	h.at = h.at.Add(evictIdleMin + 1)
	late2 := h.enter("late2")
	if late2 == nil || h.closed["attached"] {
		t.Fatalf("late2 got %v, sent away %v", late2, h.closed)
	}
	h.at = h.at.Add(time.Hour)
	h.enter("x")
	h.enter("y")
	if h.closed["attached"] {
		t.Fatal("a connection with an attachment was sent away")
	}
	h.returned("md/c0.1")
	h.at = h.at.Add(time.Hour)
	h.enter("z")
	if !h.closed["attached"] {
		t.Fatal("a connection whose attachment is gone still counts as attached")
	}
}

func TestSeatsForgetARing(t *testing.T) {
	h := newHouse(2)
	a := h.enter("a")
	h.lend(a, "md/c0.1")
	h.lend(a, "md2/c0.1")
	h.ringGone("md")
	if len(a.lent) != 1 || a.lent[0] != "md2/c0.1" {
		t.Fatalf("left with %v, want md2/c0.1 only", a.lent)
	}
	h.returned("md2/c0.2")
	if len(a.lent) != 1 {
		t.Fatal("another generation's end was taken for this one's")
	}
}

func TestSeatsDrain(t *testing.T) {
	h := newHouse(4)
	h.enter("idle")
	busy := h.enter("busy")
	h.begin(busy)
	h.drain()
	if !h.closed["idle"] || h.closed["busy"] {
		t.Fatalf("closed %v, want idle only", h.closed)
	}
	if h.enter("new") != nil {
		t.Error("a connection was admitted while draining")
	}
	if h.end(busy) {
		t.Error("a connection goes on while draining")
	}
	if h.begin(busy) {
		t.Error("a call began while draining")
	}
	h.closeAll()
	if !h.closed["busy"] {
		t.Error("closeAll left a connection open")
	}
}

func TestSeatsNumbersAreNeverReused(t *testing.T) {
	h := newHouse(1)
	a := h.enter("a")
	h.leave(a)
	if b := h.enter("b"); b.conn == a.conn || b.conn == 0 {
		t.Fatalf("connection numbers %d and %d", a.conn, b.conn)
	}
}
