package daemon

import (
	"strings"
	"testing"
	"time"
)

func TestBeatsAtAndPastTheLimit(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBeats(func() time.Time { return now })
	beat, release := b.join("broker loop")
	otherBeat, otherRelease := b.join("accept loop")

	now = now.Add(beatSilenceMax)
	if late := b.late(); late != nil {
		t.Errorf("late at the limit: %q", late)
	}
	now = now.Add(time.Millisecond)
	late := b.late()
	if len(late) != 2 || !strings.HasPrefix(late[0], "accept loop: no beat for 5s") || !strings.HasPrefix(late[1], "broker loop: ") {
		t.Errorf("past the limit: %q, want both loops by name, in order", late)
	}
	beat()
	otherRelease()
	if late := b.late(); late != nil {
		t.Errorf("late after a beat of one and the end of the other: %q", late)
	}
	release()
	beat()
	otherBeat() // a beat that comes late counts for nothing
	now = now.Add(time.Hour)
	if late := b.late(); late != nil {
		t.Errorf("loops that ended are late: %q", late)
	}
}
