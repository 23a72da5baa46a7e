package cclient

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/unixconn"
	"brokerd/tests/internal/harness"
)

// mirrorRecords go round a mirror of ringBytes many times, the jumps not counted.
const mirrorRecords = 3000

// lendOne answers the calls of one C reader as a daemon does, and lends it slot 0
// of a ring.
func lendOne(l *unixconn.Listener, ring *shmring.Ring, policy string) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, _, err := c.ReadMessage(unixconn.ReadOptions{BytesMax: 64 << 10}); err != nil {
		return err
	}
	data, cursor, err := ring.LendConsumer(0)
	if err != nil {
		return err
	}
	defer data.Close()
	defer cursor.Close()
	reply := fmt.Sprintf(`{"parameters":{"attachment":{"id":"m-1","slot":0,"generation":1,"policy":%q},"ring":{"epoch":%d},"files":{"data":0,"cursors":[1]}}}`,
		policy, ring.Config().Epoch)
	if err := c.WriteMessage([]byte(reply+"\x00"), []*os.File{data, cursor}); err != nil {
		return err
	}
	for {
		if _, _, err = c.ReadMessage(unixconn.ReadOptions{BytesMax: 64 << 10}); err != nil {
			break
		}
		if err = c.WriteMessage([]byte("{\"parameters\":{}}\x00"), nil); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// originParts lays out parts as docs/MEMORY_LAYOUT.md has them.
type originParts struct {
	m   *shmring.Mirror
	key uint64
}

// send commits one part: a record, or, without a payload, an end.
func (o originParts) send(payload []byte) error {
	end := o.m.End()
	frame := uint64(16+len(payload)+15) &^ 15
	kind, length := uint64(1), uint64(len(payload))
	if payload == nil {
		kind, length = 4, frame
	}
	if room := ringBytes - end.Position%ringBytes; frame > room {
		if err := o.commit(2, room, make([]byte, room), 0); err != nil {
			return err
		}
		return o.send(payload)
	}
	b := make([]byte, frame)
	copy(b[16:], payload)
	return o.commit(kind, length, b, 2-min(kind, 2))
}

func (o originParts) commit(kind, header uint64, b []byte, records uint64) error {
	end := o.m.End()
	binary.LittleEndian.PutUint64(b, (end.Position|kind)^o.key)
	binary.LittleEndian.PutUint64(b[8:], header)
	if err := o.await(uint64(len(b))); err != nil {
		return err
	}
	place, err := o.m.Place(end.Position, len(b))
	if err != nil {
		return err
	}
	copy(place, b[16:])
	return o.m.Commit(shmring.Chunk{Position: end.Position, Sequence: end.Sequence, Records: records, Bytes: len(b), First: [16]byte(b)})
}

// await waits until the reader has made room.
func (o originParts) await(bytes uint64) error {
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
		_, limit, err := o.m.Progress()
		if err != nil || limit-o.m.End().Position >= bytes {
			return err
		}
	}
	return fmt.Errorf("no room for %d bytes", bytes)
}

// The C reader on a mirror that begins in the middle and jumps, further than a lap
// too: it gets every record, and counts the holes as what they are.
func TestMirrorReaderInC(t *testing.T) {
	for _, policy := range []string{"block", "skip"} {
		for _, missed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, missed %v", policy, missed), func(t *testing.T) { readMirror(t, policy, missed) })
		}
	}
}

func readMirror(t *testing.T, policy string, missed bool) {
	s := newStage(t, "[]")
	start := shmring.Boundary{Position: 5 << 20, Sequence: 1000}
	config := shmring.Config{Capacity: ringBytes, RecordMax: 4096, Epoch: 9, ConsumersMax: 1, Mirror: true}
	ring, err := shmring.CreatePrivate(config, start)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	binding := shmring.Binding{Generation: 1, Policy: shmring.PolicyBlock}
	if policy == "skip" {
		binding.Policy = shmring.PolicySkip
	}
	if err := ring.BindConsumer(0, binding); err != nil {
		t.Fatal(err)
	}
	data, cursors, err := ring.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	m, err := shmring.OpenMirror(data, cursors, shmring.MirrorOptions{Missed: missed})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s.Socket = filepath.Join(t.TempDir(), "socket")
	l, err := unixconn.Listen(s.Socket, 0o600, os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lent := make(chan error, 1)
	go func() {
		err := lendOne(l, ring, policy)
		if err != nil {
			t.Log("lend: ", err)
		}
		lent <- err
	}()
	reader := s.attach(s.c("mirror", "consume", "--from", "oldest", "--policy", policy, "--until-end"))
	lost, err := feedMirror(originParts{m, m.Config().Key}, s.seed, policy)
	if err != nil {
		t.Fatal(err)
	}
	got := finish(t, reader)
	if err := <-lent; err != nil {
		t.Fatal(err)
	}
	end := m.End()
	if got.Position != end.Position || got.Sequence != end.Sequence || got.Records+got.Missed+got.Gaps != end.Sequence-start.Sequence || lost == 0 {
		t.Errorf("%+v, the mirror ends at %+v", got, end)
	}
	if policy == "block" && (got.Records != mirrorRecords || missed && got.Missed != lost || !missed && got.Gaps != lost) {
		t.Errorf("%+v, %d records were lost", got, lost)
	}
}

// feedMirror sends records, jumps between them and an end.
func feedMirror(o originParts, seed uint64, policy string) (lost uint64, err error) {
	rng := rand.New(rand.NewPCG(seed, 5))
	var record []byte
	for number := uint64(0); number < mirrorRecords; number++ {
		if rng.IntN(20) == 0 {
			hole := 16 * (1 + rng.Uint64N(100))
			if rng.IntN(4) == 0 {
				hole = 16 * (1 + rng.Uint64N(3*ringBytes/16))
			}
			n := rng.Uint64N(hole/16 + 1)
			if err := o.await(shmring.JumpBytesMax); err != nil {
				return lost, err
			}
			if err := o.m.Jump(o.m.End().Position+hole, n); err != nil {
				return lost, err
			}
			lost += n
		}
		record = appendRecord(record[:0], seed, 3, number)
		if err := o.send(record); err != nil {
			return lost, err
		}
		if policy == "skip" && number%16 == 0 {
			time.Sleep(time.Millisecond) // so that it gets some
		}
	}
	return lost, o.send(nil)
}
