//go:build !ringmodel

package shmring

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// pollChecksumTime is how long a producer laps a reader; the checksum of a view that
// was overwritten after the last look was found wrong within a third of it.
const pollChecksumTime = 600 * time.Millisecond

// TestPollOverrunIsNoChecksumError: a reader that looks at views, and is lapped while it
// looks, is told that, and not that somebody has damaged the ring.
func TestPollOverrunIsNoChecksumError(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	config.Checksum = true
	ring := tmpfsRing(t, config)
	p := openProducer(t, ring)
	c := openConsumer(t, ring, 0, PolicySkip)
	until := time.Now().Add(pollChecksumTime)
	var producing sync.WaitGroup
	producing.Go(func() {
		payload := make([]byte, config.RecordMax)
		for i := 0; time.Now().Before(until); i++ {
			for k := range payload {
				payload[k] = byte(i)
			}
			if err := p.TrySend(payload); err != nil {
				t.Error(err)
				return
			}
		}
	})
	shown, overrun := 0, 0
	for time.Now().Before(until) && !t.Failed() {
		n, err := c.Poll(func(Record) error { return nil }, 16)
		shown += n
		var lapped *OverrunError
		switch {
		case errors.As(err, &lapped):
			overrun++
		case err != nil:
			t.Errorf("after %d records: %v", shown, err)
		}
	}
	producing.Wait()
	s := c.Stats()
	if s.ChecksumErrors != 0 || s.MissedRecords == 0 {
		t.Errorf("%d records, %d overrun: %+v", shown, overrun, s)
	}
}
