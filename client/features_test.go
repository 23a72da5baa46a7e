package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/client"
)

func TestTags(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	p := producer(t, c, "md", client.ProducerOptions{Tag: 7})
	tags := []uint16{8, 65535}
	some := consumer(t, c, "md", client.ConsumerOptions{Tags: tags})
	all := consumer(t, c, "md", client.ConsumerOptions{})
	tags[0] = 7 // is the caller's own
	sendNumbers(t, p, 0, 1)
	p.SetTag(8)
	sendNumbers(t, p, 1, 2)
	p.SetTag(65535)
	sendNumbers(t, p, 2, 3)
	p.SetTag(0)
	sendNumbers(t, p, 3, 4)

	for n, tag := range []uint16{7, 8, 65535, 0} {
		if record, err := all.TryReceive(); err != nil || record.Tag != tag || record.Sequence != uint64(n) {
			t.Errorf("record %d: got %+v, %v; want tag %d", n, record, err, tag)
		}
	}
	for n, tag := range []uint16{8, 65535} {
		if record, err := some.TryReceive(); err != nil || record.Tag != tag || record.Sequence != uint64(n)+1 || record.Missed != 0 {
			t.Errorf("selected record %d: got %+v, %v; want tag %d", n, record, err, tag)
		}
	}
	if _, err := some.TryReceive(); err != client.ErrEmpty || some.Stats().Filtered != 2 || some.Sequence() != 4 {
		t.Errorf("got %v, %d filtered, sequence %d; want empty, 2, 4", err, some.Stats().Filtered, some.Sequence())
	}
	if _, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{Tags: make([]uint16, client.TagsMax)}); err != nil {
		t.Errorf("%d tags: %v", client.TagsMax, err)
	}
	d.kill() // nobody has to be asked for what comes now
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Consumer(ctx, "md", client.ConsumerOptions{Tags: make([]uint16, client.TagsMax+1)})
	if err == nil || !strings.Contains(err.Error(), "65 tags: want at most 64") {
		t.Errorf("%d tags: got %v", client.TagsMax+1, err)
	}
}

