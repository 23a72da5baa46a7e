package client_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"brokerd/client"
)

// TestRemoteHeld: what a Producer does when a reader over there holds the ring.
func TestRemoteHeld(t *testing.T) {
	f := startFar(t, "[{name: md, capacity: 64KiB, record_max: 1KiB}]")
	ctx := bounded(t)
	holder, err := f.near.Consumer(ctx, "md", client.ConsumerOptions{From: client.FromOldest(), Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	p := f.producer(t, "md", client.ProducerOptions{OnFull: client.OnFullFail})
	sent := 0
	for err = nil; err == nil; sent++ {
		err = p.Send(ctx, fmt.Appendf(nil, "%d", sent))
		if err == client.ErrFull && sent < 3000 { // the network is slower
			err = nil
			sent--
			time.Sleep(time.Millisecond)
		}
	}
	if !errors.Is(err, client.ErrFull) {
		t.Fatalf("got %v", err)
	}
	sent--
	expect(t, holder, 0, sent)
	if err := p.Flush(ctx); err != nil {
		t.Error(err)
	}
}

// TestRemotePolicies: what a slow reader misses is told.
func TestRemotePolicies(t *testing.T) {
	const records = 20000
	f := startFar(t, "[{name: md, capacity: 64KiB, record_max: 1KiB}]")
	ctx := bounded(t)
	for _, policy := range []client.Policy{client.PolicySkip, client.PolicyLatest} {
		r := f.consumer(t, "md", client.ConsumerOptions{From: client.FromLatest(), Policy: policy})
		p := f.nearProducer(t, "md")
		publish(t, p, 0, records)
		if err := errors.Join(p.End(ctx), p.Close()); err != nil {
			t.Fatal(err)
		}
		var seen, missed uint64
		var last string
		for {
			record, err := r.Receive(ctx)
			if err == client.ErrEndOfStream {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			seen++
			missed += record.Missed
			last = string(record.Payload)
		}
		s := r.Stats()
		if seen+s.MissedRecords != records || last != fmt.Sprint(records-1) || s.MissedRecords == 0 || missed != s.MissedRecords {
			t.Errorf("%s: %d records, last %s, %d missed of which records told %d", policy, seen, last, s.MissedRecords, missed)
		}
		if s.Policy.String() != string(policy) || s.Gating || r.Policy() != policy || r.Demoted() {
			t.Errorf("%s: stats %+v", policy, s)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRemoteResume: the cursor is exactly behind what was read.
func TestRemoteResume(t *testing.T) {
	f := startFar(t, farRings)
	p := f.producer(t, "orders", client.ProducerOptions{})
	publish(t, p, 0, 100)
	o := client.ConsumerOptions{Name: "risk", From: client.FromResume(), Policy: client.PolicyBlock}
	r := f.consumer(t, "orders", o)
	if r.Resumed() {
		t.Error("there was no cursor")
	}
	for from := 0; from < 100; from += 20 {
		expect(t, r, from, from+20)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = f.consumer(t, "orders", o)
		if !r.Resumed() {
			t.Fatalf("it did not resume at record %d, but at %d", from+20, r.Sequence())
		}
	}
}
