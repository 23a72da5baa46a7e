package main

import (
	"bytes"
	"fmt"
	"os"
)

// journal is a file with a line for each order: epoch and position of its record,
// the strategy's number, the order. A record is named by epoch and position: the
// reader that resumes after a kill is given the last one a second time.
type journal struct {
	file  *os.File
	epoch uint64
	last  uint64 // position of the last order
	some  bool   // there is one, of this epoch
}

// journalBytesMax bounds the journal that openJournal reads.
const journalBytesMax = 1 << 30

// openJournal opens or makes a journal and finds its last whole line.
func openJournal(path string, epoch uint64) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, epoch: epoch}
	if err := j.recover(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	return j, nil
}

// recover cuts off a line that a kill has left unfinished.
func (j *journal) recover() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > journalBytesMax {
		return fmt.Errorf("%d bytes, %d at most: move it away", info.Size(), journalBytesMax)
	}
	text := make([]byte, info.Size())
	if _, err := j.file.ReadAt(text, 0); err != nil && len(text) > 0 {
		return err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	if err := j.file.Truncate(int64(len(whole))); err != nil || len(whole) == 0 {
		return err
	}
	line := whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
	var epoch uint64
	if _, err := fmt.Sscan(string(line), &epoch, &j.last); err != nil {
		return fmt.Errorf("last line %q: %w", line, err)
	}
	j.some = epoch == j.epoch
	return nil
}

// has tells whether the record at a position is written down.
func (j *journal) has(position uint64) bool { return j.some && position <= j.last }

// add writes an order down, in one write.
func (j *journal) add(position uint64, strategy uint16, o order) error {
	if _, err := fmt.Fprintln(j.file, j.epoch, position, strategy, o.id, o.price); err != nil {
		return err
	}
	j.last, j.some = position, true
	return nil
}

func (j *journal) close() error { return j.file.Close() }
