package torture

import (
	"fmt"
	"strings"
	"testing"

	"brokerd/client"
)

// forgedRecords are what a ring has had: two producers in turn, and record 5 is a gap.
func forgedRecords() (list []client.Record) {
	n := map[uint32]uint64{}
	for i := range uint64(12) {
		if i == 5 {
			continue
		}
		who := life{uint32(1 + i%2), 1}
		n[who.lane]++
		payload := make([]byte, stampBytes+int(i))
		stamp{life: who, n: n[who.lane]}.fill(payload)
		rec := client.Record{Payload: payload, Position: 64 * i, Sequence: i}
		if i == 6 {
			rec.Gaps = 1
		}
		list = append(list, rec)
	}
	return list
}

func forgedTruth(t *testing.T) *truth {
	t.Helper()
	truth := newTruth()
	for _, rec := range forgedRecords() {
		if err := truth.add(rec, false); err != nil {
			t.Fatal(err)
		}
	}
	return truth
}

// kept is the book of a reader of those records, as a victim keeps it, and what it found itself.
func kept(list []client.Record, mayMiss, mirror bool) (book, error) {
	b := newBook()
	w := newWitness(0, 0)
	w.mirror = mirror
	b.set(wordState, stateAttached)
	for _, rec := range list {
		if _, err := w.see(rec, mayMiss); err != nil {
			return b, err
		}
		b.note(w.runs, w.at)
	}
	return b, nil
}

// TestWitnessFindsForgedRecords: what a reader is given wrongly it finds itself.
func TestWitnessFindsForgedRecords(t *testing.T) {
	for _, forged := range []struct {
		what  string
		says  string // "" for nothing wrong
		forge func(list []client.Record) []client.Record
	}{
		{"nothing", "", func(l []client.Record) []client.Record { return l }},
		{"a record is lost", "was to come", func(l []client.Record) []client.Record { return append(l[:3:3], l[4:]...) }},
		{"one is lost and told to be", "lossless reader is told", func(l []client.Record) []client.Record { l[4].Missed = 1; return append(l[:3:3], l[4:]...) }},
		{"one is lost and told to be a gap", "follows its record", func(l []client.Record) []client.Record { l[4].Gaps = 1; return append(l[:3:3], l[4:]...) }},
		{"one comes twice", "comes twice", func(l []client.Record) []client.Record { return append(l[:4:4], l[3:]...) }},
		{"two change places", "was to come", func(l []client.Record) []client.Record { l[3], l[4] = l[4], l[3]; return l }},
		{"their payloads change places", "follows its record", func(l []client.Record) []client.Record {
			l[2].Payload, l[4].Payload = l[4].Payload, l[2].Payload
			return l
		}},
		{"too many gaps are told", "in gaps are told", func(l []client.Record) []client.Record { l[5].Gaps++; return l }},
		{"a gap is not told", "in gaps are told", func(l []client.Record) []client.Record { l[5].Gaps = 0; return l }},
		{"a byte of a payload is another", "checksum", func(l []client.Record) []client.Record { l[7].Payload[stampBytes] ^= 1; return l }},
		{"a payload is cut", "checksum", func(l []client.Record) []client.Record { l[7].Payload = l[7].Payload[:stampBytes+2]; return l }},
		{"what was given up is there", "given up", func(l []client.Record) []client.Record {
			stamp{life: life{1, 1}, n: 2, flags: flagGivenUp}.fill(l[2].Payload)
			return l
		}},
	} {
		_, err := kept(forged.forge(forgedRecords()), false, false)
		if forged.says == "" && err != nil || forged.says != "" && !strings.Contains(fmt.Sprint(err), forged.says) {
			t.Errorf("%s: %v, want %q", forged.what, err, forged.says)
		}
	}
}

