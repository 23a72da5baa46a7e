package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// What a terminal is told (ECMA-48, and DEC's for the cursor).
const (
	ansiHome       = "\x1b[H"
	ansiClearLine  = "\x1b[K" // from here to its end
	ansiClearBelow = "\x1b[J"
	ansiHideCursor = "\x1b[?25l"
	ansiShowCursor = "\x1b[?25h"
)

// screen draws one picture over the other on a terminal. What was there before
// scrolls away and stays readable, and so does the last picture.
type screen struct {
	out  *os.File
	keys *keyboard
}

// enter takes the terminal; leave must follow.
func (s *screen) enter() error {
	if err := s.keys.listen(); err != nil {
		return err
	}
	_, rows, _ := sizeOf(s.out)
	_, err := s.out.WriteString(strings.Repeat("\n", rows) + ansiHideCursor)
	return err
}

// leave gives the terminal back as it was found.
func (s *screen) leave() error {
	_, err := s.out.WriteString(ansiShowCursor)
	return errors.Join(err, s.keys.restore())
}

// draw shows text, cut off where the terminal ends.
func (s *screen) draw(text string) error {
	columns, rows, ok := sizeOf(s.out)
	if !ok {
		columns, rows = columnsDefault, 1<<10 // gone, which the write tells
	}
	_, err := s.out.Write(frame(text, columns, rows))
	return err
}

// frame is what draws text, in one piece so that nobody sees half a picture. It
// leaves the last row to the cursor.
func frame(text string, columns, rows int) []byte {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if room := max(rows-1, 1); len(lines) > room {
		hidden := len(lines) - room + 1
		lines = append(lines[:room-1], fmt.Sprintf("%d more lines: make the terminal taller", hidden))
	}
	var b bytes.Buffer
	b.WriteString(ansiHome)
	for _, line := range lines {
		b.WriteString(cut(line, columns) + ansiClearLine + "\n")
	}
	b.WriteString(ansiClearBelow)
	return b.Bytes()
}
