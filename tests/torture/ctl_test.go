package torture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// brokerctl is killed, too: as a reader, whose output must be records of the ring in order, and as a producer of what the
// test writes to it. It is not stopped, and has no book.

// ctl starts a brokerctl that attaches.
func (t *torture) ctl(l *lane, args ...string) *victim {
	l.incarnation++
	v := &victim{ended: make(chan struct{})}
	v.job.Life, v.job.Ring, v.job.Name = [2]uint32{l.id, l.incarnation}, l.local(), "brokerctl"
	args = append([]string{"--socket", t.a.place.Socket, "attach", l.local(), "--as", l.role, "--framing", "u32be", "--wait-for", "20s"}, args...)
	v.cmd = exec.Command(binaries.Brokerctl, args...)
	return v
}

// runCtl has one brokerctl follow the other.
func (t *torture) runCtl(l *lane) {
	one := t.ctlReads
	if l.role == roleProducer {
		one = t.ctlPublishes
	}
	for !closed(t.ending) && !closed(t.tally.alarm) {
		if err := one(l); err != nil {
			t.tally.violation("brokerctl, %s of %s, life %d.%d: %v", l.role, l.ring.name, l.id, l.incarnation, err)
			return
		}
		t.tally.do(func() { t.tally.lives++ })
	}
}

// ctlReads is a brokerctl whose output goes into a file.
func (t *torture) ctlReads(l *lane) error {
	v := t.ctl(l, "--policy", string(l.policy))
	path := filepath.Join(t.dir, fmt.Sprintf("out-%d.%d", l.id, l.incarnation))
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	v.cmd.Stdout = out
	if err := v.start(); err != nil {
		return err
	}
	t.killCtl(l, v)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n, err := judgeOutput(text, l.lossless())
	if err != nil {
		return fmt.Errorf("output %s: %w", path, err)
	}
	t.tally.do(func() { t.tally.judged += n })
	if v.stderr.Len() > 0 {
		return fmt.Errorf("it says %s", v.stderr.String())
	}
	return os.Remove(path)
}

// killCtl lets it live for a while.
func (t *torture) killCtl(l *lane, v *victim) {
	select {
	case <-time.After(earlyMax + time.Duration(l.random.Int64N(int64(2*lifeMean)))):
	case <-v.ended:
	}
	t.kill(l, v)
}

// judgeOutput looks at frames: each producer's records are in order, and all of them if the reader is lossless. The
// last frame may be cut off.
func judgeOutput(text []byte, lossless bool) (records uint64, err error) {
	last := map[life]uint64{}
	for len(text) >= 4 {
		length := int(binary.BigEndian.Uint32(text))
		if len(text) < 4+length {
			break
		}
		s, err := readStamp(text[4 : 4+length])
		before := last[s.life]
		switch {
		case err != nil:
			return records, fmt.Errorf("record %d: %w", records, err)
		case s.n <= before, lossless && before > 0 && s.n != before+1:
			return records, fmt.Errorf("record %d: number %d of life %v follows its number %d", records, s.n, s.life, before)
		}
		last[s.life] = s.n
		records++
		text = text[4+length:]
	}
	return records, nil
}

// ctlPublishes is a brokerctl that is given records.
func (t *torture) ctlPublishes(l *lane) error {
	v := t.ctl(l)
	input, err := v.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := v.start(); err != nil {
		return err
	}
	written := make(chan uint64, 1)
	seed := l.random.Uint64()
	go func() { written <- writeFrames(input, v.job.life(), l.ring.recordMax, seed) }()
	t.killCtl(l, v)
	begun := <-written // the pipe is broken now
	t.tally.do(func() {
		t.published = append(t.published, published{life: v.job.life(), ring: l.ring, begun: begun, killed: true})
	})
	if v.stderr.Len() > 0 {
		return fmt.Errorf("it says %s", v.stderr.String())
	}
	return nil
}

// writeFrames writes records until nobody reads them, and says how many it has begun to write.
func writeFrames(w io.WriteCloser, who life, recordMax int, seed uint64) (begun uint64) {
	defer w.Close()
	random := rand.New(rand.NewPCG(seed, 0))
	var frame bytes.Buffer
	for {
		begun++
		payload := make([]byte, randomBytes(random, recordMax))
		stamp{life: who, n: begun}.fill(payload)
		frame.Reset()
		frame.Write(binary.BigEndian.AppendUint32(nil, uint32(len(payload))))
		frame.Write(payload)
		if _, err := w.Write(frame.Bytes()); err != nil {
			return begun
		}
		if random.IntN(burstRecordsMax/2) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(restMax))))
		}
	}
}
