package torture

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
)

// A book is a mapped file of words in which a process notes what it does, and finds what it is asked to do. Its
// stores are in order, and what was stored before a kill is there after it.
const (
	runsMax   = 768 // a reader with a full book ends
	runWords  = 8
	bookWords = 512 + runsMax*runWords
	bookBytes = 8 * bookWords
)

// The words of a book.
const (
	wordOrder   = iota // by the test: see order
	wordTarget         // by the test: the sequence number that a reader that is to finish has to come to
	wordHold           // by the test: 1 when it is to hold the others
	wordRelease        // by the test: 1 when it is to go on
	wordState          // see state
	wordHolding        // it holds others: it has reserved and does not commit, or does not read on
	wordStarted        // time of the exec, unused by the judges, for people

	// Of a producer, numbers of its records; those up to wordCommitted are in the ring.
	wordBegun
	wordCommitted
	wordGivenUp  // how many it has reserved and aborted
	wordGivingUp // 1 within Abort

	// Of a reader.
	wordStart         // sequence number that it began at
	wordStartPosition // bytes
	wordResumed
	wordEpoch
	wordDelivered // these once it has finished
	wordMissed
	wordGaps
	wordEnd // sequence number
	wordDemoted

	wordChosen = 32 // which of the two copies of the run counts
	wordCopies = 40 // two copies of a run and its number
	wordRuns   = 512
)

// Orders and states.
const (
	orderNone = iota
	orderFinish
)

const (
	stateStarting = iota
	stateAttached
	stateFinished
)

// book is one, of the process itself or read by the test. Words are 8 bytes.
type book struct{ b []byte }

func newBook() book { return book{make([]byte, bookBytes)} }

// createBook makes the file of a book.
func createBook(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(bookBytes)
}

// openBook maps a book to write to; its owner and the test share it.
func openBook(path string) (book, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return book{}, err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, bookBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return book{}, fmt.Errorf("map %s: %w", path, err)
	}
	return book{b}, nil
}

func (b book) close() error { return syscall.Munmap(b.b) }

func (b book) get(word int) uint64        { return binary.LittleEndian.Uint64(b.b[8*word:]) }
func (b book) set(word int, value uint64) { binary.LittleEndian.PutUint64(b.b[8*word:], value) }

// run is a stretch of a ring that a reader has got without a miss.
type run struct {
	first, last uint64 // sequence numbers of its first and last record
	position    uint64 // of its last record
	records     uint64
	sum         uint64 // of their mixes
	missed      uint64 // before it, as told
	gaps        uint64 // before it and within it, as told
	mayMiss     uint64 // 1: this reader may miss records: no lossless one, or a demoted one
}

func (b book) setRun(word int, r run) {
	for i, v := range []uint64{r.first, r.last, r.position, r.records, r.sum, r.missed, r.gaps, r.mayMiss} {
		b.set(word+i, v)
	}
}

func (b book) getRun(word int) run {
	var v [runWords]uint64
	for i := range v {
		v[i] = b.get(word + i)
	}
	return run{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}
}

// copyWords are a run and its number.
const copyWords = runWords + 1

// note makes r the run of that number, 0 the first. A kill between any two stores leaves what was before it or after it.
func (b book) note(number uint64, r run) {
	chosen := b.get(wordChosen)
	if before := b.copied(chosen); before.records > 0 && b.get(wordCopies+int(chosen&1)*copyWords+runWords) < number {
		b.setRun(wordRuns+int(number-1)*runWords, before)
	}
	other := wordCopies + int((chosen+1)&1)*copyWords
	b.setRun(other, r)
	b.set(other+runWords, number)
	b.set(wordChosen, chosen+1)
}

func (b book) copied(chosen uint64) run { return b.getRun(wordCopies + int(chosen&1)*copyWords) }

// runs are all of them.
func (b book) runs() []run {
	chosen := b.get(wordChosen)
	if chosen == 0 {
		return nil
	}
	number := b.get(wordCopies + int(chosen&1)*copyWords + runWords)
	var list []run
	for i := range min(number, runsMax) {
		list = append(list, b.getRun(wordRuns+int(i)*runWords))
	}
	return append(list, b.copied(chosen))
}
