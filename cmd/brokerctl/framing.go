package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// inputBufferBytes is what one read of the input asks for. It bounds what the
// readers hold beyond one record of the ring's record_max.
const inputBufferBytes = 64 << 10

// lineCountBytesMax ends the counting of a line that is too long for the ring:
// the count only serves the error message.
const lineCountBytesMax = 256 << 20

// framing is the value of --framing: how records are told apart in a stream.
type framing string

const (
	framingLine  framing = "line"
	framingU32BE framing = "u32be"
)

// frameReader cuts a stream into records. Next returns io.EOF after the last
// one; a record is valid until the next call. Any other error comes after all
// records that were complete before it.
type frameReader interface {
	Next() ([]byte, error)
}

// reader returns a frameReader over r for records of at most max bytes.
func (f framing) reader(r io.Reader, max int) frameReader {
	if f == framingU32BE {
		return newU32Reader(r, max)
	}
	return newLineReader(r, max)
}

// prefix is what stands before each record of a ring when the records of several
// go into one output: the name and a tab, or the name as a record of its own.
func (f framing) prefix(ring string) []byte {
	if f == framingU32BE {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(ring))), ring...)
	}
	return []byte(ring + "\t")
}

// write appends one record to w, behind prefix. Under line framing a record that
// itself holds newlines is written as it is, so a reader of the output sees several
// lines.
func (f framing) write(w *bufio.Writer, prefix, record []byte) error {
	if _, err := w.Write(prefix); err != nil {
		return err
	}
	if f == framingU32BE {
		if uint64(len(record)) > math.MaxUint32 {
			return fmt.Errorf("a record of %d bytes does not fit a 4-byte length", len(record))
		}
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(record)))
		if _, err := w.Write(length[:]); err != nil {
			return err
		}
		_, err := w.Write(record)
		return err
	}
	if _, err := w.Write(record); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

// tooLargeError tells of an input record that the ring cannot hold.
type tooLargeError struct {
	Unit    string // "line" or "record"
	Number  uint64 // the first one is 1
	Size    uint64 // bytes
	AtLeast bool   // Size was still growing when the counting ended
	Max     int    // the ring's record_max, bytes
}

func (e *tooLargeError) Error() string {
	least := ""
	if e.AtLeast {
		least = "at least "
	}
	return fmt.Sprintf("%s %d of the input is %s%d bytes, record_max of the ring is %d; everything before it was published",
		e.Unit, e.Number, least, e.Size, e.Max)
}

// truncatedError tells of a u32be input that ends inside a record.
type truncatedError struct {
	Offset       uint64 // of the record's length prefix in the input, bytes
	Want, Got    uint64 // bytes of the record with its prefix; Want is 4 while the length is unknown
	LengthIsRead bool
}

func (e *truncatedError) Error() string {
	what := "its 4-byte length"
	if e.LengthIsRead {
		what = fmt.Sprintf("its %d bytes of length and payload", e.Want)
	}
	return fmt.Sprintf("the input is truncated: the record at byte offset %d ends after %d of %s", e.Offset, e.Got, what)
}

// u32Reader reads records that a 4-byte big-endian length precedes.
type u32Reader struct {
	r      *bufio.Reader
	max    int
	buf    []byte
	offset uint64
	number uint64
}

func newU32Reader(r io.Reader, max int) *u32Reader {
	return &u32Reader{r: bufio.NewReaderSize(r, inputBufferBytes), max: max}
}

func (u *u32Reader) Next() ([]byte, error) {
	var prefix [4]byte
	n, err := io.ReadFull(u.r, prefix[:])
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &truncatedError{Offset: u.offset, Want: 4, Got: uint64(n)}
		}
		return nil, err
	}
	u.number++
	size := binary.BigEndian.Uint32(prefix[:])
	if uint64(size) > uint64(u.max) {
		return nil, &tooLargeError{Unit: "record", Number: u.number, Size: uint64(size), Max: u.max}
	}
	if int(size) > cap(u.buf) {
		u.buf = make([]byte, size)
	}
	n, err = io.ReadFull(u.r, u.buf[:size])
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, &truncatedError{Offset: u.offset, Want: 4 + uint64(size), Got: 4 + uint64(n), LengthIsRead: true}
		}
		return nil, err
	}
	u.offset += 4 + uint64(size)
	return u.buf[:size], nil
}
