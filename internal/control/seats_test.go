package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"brokerd/internal/wire"
)

// house is a set of seats with a clock of its own and a record of who was
// sent away.
type house struct {
	*seats
	at     time.Time
	closed map[string]bool
}

func newHouse(max int) *house {
	h := &house{seats: newSeats(max, 0), at: time.Unix(1000, 0), closed: map[string]bool{}}
	h.now = func() time.Time { return h.at }
	return h
}

// enter is nil where there is no seat.
func (h *house) enter(name string) *seat {
	t, _ := h.take(subject{}, false, func() { h.closed[name] = true })
	return t
}

// enterAs returns the refusal.
func (h *house) enterAs(uid uint32, exempt bool) (*seat, *wire.Error) {
	return h.take(subject{uid: uid}, exempt, func() { h.closed[fmt.Sprint("uid ", uid)] = true })
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
	if _, err := h.enterAs(0, true); err == nil || err.Name != wire.ErrNotReady {
		t.Errorf("a connection while draining: %v, want a refusal that says so", err)
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

func TestSeatsOfOneUser(t *testing.T) {
	h := newHouse(100)
	h.setLimits(100, 2)
	first, err := h.enterAs(7, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.enterAs(7, false); err != nil {
		t.Fatalf("at the quota: %v", err)
	}
	h.at = h.at.Add(time.Hour) // both are silent, and stay
	_, err = h.enterAs(7, false)
	var numbers wire.LimitExceededParameters
	if err == nil || err.Name != wire.ErrLimitExceeded || err.Decode(&numbers) != nil ||
		numbers.Limit != "limits.per_uid.connections" || numbers.Used != 2 || numbers.Wanted != 1 || numbers.Max != 2 ||
		!strings.Contains(numbers.Message, "uid 7 has 2 connections") {
		t.Fatalf("past the quota: %v, %+v", err, numbers)
	}
	if len(h.closed) != 0 {
		t.Errorf("sent away for a user at its quota: %v", h.closed)
	}
	if _, err := h.enterAs(8, false); err != nil {
		t.Errorf("another user: %v", err)
	}
	if _, err := h.enterAs(7, true); err != nil {
		t.Errorf("exempt: %v", err)
	}
	h.leave(first)
	h.leave(first) // a second time counts for nothing
	if _, err := h.enterAs(7, false); err == nil {
		t.Error("three connections and a quota of two")
	}
	h.setLimits(100, 3)
	if _, err := h.enterAs(7, false); err != nil {
		t.Errorf("with a higher quota: %v", err)
	}
	h.setLimits(100, 0)
	if _, err := h.enterAs(7, false); err != nil {
		t.Errorf("without a quota: %v", err)
	}
}

// TestSeatsAreCountedWhenSomebodyIsSentAway holds that the seat which an
// eviction frees is not counted for its user any more, and not twice.
func TestSeatsAreCountedWhenSomebodyIsSentAway(t *testing.T) {
	h := newHouse(2)
	h.setLimits(2, 2)
	old, _ := h.enterAs(7, false)
	h.at = h.at.Add(time.Hour)
	h.enterAs(7, false)
	if _, err := h.enterAs(8, false); err != nil || !h.closed["uid 7"] {
		t.Fatalf("a silent one was not sent away: %v, %v", err, h.closed)
	}
	h.leave(old) // its session has noticed
	h.at = h.at.Add(time.Hour)
	if _, err := h.enterAs(7, false); err != nil {
		t.Errorf("one of two connections was sent away: %v", err)
	}
	for _, s := range h.open {
		h.leave(s)
	}
	if len(h.byUID) != 0 {
		t.Errorf("an empty house has %v", h.byUID)
	}
}

func TestSeatsWithALowerLimit(t *testing.T) {
	h := newHouse(4)
	for _, name := range []string{"a", "b", "c", "d"} {
		h.enter(name)
	}
	h.setLimits(2, 0)
	if h.count() != 4 || len(h.closed) != 0 || h.limit() != 2 {
		t.Fatalf("%d seats taken, sent away %v; a lower limit sends nobody away", h.count(), h.closed)
	}
	if h.enter("early") != nil {
		t.Fatal("a seat past the limit")
	}
	h.at = h.at.Add(evictIdleMin + 1)
	if h.enter("late") == nil || h.count() != 2 {
		t.Errorf("%d seats taken, want the silent ones gone until the new limit holds", h.count())
	}
}
