package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept with three digits, from 1 ns to an hour; longer ones, as
// of records that waited in the ring, count as an hour.
const (
	latencyDigits = 3
	latencyMaxNS  = int64(time.Hour)
)

// summary counts what an attachment moved.
type summary struct {
	ring, role  string
	records     uint64
	bytes       uint64
	missed      uint64 // records
	missedBytes uint64
	gaps        uint64 // records
	filtered    uint64 // records passed over because of their tag
	checksums   uint64 // records left out because of their checksum
	resumed     bool   // it went on where another reader had stopped
	start       uint64 // position where it began
	dropped     uint64 // records
	unpublished uint64 // records read from the input and given up
	first, last time.Time
	latency     *hdrhistogram.Histogram
	negative    uint64 // latencies below zero: the clock was set meanwhile
}

func newSummary(ring, role string) *summary {
	return &summary{ring: ring, role: role, latency: hdrhistogram.New(1, latencyMaxNS, latencyDigits)}
}

// add counts a record of n bytes. published is its time stamp in ns, or 0.
func (s *summary) add(n int, published int64) {
	now := time.Now()
	if s.records == 0 {
		s.first = now
	}
	s.last = now
	s.records++
	s.bytes += uint64(n)
	if published == 0 {
		return
	}
	ns := now.UnixNano() - published
	if ns < 0 {
		s.negative++
		return
	}
	_ = s.latency.RecordValue(min(ns, latencyMaxNS)) // in range by min
}

// printSummary writes one line to stderr.
func (c *cli) printSummary(s *summary) error {
	if c.output.value == "json" {
		return json.NewEncoder(c.stderr).Encode(s.report())
	}
	_, err := fmt.Fprintln(c.stderr, "brokerctl: "+s.String())
	return err
}

// String tells what is always worth telling, and what has happened.
func (s *summary) String() string {
	text := fmt.Sprintf("%s: %d records, %d bytes, %.0f records/s", s.ring, s.records, s.bytes, s.perSecond())
	counts := []struct {
		what string
		n    uint64
	}{{"filtered", s.filtered}, {"wrong checksums", s.checksums}, {"unpublished", s.unpublished}}
	if s.role == roleConsumer {
		text += fmt.Sprintf(", missed %d, gaps %d", s.missed, s.gaps)
	} else {
		text += fmt.Sprintf(", dropped %d", s.dropped)
	}
	for _, c := range counts {
		if c.n > 0 {
			text += fmt.Sprintf(", %s %d", c.what, c.n)
		}
	}
	if s.role == roleProducer {
		return text
	}
	text += fmt.Sprintf(", latency p50 %s p99 %s", s.quantile(50), s.quantile(99))
	if s.negative > 0 {
		text += fmt.Sprintf(" (%d negative)", s.negative)
	}
	return text
}

func (s *summary) seconds() float64 { return s.last.Sub(s.first).Seconds() }

// perSecond is the rate between the first record and the last one.
func (s *summary) perSecond() float64 {
	if s.records < 2 || s.seconds() <= 0 {
		return 0
	}
	return float64(s.records-1) / s.seconds()
}

func (s *summary) quantile(q float64) string {
	if s.latency.TotalCount() == 0 {
		return "-"
	}
	return span(s.latency.ValueAtQuantile(q))
}

// summaryReport is the summary as JSON.
type summaryReport struct {
	Ring        string         `json:"ring"`
	Role        string         `json:"role"`
	Records     uint64         `json:"records"`
	Bytes       uint64         `json:"bytes"`
	Seconds     float64        `json:"seconds"`
	PerSecond   float64        `json:"records_per_second"`
	Missed      uint64         `json:"missed_records"`
	MissedBytes uint64         `json:"missed_bytes"`
	Gaps        uint64         `json:"gap_records"`
	Filtered    uint64         `json:"filtered_records"`
	Checksums   uint64         `json:"checksum_errors"`
	Resumed     bool           `json:"resumed"`
	Start       uint64         `json:"start_position"`
	Dropped     uint64         `json:"dropped_records"`
	Unpublished uint64         `json:"unpublished_records"`
	Latency     *latencyReport `json:"latency,omitempty"`
}

// latencyReport is publish-to-receive latency; absent without time stamps.
type latencyReport struct {
	P50      int64  `json:"p50_ns"`
	P99      int64  `json:"p99_ns"`
	Count    int64  `json:"count"`
	Negative uint64 `json:"negative"`
}

func (s *summary) report() summaryReport {
	r := summaryReport{
		Ring: s.ring, Role: s.role, Records: s.records, Bytes: s.bytes,
		Seconds: s.seconds(), PerSecond: s.perSecond(),
		Missed: s.missed, MissedBytes: s.missedBytes, Gaps: s.gaps, Filtered: s.filtered, Checksums: s.checksums,
		Resumed: s.resumed, Start: s.start, Dropped: s.dropped, Unpublished: s.unpublished,
	}
	if n := s.latency.TotalCount(); n > 0 || s.negative > 0 {
		r.Latency = &latencyReport{
			P50: s.latency.ValueAtQuantile(50), P99: s.latency.ValueAtQuantile(99), Count: n, Negative: s.negative,
		}
	}
	return r
}