// TestJudgeFindsForgedBooks: what a reader could not see itself, or lies about, its book gives away.
func TestJudgeFindsForgedBooks(t *testing.T) {
	changeRun := func(b book, change func(r *run)) {
		r := b.copied(b.get(wordChosen))
		change(&r)
		b.setRun(wordCopies+int(b.get(wordChosen)&1)*copyWords, r)
	}
	end := func(b book, delivered, missed, gaps, end uint64) {
		for i, v := range []uint64{delivered, missed, gaps, end} {
			b.set(wordDelivered+i, v)
		}
		b.set(wordTarget, 12)
		b.set(wordState, stateFinished)
	}
	for _, forged := range []struct {
		what  string
		says  string
		want  reader
		forge func(b book)
	}{
		{"nothing", "", reader{lossless: true}, func(book) {}},
		{"nothing, to the end", "", reader{lossless: true, finished: true}, func(b book) { end(b, 11, 0, 1, 12) }},
		{"a record fewer", "not that many", reader{}, func(b book) { changeRun(b, func(r *run) { r.records-- }) }},
		{"another record", "or others", reader{}, func(b book) { changeRun(b, func(r *run) { r.sum++ }) }},
		{"a record for a gap", "or others", reader{}, func(b book) { changeRun(b, func(r *run) { r.records--; r.gaps++ }) }},
		{"it missed some", "lossless", reader{lossless: true}, func(b book) { changeRun(b, func(r *run) { r.records--; r.missed++; r.mayMiss = 1 }) }},
		{"it missed some, and was not demoted", "lossless", reader{}, func(b book) { changeRun(b, func(r *run) { r.records--; r.missed++ }) }},
		{"it began behind its first record", "comes twice|came twice", reader{}, func(b book) { b.set(wordStart, 1) }},
		{"another epoch", "epoch", reader{epoch: 7}, func(book) {}},
		{"it did not come to the end", "to the end", reader{finished: true}, func(book) {}},
		{"it came nearly to the end", "the ring is at", reader{finished: true}, func(b book) { end(b, 10, 0, 1, 11) }},
		{"its statistics lack a record", "statistics", reader{}, func(b book) { end(b, 10, 0, 1, 12) }},
		{"its statistics do not add up", "not that many", reader{}, func(b book) { end(b, 11, 1, 1, 12) }},
		{"it did not resume", "did not find", reader{before: &cursor{next: 0}}, func(book) {}},
		{"it resumed too late", "are lost", reader{before: &cursor{next: 2}}, func(b book) { b.set(wordResumed, 1); b.set(wordStart, 4) }},
		{"it resumed too early", "come again", reader{before: &cursor{next: 2, repeats: 1}}, func(b book) { b.set(wordResumed, 1) }},
		{"it resumed a record early, as it may", "", reader{before: &cursor{next: 1, repeats: 1}}, func(b book) { b.set(wordResumed, 1) }},
		{"it resumed behind a gap", "", reader{before: &cursor{next: 5}}, func(b book) { b.set(wordResumed, 1); b.set(wordStart, 6); b.set(wordChosen, 0) }},
		{"it read before it was attached", "before it was attached", reader{}, func(b book) { b.set(wordState, stateStarting) }},
	} {
		b, err := kept(forgedRecords(), false, false)
		if err != nil {
			t.Fatal(err)
		}
		forged.forge(b)
		_, wrong := judgeReader(b, forgedTruth(t), forged.want)
		found := false
		for _, says := range strings.Split(forged.says, "|") {
			found = found || says != "" && strings.Contains(strings.Join(wrong, "; "), says)
		}
		if forged.says == "" && len(wrong) > 0 || forged.says != "" && !found {
			t.Errorf("%s: %q, want %q", forged.what, wrong, forged.says)
		}
	}
}

// TestJudgeFindsLostCommits: the books of producers against what came.
func TestJudgeFindsLostCommits(t *testing.T) {
	truth := forgedTruth(t)
	for _, forged := range []struct {
		what             string
		who              life
		begun, committed uint64
		wrong            bool
	}{
		{"all of it came", life{1, 1}, 6, 6, false},
		{"one in flight came", life{1, 1}, 6, 5, false},
		{"one in flight did not come", life{1, 1}, 7, 6, false},
		{"a committed one did not come", life{1, 1}, 7, 7, true},
		{"one came that was not begun", life{1, 1}, 5, 5, true},
		{"nobody of that life came", life{3, 1}, 1, 1, true},
		{"who published nothing", life{3, 1}, 1, 0, false},
	} {
		if wrong := judgeProducer(forged.who, forged.begun, forged.committed, truth); (len(wrong) > 0) != forged.wrong {
			t.Errorf("%s: %q", forged.what, wrong)
		}
	}
}

