package cclient

import (
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// successions is how many producers follow each other, one at a time.
const successions = 60

// TestOneProducerAfterAnother lets producers in C and in Go end in every way, each
// the next one's predecessor in a ring of one producer.
func TestOneProducerAfterAnother(t *testing.T) {
	h := &hammer{stage: newStage(t, "[{name: md, capacity: 64KiB, checksum: true}]")}
	h.c = h.Dial()
	w := h.watch("md", client.PolicyBlock)
	block := h.attach(h.stage.c("md", "consume", "--until-end"))
	skip := h.attach(h.stage.c("md", "consume", "--until-end", "--policy", "skip"))
	for range successions {
		count := uint64(h.random.IntN(500)) + 1
		switch h.random.IntN(4) {
		case 0:
			h.begin(count).Expect(0)
		case 1:
			l := h.newLife()
			harness.Launch(t, h.goProducer("md", l.id, count)).Expect(0)
			h.writeNote(l, count, count)
		case 2:
			l := h.begin(endless)
			h.nap(lifeMax)
			h.kill(l)
		case 3: // nobody but the dead one knew of the claim
			l, _, _ := h.beginClaim()
			h.kill(l)
		}
	}
	h.end("md", w)
	h.checkNotes(w)
	h.agree("md", w, block, skip)
	if w.stats.GapRecords != 0 {
		t.Errorf("%d records in gaps", w.stats.GapRecords)
	}
}
