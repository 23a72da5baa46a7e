package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"gonum.org/v1/plot/plotter"
)

// figure is a column of the file.
type figure struct {
	column string
	title  string
	scale  float64 // what one unit of the title is
}

func figures() []figure {
	return []figure{
		{"rss_bytes", "RSS, MiB", 1 << 20},
		{"own_bytes", "RSS without ring memory, MiB", 1 << 20},
		{"heap_bytes", "Go heap, MiB", 1 << 20},
		{"fds", "file descriptors", 1},
		{"threads", "threads", 1},
		{"goroutines", "goroutines", 1},
	}
}

// hosts are the values of the column host.
func hosts() []string { return []string{"origin", "mirror"} }

// key names one line of the plot.
type key struct{ column, host string }

// read returns the lines, by figure and host, over minutes.
func read(r io.Reader) (map[key]plotter.XYs, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%d lines: want a header and samples", len(rows))
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	host, ok := at["host"]
	if !ok {
		return nil, errors.New("there is no column host")
	}
	series := map[key]plotter.XYs{}
	for n, row := range rows[1:] {
		seconds, err := number(row, at, "seconds")
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+2, err)
		}
		for _, f := range figures() {
			value, err := number(row, at, f.column)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n+2, err)
			}
			k := key{f.column, row[host]}
			series[k] = append(series[k], plotter.XY{X: seconds / 60, Y: value / f.scale})
		}
	}
	return series, nil
}

func number(row []string, at map[string]int, column string) (float64, error) {
	i, ok := at[column]
	if !ok {
		return 0, fmt.Errorf("there is no column %s", column)
	}
	return strconv.ParseFloat(row[i], 64)
}
