package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"brokerd/client"
)

// drawingColumnsMin is the width that a drawing takes at least.
const drawingColumnsMin = 24

// drawRing draws the capacity of a ring as a bar, the oldest bytes on the left, and
// under it a mark for the writers and for each reader. No line is longer than
// columns, unless that is less than drawingColumnsMin; the last one is empty. There
// is no drawing of a ring without capacity.
func drawRing(d client.RingDetails, columns int) []string {
	s := d.Stats
	if s.Capacity == 0 {
		return nil
	}
	bar := newStrip(s, max(columns, drawingColumnsMin))
	lines := []string{
		cut(fmt.Sprintf("%s: %s, %s full   # held  - read  . never written", d.Ring.Name, roughSize(s.Capacity), full(s)), bar.columns),
		bar.String(),
		bar.mark(s.Position, fmt.Sprintf("write %d", s.Position)),
	}
	var readers []client.Attachment
	for _, a := range d.Attachments {
		if a.Role == client.RoleConsumer {
			readers = append(readers, a)
		}
	}
	slices.SortStableFunc(readers, func(a, b client.Attachment) int { return cmp.Compare(a.LagBytes, b.LagBytes) })
	for _, a := range readers {
		lines = append(lines, bar.mark(s.Position-min(a.LagBytes, s.Position), readerLabel(a, s.Capacity)))
	}
	return append(lines, "")
}

// readerLabel says who a reader is and how far behind, what matters most first.
func readerLabel(a client.Attachment, capacity uint64) string {
	label := a.ID
	if a.Name != "" {
		label += " " + a.Name
	}
	label += fmt.Sprintf(", %s behind, %s", roughSize(a.LagBytes), policyNow(a))
	if a.State != client.StateAttached {
		label += ", " + string(a.State)
	}
	if a.LagBytes > capacity {
		label += ", overrun"
	}
	return label
}

// strip is the bar: cells for the bytes from start on, between two brackets.
type strip struct {
	start, capacity uint64 // bytes
	columns         int
	cells           []byte
}

func newStrip(s client.RingStats, columns int) *strip {
	b := &strip{capacity: s.Capacity, columns: columns, cells: make([]byte, columns-2)}
	b.start = s.Position - min(s.Position, s.Capacity)
	// What is held is shown, however little it is.
	write, held := b.cell(s.Position), b.cell(s.Position-min(s.OccupancyBytes, s.Position))
	if held == write && s.OccupancyBytes > 0 {
		held = max(held-1, 0)
		write = max(write, 1)
	}
	copy(b.cells, bytes.Repeat([]byte("."), len(b.cells)))
	copy(b.cells[:write], bytes.Repeat([]byte("-"), write))
	copy(b.cells[held:write], bytes.Repeat([]byte("#"), write-held))
	return b
}

// cell is the index of the cell that a position falls into: len(cells), the closing
// bracket, at the very end. What was overwritten is at the opening end.
func (b *strip) cell(position uint64) int {
	if position < b.start {
		return 0
	}
	return int(min(position-b.start, b.capacity) * uint64(len(b.cells)) / b.capacity)
}

func (b *strip) String() string { return "[" + string(b.cells) + "]" }

// mark is a line that points at the cell of position, with its label on the side
// that has room, cut off if neither has.
func (b *strip) mark(position uint64, label string) string {
	at := 1 + b.cell(position)
	right, left := b.columns-at-2, at-1 // columns for a label, less the space between
	switch {
	case len(label) <= right:
		return strings.Repeat(" ", at) + "^ " + label
	case left >= right:
		label = cut(label, left)
		return fmt.Sprintf("%*s ^", at-1, label)
	default:
		return strings.Repeat(" ", at) + "^ " + cut(label, right)
	}
}

// cut shortens text to so many columns; a "~" stands for what is missing.
func cut(text string, columns int) string {
	if letters := []rune(text); len(letters) > columns {
		return string(letters[:max(columns-1, 0)]) + "~"
	}
	return text
}