// TestAbortAmongManyProducers leaves gaps, which hold up nobody.
func TestAbortAmongManyProducers(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	createSpec(t, c, client.RingSpec{Name: "md", Capacity: 64 << 10, Producers: client.ProducersMany})
	r := consumer(t, c, "md", client.ConsumerOptions{Policy: client.PolicyBlock})
	first, second := producer(t, c, "md", client.ProducerOptions{}), producer(t, c, "md", client.ProducerOptions{})
	for n, giveUp := range []func() error{first.Abort, first.Close} {
		if _, err := first.Reserve(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		sendNumbers(t, second, n, n+1)
		if _, err := r.TryReceive(); err != client.ErrEmpty {
			t.Fatalf("behind an open reservation: got %v, want nothing yet", err)
		}
		if err := giveUp(); err != nil {
			t.Fatal(err)
		}
		record, err := r.Receive(t.Context())
		if err != nil || string(record.Payload) != fmt.Sprint(n) || record.Gaps != 1 || record.Missed != 0 {
			t.Errorf("got %+v, %v; want record %d behind one gap", record, err, n)
		}
	}
	if got := r.Stats().GapRecords; got != 2 {
		t.Errorf("%d gaps in all, want 2", got)
	}
	if err := first.Abort(); err != nil {
		t.Errorf("abort with nothing reserved: %v", err)
	}
}

// TestManyProducersKeepTheirOrder each, and readers see the end of every stream.
func TestManyProducersKeepTheirOrder(t *testing.T) {
	const producers, records = 4, 3000
	c := dialDaemon(t, startDaemon(t))
	createSpec(t, c, client.RingSpec{Name: "md", Capacity: 64 << 10, Producers: client.ProducersMany})
	r := consumer(t, c, "md", client.ConsumerOptions{Policy: client.PolicyBlock})
	sent := make(chan error, producers)
	for i := range producers {
		p := producer(t, c, "md", client.ProducerOptions{Tag: uint16(i)})
		go func() {
			var err error
			for n := 0; n < records && err == nil; n++ {
				err = p.Send(t.Context(), fmt.Append(nil, n))
			}
			sent <- errors.Join(err, p.End(t.Context()))
		}()
	}
	var next [producers]int
	ends := 0
	for record, err := range r.Records(t.Context()) {
		if errors.Is(err, client.ErrEndOfStream) {
			if ends++; ends == producers {
				break
			}
			continue
		}
		if err != nil || string(record.Payload) != fmt.Sprint(next[record.Tag]) {
			t.Fatalf("got %q of producer %d, %v; want record %d", record.Payload, record.Tag, err, next[record.Tag])
		}
		next[record.Tag]++
	}
	for i := range producers {
		if err := <-sent; err != nil || next[i] != records {
			t.Errorf("producer %d: %v, %d records came; want %d", i, err, next[i], records)
		}
	}
	if s := r.Stats(); s.Delivered != producers*records || s.GapRecords != 0 || s.MissedRecords != 0 {
		t.Errorf("got %+v", s)
	}
}

// TestLatest gives the newest record only.
func TestLatest(t *testing.T) {
	_, p, r := pair(t, client.ProducerOptions{}, client.ConsumerOptions{Policy: client.PolicyLatest})
	sendNumbers(t, p, 0, 1000)
	record, err := r.TryReceive()
	if err != nil || string(record.Payload) != "999" || record.Missed != 999 {
		t.Errorf("got %+v, %v; want 999, with 999 missed", record, err)
	}
	if _, err := r.TryReceive(); err != client.ErrEmpty {
		t.Errorf("behind the newest: got %v", err)
	}
}

// TestChecksums alters a record in the ring's memory.
func TestChecksums(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createSpec(t, c, client.RingSpec{Name: "md", Capacity: 64 << 10, Checksum: true})
	p := producer(t, c, "md", client.ProducerOptions{})
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicySkip} {
		one, poll := consumer(t, c, "md", client.ConsumerOptions{Policy: policy}), consumer(t, c, "md", client.ConsumerOptions{Policy: policy})
		payloads := []string{"good one", "bad " + string(policy), "good two"}
		for _, s := range payloads {
			if err := p.Send(t.Context(), []byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		alter(t, filepath.Join(d.base, "rings", "md", "data"), []byte(payloads[1]))
		var got []string
		for record, err := range one.Records(t.Context()) {
			var checksum *client.ChecksumError
			switch {
			case errors.As(err, &checksum):
				got = append(got, "altered")
			case err != nil:
				t.Fatal(err)
			default:
				got = append(got, string(record.Payload))
			}
			if len(got) == 3 {
				break
			}
		}
		if want := []string{"good one", "altered", "good two"}; !slices.Equal(got, want) || one.Stats().ChecksumErrors != 1 {
			t.Errorf("%s: got %q, %d wrong; want %q, 1", policy, got, one.Stats().ChecksumErrors, want)
		}
		n, err := poll.Poll(func(client.Record) error { return nil }, 10)
		var checksum *client.ChecksumError
		if n != 1 || !errors.As(err, &checksum) {
			t.Errorf("%s: poll: got %d, %v", policy, n, err)
		}
		if n, err = poll.Poll(func(client.Record) error { return nil }, 10); n != 1 || err != nil {
			t.Errorf("%s: poll behind it: got %d, %v", policy, n, err)
		}
	}
}

// alter writes over the payload where it lies in a file.
func alter(t *testing.T, path string, payload []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, payload)
	if at < 0 || bytes.Count(data, payload) != 1 {
		t.Fatalf("%q is not once in %s", payload, path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{payload[0] + 1}, int64(at))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestReload(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	d.configure(t, "[{name: md, capacity: 64KiB}]")
	out, err := c.Reload(t.Context())
	if err != nil || out.File != d.config || !strings.Contains(strings.Join(out.Changed, "\n"), "md") || len(out.Kept) != 0 {
		t.Errorf("got %+v, %v; want ring md made", out, err)
	}
	if _, err := c.DescribeRing(t.Context(), "md"); err != nil {
		t.Error(err)
	}
	d.configure(t, "[{name: md, capacity: 128KiB}]")
	if out, err = c.Reload(t.Context()); err != nil || !strings.Contains(strings.Join(out.Kept, "\n"), "capacity") {
		t.Errorf("another capacity: got %+v, %v; want it kept, and told", out, err)
	}
	d.configure(t, "[{name: nd, capacity: 3}]")
	_, err = c.Reload(t.Context())
	wantError(t, "a bad file", err, client.ErrInvalidConfig, d.config, "capacity")
	if _, err := c.DescribeRing(t.Context(), "nd"); !errors.Is(err, client.ErrRingNotFound) {
		t.Errorf("the bad file's ring: got %v", err)
	}
}
