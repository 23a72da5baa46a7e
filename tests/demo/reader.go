package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"brokerd/client"
)

// A reader is this program started as `demo reader ...`. It obeys commands, one
// a line on stdin, and ends when stdin does, so it never outlives the demo:
//
//	report      answer with one report, a line of JSON on stdout
//	delay D     from now on wait for D before each record
const (
	readerRole    = "reader"
	commandReport = "report"
	commandDelay  = "delay"
)

// delaysQueuedMax is how many changes of delay may be under way to a reader.
const delaysQueuedMax = 4

// report is what a reader has seen so far.
type report struct {
	Error string // why it reads no more; "" while it does
	Done  bool   // it saw the end record

	Delivered, Missed, Gaps uint64
	Sequence                uint64 // records published before the next one it reads
	Position                uint64 // of the next record, bytes
	Strange                 uint64 // records that are not what the feed holds at their sequence number
	SHA256                  string // of all records, a newline behind each

	P50, P99 time.Duration // from publication to receipt, since the last report
	Bid, Ask float64       // the newest; 0 before the first

	DemotedNS int64 // when it learned of it, since 1970; 0 while it has not
}

// reader is the state of a reader's process. read runs in a goroutine of its
// own, beside obey.
type reader struct {
	feed     *feed
	consumer *client.Consumer // used by read alone
	delay    time.Duration    // likewise
	delays   chan time.Duration

	mu        sync.Mutex
	seen      report
	output    hash.Hash
	latencies []int64 // ns, since the last report; at most as many as the feed has records
}

// readerMain attaches, and reads until stdin ends.
func readerMain(args []string, stdin io.Reader, stdout io.Writer) error {
	set := flag.NewFlagSet(readerRole, flag.ContinueOnError)
	name := set.String("name", "", "label of the attachment")
	policy := set.String("policy", "", "policy to ask for")
	socket := set.String("socket", "", "control socket")
	path := set.String("feed", "", "the recorded feed, to compare with")
	if err := set.Parse(args); err != nil {
		return err
	}
	recorded, err := loadFeed(*path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := client.Dial(ctx, client.Options{Socket: *socket})
	if err != nil {
		return err
	}
	defer c.Close()
	r := &reader{feed: recorded, output: sha256.New(), delays: make(chan time.Duration, delaysQueuedMax)}
	r.consumer, err = c.Consumer(ctx, ringName, client.ConsumerOptions{
		Name: *name, Policy: client.Policy(*policy), From: client.FromOldest(),
		WaitStrategy: client.WaitPark, // four processes share what cores there are
	})
	if err != nil {
		return err
	}
	var reading sync.WaitGroup
	reading.Go(func() { r.read(ctx) })
	err = r.obey(stdin, stdout)
	cancel()
	reading.Wait()
	return errors.Join(err, r.consumer.Close())
}

// obey carries out commands until there are no more.
func (r *reader) obey(stdin io.Reader, stdout io.Writer) error {
	answers := json.NewEncoder(stdout)
	commands := bufio.NewScanner(stdin)
	for commands.Scan() {
		verb, argument, _ := strings.Cut(commands.Text(), " ")
		switch verb {
		case commandReport:
			if err := answers.Encode(r.report()); err != nil {
				return err
			}
		case commandDelay:
			d, err := time.ParseDuration(argument)
			if err != nil {
				return fmt.Errorf("command %q: %w", commands.Text(), err)
			}
			r.delays <- d
		default:
			return fmt.Errorf("command %q: want %s or %s", commands.Text(), commandReport, commandDelay)
		}
	}
	return commands.Err()
}

func (r *reader) report() report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.P50, r.seen.P99 = percentiles(r.latencies)
	r.latencies = r.latencies[:0]
	r.seen.SHA256 = hex.EncodeToString(r.output.Sum(nil))
	return r.seen
}

// percentiles gives the 50th and the 99th, 0 when there is nothing.
func percentiles(ns []int64) (p50, p99 time.Duration) {
	if len(ns) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(ns))
	at := func(percent int) time.Duration { return time.Duration(sorted[(len(sorted)-1)*percent/100]) }
	return at(50), at(99)
}

// read receives until ctx ends or something fails.
func (r *reader) read(ctx context.Context) {
	for r.pause(ctx) {
		record, err := r.consumer.Receive(ctx)
		if err != nil && ctx.Err() != nil {
			return
		}
		r.note(record, err)
		if err != nil && !errors.Is(err, client.ErrEndOfStream) {
			return
		}
	}
}

// pause waits as long as was last told. false: ctx has ended.
func (r *reader) pause(ctx context.Context) bool {
	select {
	case r.delay = <-r.delays:
	default:
	}
	for r.delay > 0 {
		timer := time.NewTimer(r.delay)
		select {
		case r.delay = <-r.delays:
			timer.Stop()
		case <-timer.C:
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
	return ctx.Err() == nil
}

// note counts one outcome of Receive.
func (r *reader) note(record client.Record, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.latencies = append(r.latencies, now.UnixNano()-record.Timestamp)
		r.compare(record)
		r.topOfBook(record.Payload)
	case errors.Is(err, client.ErrEndOfStream):
		r.seen.Done = true
	default:
		r.seen.Error = err.Error()
	}
	s := r.consumer.Stats()
	r.seen.Delivered, r.seen.Missed, r.seen.Gaps = s.Delivered, s.MissedRecords, s.GapRecords
	r.seen.Sequence, r.seen.Position = s.Sequence, s.Position
	if s.Demoted && r.seen.DemotedNS == 0 {
		r.seen.DemotedNS = now.UnixNano()
	}
}

// compare holds a record against the feed: if each is the one that its sequence
// number says, then the counts of missed ones are right, too.
func (r *reader) compare(record client.Record) {
	n := record.Sequence
	if n >= uint64(len(r.feed.lines)) || !bytes.Equal(record.Payload, r.feed.lines[n]) {
		r.seen.Strange++
	}
	r.output.Write(record.Payload)
	r.output.Write([]byte("\n"))
}

// topOfBook notes best bid and ask, if the record has them.
func (r *reader) topOfBook(record []byte) {
	_, message, _ := bytes.Cut(record, []byte(" "))
	if !bytes.Contains(message, []byte("@bookTicker")) {
		return
	}
	var ticker struct {
		Data struct {
			Bid     float64 `json:"b,string"`
			Ask     float64 `json:"a,string"`
			BidSize string  `json:"B"` // named, or else they would match the keys above
			AskSize string  `json:"A"`
		} `json:"data"`
	}
	if json.Unmarshal(message, &ticker) == nil {
		r.seen.Bid, r.seen.Ask = ticker.Data.Bid, ticker.Data.Ask
	}
}
