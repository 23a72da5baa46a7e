package torture

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// report prints what was done and found.
func (t *torture) report(took time.Duration) {
	y := t.tally
	records := uint64(0)
	for _, r := range t.rings {
		count, _, _ := r.truth.progress()
		records += count
	}
	fmt.Printf("counts: torture: seed %d: %d processes and 2 daemons at a time for %v: %d kills (%s), %d stops, %d lives\n",
		t.seed, len(t.lanes), took.Round(time.Second), y.sum(), y.byKind(), y.stops, y.lives)
	fmt.Printf("counts: torture: %d records in 4 rings, %d receipts checked, %d readers resumed, %d times a stopped process was still attached, %d times a stopped one held its ring and no other, %d of them went on; %d violations\n",
		records, y.judged, y.resumed, y.found, y.heldStopped, y.heldContinued, len(y.wrong))
	for _, kind := range []string{"claims of many", "gating readers"} {
		var kill, exit []time.Duration
		for _, h := range y.took[kind] {
			kill, exit = append(kill, h.sinceKill), append(exit, h.sinceExit)
		}
		fmt.Printf("counts: torture: others held by killed %s: %s; from the exit on: %s\n", kind, distribution(kill), distribution(exit))
		if slices.Sort(exit); len(exit) >= heldJudgedMin && exit[len(exit)/2] > heldGoal {
			t.t.Errorf("seed %d: more than half of the killed %s held the others for over %v: %v", t.seed, kind, heldGoal, exit)
		}
	}
	if len(y.wrong) == 0 && y.sum() < *killsFlag {
		t.t.Errorf("%d kills in %v, want %d", y.sum(), took, *killsFlag)
	}
	for _, wrong := range slices.Compact(y.wrong) {
		t.t.Errorf("seed %d: %s", t.seed, wrong)
	}
	if t.t.Failed() {
		t.t.Logf("books and logs are kept in %s", t.dir)
		return
	}
	if err := os.RemoveAll(t.dir); err != nil {
		t.t.Error(err)
	}
}