// TestTruthIsComplete: the test's own reader finds a producer's first records missing, and tells of its own holes.
func TestTruthIsComplete(t *testing.T) {
	list := forgedRecords()
	truth := newTruth()
	lost := list[1]
	lost.Sequence, lost.Position = 0, 0
	stamp{life: life{2, 1}, n: 2}.fill(lost.Payload)
	if err := truth.add(lost, false); err == nil || !strings.Contains(err.Error(), "first record of life") {
		t.Errorf("a life that begins with its second record: %v", err)
	}
	truth = newTruth()
	list[0].Missed, list[0].Sequence = 3, 3
	if err := truth.add(list[0], true); err != nil {
		t.Fatal(err)
	}
	if _, _, known := truth.between(2, 3); known {
		t.Error("what the test's reader has missed is taken for known")
	}
	if n, _, known := truth.between(3, 3); n != 1 || !known {
		t.Error("what it has read is not known")
	}
}

// TestBookSurvivesEveryStore: a kill between any two stores of a note leaves the runs before it or those after it.
func TestBookSurvivesEveryStore(t *testing.T) {
	first, longer, second := run{first: 1, last: 1, records: 1}, run{first: 1, last: 2, records: 2}, run{first: 5, last: 5, records: 1, missed: 2}
	for _, note := range []struct {
		number        uint64
		r             run
		before, after string
	}{
		{0, longer, fmt.Sprint([]run{first}), fmt.Sprint([]run{longer})},
		{1, second, fmt.Sprint([]run{first}), fmt.Sprint([]run{first, second})},
	} {
		full := newBook()
		full.note(0, first)
		full.note(note.number, note.r)
		start := newBook()
		start.note(0, first)
		for _, words := range storesBetween(start, note.number, note.r) {
			if got := fmt.Sprint(words.runs()); got != note.before && got != note.after {
				t.Errorf("amid note %d: %s, want %s or %s", note.number, got, note.before, note.after)
			}
		}
		if got := fmt.Sprint(full.runs()); got != note.after {
			t.Errorf("after note %d: %s, want %s", note.number, got, note.after)
		}
	}
}

// storesBetween are the books that a note leaves behind when it is cut off after each of its stores: the words that it changes,
// in the order in which it stores them.
func storesBetween(b book, number uint64, r run) (list []book) {
	done := book{append([]byte(nil), b.b...)}
	done.note(number, r)
	other := wordCopies + int((b.get(wordChosen)+1)&1)*copyWords
	var order []int
	for i := range runWords {
		order = append(order, wordRuns+i)
	}
	for i := range copyWords {
		order = append(order, other+i)
	}
	now := book{append([]byte(nil), b.b...)}
	for _, word := range append(order, wordChosen) {
		now.set(word, done.get(word))
		list = append(list, book{append([]byte(nil), now.b...)})
	}
	return list
}

// TestOutputOfBrokerctl is judged, too.
func TestOutputOfBrokerctl(t *testing.T) {
	frame := func(n ...uint64) (text []byte) {
		for _, n := range n {
			payload := make([]byte, stampBytes+3)
			stamp{life: life{9, 1}, n: n}.fill(payload)
			text = append(append(text, 0, 0, 0, byte(len(payload))), payload...)
		}
		return text
	}
	whole := frame(4, 5, 6)
	damaged := frame(4)
	damaged[len(damaged)-1] ^= 1
	for _, c := range []struct {
		what     string
		text     []byte
		lossless bool
		records  uint64
		wrong    bool
	}{
		{"in order", whole, true, 3, false},
		{"cut off by a kill", whole[:len(whole)-2], true, 2, false},
		{"one is lost", frame(4, 6), true, 1, true},
		{"one is missed, as it may", frame(4, 6), false, 2, false},
		{"one comes twice", frame(4, 4), false, 1, true},
		{"one goes back", frame(4, 3), false, 1, true},
		{"a damaged one", damaged, false, 0, true},
	} {
		if n, err := judgeOutput(c.text, c.lossless); n != c.records || (err != nil) != c.wrong {
			t.Errorf("%s: %d records, %v", c.what, n, err)
		}
	}
}
