package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// print writes what a call replied: as JSON, named and nested as in the
// description of the interface io.brokerd.Broker, or as a table.
func (c *cli) print(reply any, table func(t *table)) (err error) {
	if c.output.value == "json" {
		enc := json.NewEncoder(c.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(reply)
	} else {
		err = printTable(c.stdout, table)
	}
	if closedOutput(err) {
		return nil // whoever reads it has seen enough
	}
	return err
}

func printTable(w io.Writer, fill func(t *table)) error {
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	fill(t)
	return t.w.Flush()
}

// table prints rows of aligned cells.
type table struct{ w *tabwriter.Writer }

// row writes one row. Its error, if any, is kept by the writer and returned by
// the Flush of printTable.
func (t *table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, cell := range cells {
		text[i] = orDash(visible(fmt.Sprint(cell)))
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(text, "\t"))
}

// lines writes lines that are no table, above the next one.
func (t *table) lines(lines []string) {
	for _, line := range lines {
		_, _ = fmt.Fprintln(t.w, line) // a line without a tab is a table of its own
	}
}

// gap ends one table and begins another, with columns of its own.
func (t *table) gap() { _, _ = fmt.Fprint(t.w, "\n") }

// visible shows control characters as Go writes them: a name that somebody gave a file
// must not move the cursor, nor break a table.
func visible(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// orDash is what stands for text in a table, where nothing would be no cell.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// yesNo prints a flag.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// clock prints a time in nanoseconds since 1970 as local time.
func clock(ns int64) string { return time.Unix(0, ns).Format("2006-01-02 15:04:05") }

// span prints a duration in nanoseconds with three digits or so.
func span(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d >= time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	default:
		return d.String()
	}
}
