package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	if p50, p99 := percentiles(nil); p50 != 0 || p99 != 0 {
		t.Errorf("of nothing: %v %v", p50, p99)
	}
	var ns []int64
	for i := range int64(101) {
		ns = append(ns, 100-i)
	}
	if p50, p99 := percentiles(ns); p50 != 50 || p99 != 99 {
		t.Errorf("of 0 to 100: %v %v", p50, p99)
	}
}

func TestTopOfBook(t *testing.T) {
	var r reader
	r.topOfBook([]byte(`1 {"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"61685.99000000","B":"1.2","a":"61686.00","A":"2.4"}}`))
	r.topOfBook([]byte(`1 {"stream":"btcusdt@depth@100ms","data":{"b":[["1.0","2"]],"a":[]}}`))
	r.topOfBook([]byte(`1 @bookTicker`))
	r.topOfBook(nil)
	if r.seen.Bid != 61685.99 || r.seen.Ask != 61686 {
		t.Errorf("%v / %v", r.seen.Bid, r.seen.Ask)
	}
}

func TestReaderRefusesUnknownCommands(t *testing.T) {
	for _, command := range []string{"delay", "delay soon", "stop"} {
		r := reader{delays: make(chan time.Duration, delaysQueuedMax)}
		var out bytes.Buffer
		if err := r.obey(strings.NewReader(command+"\n"), &out); err == nil || !strings.Contains(err.Error(), command) {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestColoursOnTerminalsOnly(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if !newScreen(terminal).colour {
		t.Error("none on a terminal")
	}
	if text := newScreen(terminal).paint(red, "x"); text != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", text)
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if newScreen(file).colour {
		t.Error("colours in a file")
	}
	t.Setenv("NO_COLOR", "1")
	if newScreen(terminal).colour {
		t.Error("colours despite NO_COLOR")
	}
}
