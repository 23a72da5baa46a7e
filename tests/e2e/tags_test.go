package e2e

import (
	"fmt"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestTags publishes with three tags, and none, and reads them apart.
func TestTags(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	for _, tag := range []string{"1", "2", "65535"} {
		p.Publish("md", fmt.Sprintf("a%s\nb%s\n", tag, tag), "--tag", tag)
	}
	p.Publish("md", "a0\nb0\n", "--end")
	for tags, want := range map[string]string{
		"":          "a1\nb1\na2\nb2\na65535\nb65535\na0\nb0\n",
		"2":         "a2\nb2\n",
		"65535":     "a65535\nb65535\n",
		"0":         "a0\nb0\n",
		"2,1":       "a1\nb1\na2\nb2\n",
		"3":         "",
		"0,1,2,3,9": "a1\nb1\na2\nb2\na0\nb0\n",
	} {
		for _, policy := range []string{"block", "skip"} {
			args := []string{"attach", "md", "--as", "consumer", "--from", "oldest", "--until-end", "--policy", policy, "-o", "json"}
			if tags != "" {
				args = append(args, "--tag", tags)
			}
			r := p.Ctl(args...)
			r.Expect(0)
			records := uint64(strings.Count(want, "\n"))
			if s := fullSummaryOf(r); r.Stdout.String() != want || s.Records != records || s.Filtered != 8-records || s.Missed != 0 {
				t.Errorf("--tag %q, %s: printed %q, want %q; %+v", tags, policy, r.Stdout, want, s)
			}
		}
	}
	// Those that are left out do not count.
	if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--tag", "2", "--tag", "0", "--count", "3"); got != "a2\nb2\na0\n" {
		t.Errorf("--count 3 of two tags: %q", got)
	}
	for _, args := range [][]string{
		{"--as", "producer", "--tag", "1,2"}, {"--as", "producer", "--tag", "65536"}, {"--as", "consumer", "--tag", "-1"}, {"--as", "consumer", "--tag", "x"},
	} {
		r := p.Ctl(append([]string{"attach", "md"}, args...)...)
		r.Expect(2)
		wantWords(t, fmt.Sprint(args), r.Stderr.String(), "brokerctl: ", "tag")
	}
}

// TestTagsOfTheAPI: one producer that changes its tag, a block reader of some
// tags that is never in the way, and a skip reader that is lapped.
func TestTagsOfTheAPI(t *testing.T) {
	const records = 5000
	p := newPlace(t, smallRing)
	p.Start()
	c := p.Dial()
	consumer := func(policy client.Policy, tags ...uint16) *client.Consumer {
		r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: policy, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	block, lapped := consumer(client.PolicyBlock, 3, 7), consumer(client.PolicySkip, 3)
	producer, err := c.Producer(harness.Bounded(t), "md", client.ProducerOptions{Tag: 100})
	if err != nil {
		t.Fatal(err)
	}
	wanted := uint64(0)
	for n := range records {
		tag := uint16(n % 10)
		if n > 0 {
			producer.SetTag(tag)
		} else {
			tag = 100
		}
		if err := producer.Send(harness.Bounded(t), []byte{byte(n), byte(n >> 8)}); err != nil {
			t.Fatal(err)
		}
		if tag != 3 && tag != 7 {
			continue
		}
		record, err := block.Receive(harness.Bounded(t))
		if err != nil || record.Tag != tag || int(record.Payload[0])+int(record.Payload[1])<<8 != n || record.Sequence != uint64(n) {
			t.Fatalf("record %d with tag %d came as %+v, %v", n, tag, record, err)
		}
		wanted++
	}
	drain(t, block)
	if s := block.Stats(); s.Delivered != wanted || s.Delivered+s.Filtered != records || s.MissedRecords != 0 {
		t.Errorf("the block reader: %+v, want %d delivered of %d", s, wanted, records)
	}
	drain(t, lapped)
	s := lapped.Stats()
	if s.Delivered == 0 || s.MissedRecords == 0 || s.Delivered+s.Filtered+s.MissedRecords != records {
		t.Errorf("the skip reader: %+v, want %d in all", s, records)
	}
	t.Logf("block: %d of %d delivered; skip: %d delivered, %d filtered, %d missed", wanted, records, s.Delivered, s.Filtered, s.MissedRecords)
	tags := make([]uint16, client.TagsMax+1)
	if _, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Tags: tags}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(client.TagsMax)) {
		t.Errorf("%d tags: %v", len(tags), err)
	}
	consumer(client.PolicyBlock, tags[1:]...)
}
