package bugs

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// atOnce is how many copies are checked at the same time.
const atOnce = 2

// oneOf: of so many bugs one is checked if not all are; the others are looked at only for whether they apply.
const oneOf = 4

var (
	only = flag.String("bug", "", "check only the planted bugs whose name has this in it, those all")
	all  = flag.Bool("all", false, fmt.Sprintf("check all planted bugs, not one of %d", oneOf))
)

// checker finds bugs that are planted in one package.
type checker struct {
	name    string
	folder  string   // of the package; the patches are in its testdata/bugs
	parts   []string // files and folders of the module that a copy needs
	tests   string   // pattern of those to run, where a patch names none
	args    []string // of go test, before and after the package
	flags   []string
	verdict *regexp.Regexp // of its own; its group says what it found
	planted int            // at least
	timeMax time.Duration  // of one bug
}

// The model of the ring, by a build tag, one scenario for each bug.
func modelOfRing() checker {
	return checker{
		name:    "ring model",
		folder:  "internal/shmring",
		parts:   []string{"go.mod", "go.sum", "internal/shmring"},
		args:    []string{"-tags=ringmodel"},
		verdict: regexp.MustCompile(`violated: (.*)`),
		planted: 14,
		timeMax: 3 * time.Minute,
	}
}

// The simulator of the link, seeded networks until one shows it.
func simulatorOfLink() checker {
	return checker{
		name:    "link simulator",
		folder:  "internal/link",
		parts:   []string{"go.mod", "go.sum", "internal/link", "internal/wire", "internal/shmring"},
		tests:   "^(TestMirrorEqualsItsOrigin|TestEveryRecordIsPublishedOnce)$",
		flags:   []string{"-link.schedules=600"},
		verdict: regexp.MustCompile(`seed \d+ \(run it alone [^)]*\): (.*)`),
		planted: 18,
		timeMax: 2 * time.Minute,
	}
}

func TestModelOfRingFindsPlantedBugs(t *testing.T) { checkAll(t, modelOfRing()) }

func TestSimulatorOfLinkFindsPlantedBugs(t *testing.T) { checkAll(t, simulatorOfLink()) }

// checkAll plants each bug in a copy of its own, and prints what found it.
func checkAll(t *testing.T, c checker) {
	if testing.Short() {
		t.Skip("builds the code anew for each planted bug")
	}
	bugs, err := c.bugs()
	if err != nil {
		t.Fatal(err)
	}
	if len(bugs) < c.planted {
		t.Fatalf("%d planted bugs, want at least %d", len(bugs), c.planted)
	}
	bugs = slices.DeleteFunc(bugs, func(b bug) bool { return !strings.Contains(b.name, *only) })
	results := make([]result, len(bugs))
	checked := func(i int) bool { return *all || *only != "" || i%oneOf == 0 }
	var join sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, b := range bugs {
		join.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			results[i] = c.check(t.TempDir(), b, checked(i))
		})
	}
	join.Wait()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	caught, tried := 0, 0
	for i, b := range bugs {
		r := results[i]
		if !checked(i) && r.verdict == planted {
			continue
		}
		tried++
		fmt.Fprintf(w, "%s\t%s\t%.1fs\t%s\n", b.name, b.where(), r.took.Seconds(), clip(r.what))
		if r.verdict == found {
			caught++
			continue
		}
		t.Errorf("%s: %s: %s\n%s", b.name, b.where(), r.verdict, r.what)
	}
	w.Flush()
	t.Logf("%s\n%s", c.name, table.String())
	fmt.Printf("counts: %s: caught / planted: %d / %d, of %d bugs (make bugs checks all)\n", c.name, caught, tried, len(bugs))
}

// clip is the first line of s, for a table.
func clip(s string) string {
	const most = 100
	s, _, _ = strings.Cut(s, "\n")
	return s[:min(len(s), most)]
}
