package main

import (
	"bufio"
	"errors"
	"fmt"

	"brokerd/client"
)

// checksumLinesMax is how many wrong checksums of a ring are told one by one; the
// summary has them all.
const checksumLinesMax = 5

// source is one ring that a consumer reads.
type source struct {
	ring   string
	r      *client.Consumer
	frames framing
	prefix []byte // of each record; nil when there is one ring only
	kept   bool   // another reader may go on where this one ends
	sum    *summary
	ended  bool // by an end record
}

func newSource(ring, name string, r *client.Consumer, frames framing, several bool) *source {
	s := &source{ring: ring, r: r, frames: frames, sum: newSummary(ring, roleConsumer)}
	s.sum.resumed, s.sum.start = r.Resumed(), r.Start()
	s.kept = name != "" && r.Ring().ResumeForNS > 0
	if several {
		s.prefix = frames.prefix(ring)
	}
	return s
}

// began says where a reader that was to resume has begun.
func began(r *client.Consumer, name string) string {
	if r.Resumed() {
		return fmt.Sprintf("resumed the cursor of %s at position %d, missed %d", name, r.Start(), r.Stats().MissedRecords)
	}
	if r.Ring().ResumeForNS == 0 {
		return fmt.Sprintf("the ring keeps no cursors (it has no resume_for), so each restart begins anew: at the oldest record, position %d", r.Start())
	}
	return fmt.Sprintf("no cursor of %s to resume; it begins at the oldest record, position %d", name, r.Start())
}

// write writes a record. Where the cursor is kept it comes out at once, because the
// next call on the reader tells the ring that this one has been read.
func (s *source) write(out *bufio.Writer, record client.Record) error {
	s.sum.add(len(record.Payload), record.Timestamp)
	err := s.frames.write(out, s.prefix, record.Payload)
	if err == nil && s.kept {
		err = out.Flush()
	}
	return err
}

func wrongChecksum(err error) bool {
	var wrong *client.ChecksumError
	return errors.As(err, &wrong)
}

// leaveOut tells of a record whose checksum is wrong.
func (s *source) leaveOut(c *cli, err error) {
	if s.sum.checksums++; s.sum.checksums <= checksumLinesMax {
		c.note("%s: %v; it is left out", s.ring, err)
	}
}

// close detaches, and completes the summary. Closing again changes nothing.
func (s *source) close() error {
	stats := s.r.Stats()
	s.sum.missed, s.sum.missedBytes, s.sum.gaps = stats.MissedRecords, stats.MissedBytes, stats.GapRecords
	s.sum.filtered = stats.Filtered
	return s.r.Close()
}

// loss says what a reader that should see every record did not get, or nil.
func (s *source) loss() (err error) {
	if s.sum.checksums > 0 {
		err = &checksumError{ring: s.ring, records: s.sum.checksums}
	}
	policy := s.r.Policy()
	if s.sum.missed > 0 && (policy == client.PolicyBlock || policy == client.PolicyDemote) {
		missed := &missedError{ring: s.ring, policy: policy, records: s.sum.missed, demoted: s.r.Demoted()}
		err = errors.Join(err, missed)
	}
	return err
}
