package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// feedBytesMax bounds a recorded feed, unpacked.
const feedBytesMax = 64 << 20

// feed is a recording: one record a line, which begins with its receive time.
type feed struct {
	lines [][]byte        // without the newline
	at    []time.Duration // of each line, since the first
	sum   [sha256.Size]byte
}

// loadFeed reads a gzip file of lines "NANOSECONDS MESSAGE".
func loadFeed(path string) (*feed, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recorded feed: %w (run it at the top of the source)", err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("recorded feed %s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(unpacked, feedBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("recorded feed %s: %w", path, err)
	}
	if len(text) > feedBytesMax {
		return nil, fmt.Errorf("recorded feed %s: more than %d bytes", path, feedBytesMax)
	}
	f, err := parseFeed(text)
	if err != nil {
		return nil, fmt.Errorf("recorded feed %s: %w", path, err)
	}
	return f, nil
}

func parseFeed(text []byte) (*feed, error) {
	f := &feed{sum: sha256.Sum256(text)}
	var first, last int64
	for line := range bytes.Lines(text) {
		number := len(f.lines) + 1
		if line[len(line)-1] != '\n' {
			return nil, fmt.Errorf("line %d has no end", number)
		}
		line = line[:len(line)-1]
		stamp, _, ok := bytes.Cut(line, []byte(" "))
		ns, err := strconv.ParseInt(string(stamp), 10, 64)
		if !ok || err != nil || ns < 0 {
			return nil, fmt.Errorf("line %d does not begin with a time in nanoseconds and a space", number)
		}
		if number == 1 {
			first, last = ns, ns
		}
		if ns < last {
			return nil, fmt.Errorf("line %d was received before the line above it", number)
		}
		last = ns
		f.lines = append(f.lines, line)
		f.at = append(f.at, time.Duration(ns-first))
	}
	if len(f.lines) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	return f, nil
}

// length is how long the recording took.
func (f *feed) length() time.Duration { return f.at[len(f.at)-1] }
