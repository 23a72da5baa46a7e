package main

import (
	"fmt"
	"slices"
	"strconv"

	"brokerd/bench/internal/measure"
)

const (
	groupPoll   = "poll"
	groupBatch  = "batch"
	groupAlign  = "align"
	groupHeader = "header"

	unitTrip = "ns round trip p50"
	unitRate = "M records/s"

	tripCount   = 400_000   // about 80 ms: a run has to fit into one state of the machine
	recordCount = 4_000_000 // about 60 ms for a line each
	bigCount    = 500_000   // for records of a kilobyte
	bigBytes    = 512
)

// shape is what a run of a ring varies; zero values mean 48 bytes of payload
// behind 16 of header, aligned to 16, published one by one, narrow stores.
type shape struct {
	trip                          bool
	payload, header, align, batch int
	lag, stores                   string
}

// variant names the program and turns s into its options.
func (s shape) variant(name, program string) measure.Variant {
	var args []string
	add := func(option, value string) {
		if value != "" && value != "0" {
			args = append(args, "--"+option, value)
		}
	}
	count := recordCount
	switch {
	case s.trip:
		add("mode", "round_trip")
		count = tripCount
	case s.payload > bigBytes:
		count = bigCount
	}
	add("payload", strconv.Itoa(s.payload))
	add("header", strconv.Itoa(s.header))
	add("align", strconv.Itoa(s.align))
	add("batch", strconv.Itoa(s.batch))
	add("lag", s.lag)
	add("stores", s.stores)
	add("count", strconv.Itoa(count))
	return measure.Variant{Name: name, Program: program, Args: args}
}

func (s shape) unit() string {
	if s.trip {
		return unitTrip
	}
	return unitRate
}

// plan lists all comparisons in the order in which they run.
func plan() []measure.Comparison {
	return slices.Concat(planPoll(), planBatch(), planAlign(), planHeader())
}

// planPoll: a published index (A) against the record itself (B).
func planPoll() []measure.Comparison {
	var all []measure.Comparison
	add := func(question string, s shape) {
		all = append(all, measure.Comparison{Group: groupPoll, Question: question, Unit: s.unit(),
			A: s.variant("index", "ring_index"), B: s.variant("record", "ring_record")})
	}
	for _, payload := range []int{8, 48, 112, 1008} {
		add(fmt.Sprintf("round trip, payload %d", payload), shape{trip: true, payload: payload})
	}
	for _, lag := range []string{"free", "near", "far"} {
		for _, batch := range []int{1, 16} {
			for _, stores := range []string{"word", "wide"} {
				add(fmt.Sprintf("one way, payload 48, reader %s, batch %d, %s stores", lag, batch, stores),
					shape{payload: 48, lag: lag, batch: batch, stores: stores})
			}
		}
	}
	for _, payload := range []int{112, 1008} {
		add(fmt.Sprintf("one way, payload %d, reader free, batch 1, wide stores", payload),
			shape{payload: payload, stores: "wide"})
	}
	return all
}

// planBatch: an index published every 16 records (A) against records published
// one by one (B), for a producer that has 16 records in hand: nothing makes it
// hold back their commit words.
func planBatch() []measure.Comparison {
	var all []measure.Comparison
	for _, lag := range []string{"free", "near", "far"} {
		for _, stores := range []string{"word", "wide"} {
			s := shape{payload: 48, lag: lag, batch: 16, stores: stores}
			a := s.variant("index every 16", "ring_index")
			s.batch = 1
			all = append(all, measure.Comparison{Group: groupBatch, Unit: s.unit(),
				Question: fmt.Sprintf("one way, payload 48, reader %s, %s stores", lag, stores),
				A:        a, B: s.variant("record every 1", "ring_record")})
		}
	}
	return all
}

// planAlign: records aligned to 16 (A) against 8 (B), both polling the record.
// The payloads are those for which 8 saves eight bytes.
func planAlign() []measure.Comparison {
	var all []measure.Comparison
	add := func(question string, s shape) {
		wide, narrow := s, s
		wide.align, narrow.align = 16, 8
		all = append(all, measure.Comparison{Group: groupAlign, Question: question, Unit: s.unit(),
			A: wide.variant("align 16", "ring_record"), B: narrow.variant("align 8", "ring_record")})
	}
	for _, payload := range []int{24, 40, 72, 104} {
		add(fmt.Sprintf("round trip, payload %d", payload), shape{trip: true, payload: payload})
	}
	for _, payload := range []int{24, 40, 72, 104} {
		for _, stores := range []string{"word", "wide"} {
			add(fmt.Sprintf("one way, payload %d, %s stores", payload, stores), shape{payload: payload, stores: stores})
		}
	}
	return all
}

// planHeader: a header of 16 bytes (A) against 24 and 32 (B).
func planHeader() []measure.Comparison {
	var all []measure.Comparison
	for _, header := range []int{24, 32} {
		add := func(question string, s shape) {
			small, big := s, s
			small.header, big.header = 16, header
			all = append(all, measure.Comparison{Group: groupHeader, Question: question, Unit: s.unit(),
				A: small.variant("header 16", "ring_record"),
				B: big.variant(fmt.Sprintf("header %d", header), "ring_record")})
		}
		for _, payload := range []int{32, 48, 200} {
			add(fmt.Sprintf("round trip, payload %d", payload), shape{trip: true, payload: payload})
		}
		for _, payload := range []int{32, 48, 200} {
			for _, stores := range []string{"word", "wide"} {
				add(fmt.Sprintf("one way, payload %d, %s stores", payload, stores), shape{payload: payload, stores: stores})
			}
		}
	}
	return all
}
