package cclient

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// lifeMax is how long a producer lives before it is killed.
const lifeMax = 15 * time.Millisecond

// endless is a count of records that no producer comes to the end of.
const endless = 1 << 40

// life is one process that produces, until it is killed.
type life struct {
	*harness.Process
	id   uint64
	note string // file with the number of records that it began and published
}

// hammer is a ring with producers that die.
type hammer struct {
	stage
	c       *client.Client
	lives   []*life
	repairs []time.Duration // from a kill to the free slot
	passes  []time.Duration // from a kill to a reader behind the claim
	stops   int
}

// newLife is a producer that is yet to be started.
func (h *hammer) newLife() *life {
	h.stage.t.Helper()
	l := &life{id: uint64(len(h.lives) + 1)}
	l.note = filepath.Join(h.Root, fmt.Sprintf("note-%d", l.id))
	h.writeNote(l, 0, 0)
	h.lives = append(h.lives, l)
	return l
}

// begin starts a producer in C.
func (h *hammer) begin(count uint64, more ...string) *life {
	h.stage.t.Helper()
	l := h.newLife()
	args := []string{"produce", "--id", strconv.FormatUint(l.id, 10), "--count", strconv.FormatUint(count, 10), "--note", l.note}
	l.Process = h.attach(h.stage.c("md", append(args, more...)...))
	return l
}

// nap waits for a random time.
func (h *hammer) nap(most time.Duration) { time.Sleep(time.Duration(h.random.Int64N(int64(most)))) }

// kill kills a producer and waits until the daemon has freed its slot, which is
// after it has given up its claim.
func (h *hammer) kill(l *life) time.Time {
	t := h.stage.t
	t.Helper()
	begin := time.Now()
	l.Kill()
	harness.Eventually(t, "the killed producer's slot is free", func() bool {
		return !slices.ContainsFunc(harness.Attachments(t, h.c, "md"), func(a client.Attachment) bool { return a.PID == l.PID() })
	})
	h.repairs = append(h.repairs, time.Since(begin))
	return begin
}

// beginClaim starts a producer that publishes a few records, claims once more and
// keeps the claim: before its first commit (part 1), or between the pad and the
// record of it (part 2). It returns the number of that record and the claim's
// position in bytes.
func (h *hammer) beginClaim() (l *life, number, position uint64) {
	t := h.stage.t
	t.Helper()
	l = h.begin(uint64(h.random.IntN(50)), "--hold-claim", strconv.Itoa(1+h.random.IntN(2)))
	line := ""
	harness.Eventually(t, "a claim is kept", func() bool {
		line = strings.TrimPrefix(l.Stdout.String(), sayAttached)
		return strings.HasSuffix(line, "\n")
	})
	if _, err := fmt.Sscanf(line, "holding %d at %d\n", &number, &position); err != nil {
		t.Fatalf("the C producer printed %q: %v", line, err)
	}
	h.writeNote(l, number, number) // its own does not tell what it published while it looked for such a claim
	return l, number, position
}

func (h *hammer) writeNote(l *life, began, published uint64) {
	h.stage.t.Helper()
	note := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, began), published)
	if err := os.WriteFile(l.note, note, 0o600); err != nil {
		h.stage.t.Fatal(err)
	}
}

func (h *hammer) readNote(l *life) (began, published uint64) {
	h.stage.t.Helper()
	note, err := os.ReadFile(l.note)
	if err != nil || len(note) != 16 {
		h.stage.t.Fatalf("the note of producer %d has %d bytes: %v", l.id, len(note), err)
	}
	return binary.LittleEndian.Uint64(note), binary.LittleEndian.Uint64(note[8:])
}

// steady starts a producer in Go that publishes, as number 0, until its stdin is
// closed.
func (h *hammer) steady() (*harness.Process, io.Closer) {
	h.stage.t.Helper()
	cmd := h.goProducer("md", 0, 0)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		h.stage.t.Fatal(err)
	}
	return h.attach(cmd), stdin
}

// checkNotes checks that readers had what each producer published before it died,
// and nothing that it had not begun.
func (h *hammer) checkNotes(w *watcher) {
	h.stage.t.Helper()
	for _, l := range h.lives {
		began, published := h.readNote(l)
		if got := w.counts[l.id]; got < published || got > began {
			h.stage.t.Errorf("producer %d began %d records and published %d; readers had %d", l.id, began, published, got)
		}
	}
}
