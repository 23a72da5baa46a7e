package hostile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Places of docs/MEMORY_LAYOUT.md.
const (
	offKey       = 0x020
	offState     = 0x100
	offTail      = 0x180
	offAnnounce  = 0x200
	offUsable    = 0x280
	offWakeSeq   = 0x400
	consumersOff = 0x1000
	producersOff = 0x2000
	syncOff      = 0x4000
	dataOff      = 0x5000
)

const (
	vandalMost    = 120 * time.Millisecond // of one way to do harm
	warmUpRecords = 200                    // that a vandal publishes well before
	afterDetach   = 10 * time.Millisecond  // that it goes on writing after it has said that it is done
	attachAgain   = 3 * time.Millisecond   // between two tries
)

// vandal is a producer that does harm to its ring.
type vandal struct {
	rng      *rand.Rand
	data     []byte
	file     *os.File
	capacity uint64
}

// harm is one way to do it: a step, which is repeated.
type harm struct {
	name string
	step func(*vandal)
}

// harms are all ways.
var harms = []harm{
	{"every byte", (*vandal).everyByte},
	{"one bit", (*vandal).oneBit},
	{"words of producers", (*vandal).producerWords},
	{"words of the daemon", (*vandal).daemonWords},
	{"slots", (*vandal).slots},
	{"announcement", (*vandal).announcement},
	{"announcement back and forth", (*vandal).backAndForth},
	{"uneven tail", (*vandal).unevenTail},
	{"records", (*vandal).records},
	{"pads without end", (*vandal).pads},
	{"shorter", (*vandal).shorten},
	{"longer", (*vandal).lengthen},
	{"holes", (*vandal).holes},
}

// vandalise is a role. Arguments: socket, ring, seed, for how long. It attaches as
// producer, publishes a little, does harm, detaches, does some more, and begins
// again; it prints how often it did what.
func vandalise(args []string) error {
	giveWay()
	socket, ring := args[0], args[1]
	rng, d, err := drawnFor(args[2:])
	if err != nil {
		return err
	}
	lives := map[string]int{}
	for begin := time.Now(); time.Since(begin) < d; {
		l, err := attachRaw(socket, wire.AttachIn{Ring: ring, Role: wire.RoleProducer, Name: "vandal"})
		switch {
		case client.IsRefused(err), errors.Is(err, os.ErrInvalid): // retired, and its successor is not there yet
			time.Sleep(attachAgain)
			continue
		case err != nil:
			return fmt.Errorf("attach: %w", err)
		}
		how := harms[rng.IntN(len(harms))]
		lives[how.name]++
		if err := errors.Join(l.vandalise(rng, how), l.close()); err != nil {
			return fmt.Errorf("%s: %w", how.name, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(lives)
}

// drawnFor is what a role draws from, by its seed, and for how long it goes on.
func drawnFor(args []string) (*rand.Rand, time.Duration, error) {
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return nil, 0, err
	}
	d, err := time.ParseDuration(args[1])
	return rand.New(rand.NewPCG(seed, 0)), d, err
}

// vandalise is one life.
func (l *lent) vandalise(rng *rand.Rand, how harm) error {
	if err := l.publishWell(); err != nil {
		return err
	}
	v := &vandal{rng, l.data, l.dataFile(), l.out.Ring.Capacity}
	v.repeat(how, vandalMost)
	if err := l.detach(); err != nil && !client.IsRefused(err) {
		return err
	}
	v.repeat(how, afterDetach)
	return nil
}

// publishWell publishes some records as an honest producer does, so that there is
// something to spoil. What others do to the ring meanwhile does not matter.
func (l *lent) publishWell() error {
	data, err := again(l.dataFile())
	if err != nil {
		return err
	}
	var cursors []*os.File
	for _, i := range l.out.Files.Cursors {
		f, err := again(l.files[i])
		if err != nil {
			return err
		}
		cursors = append(cursors, f)
	}
	p, err := shmring.OpenProducer(data, cursors, shmring.ProducerOptions{
		Slot: l.out.Attachment.Slot, Generation: l.out.Attachment.Generation, OnFull: shmring.OnFullFail})
	if err != nil {
		return nil
	}
	for range warmUpRecords {
		if p.TrySend(make([]byte, 100)) != nil {
			break
		}
	}
	_ = p.Close() // its fault may be another vandal's work
	return nil
}

// repeat does it again and again for a while. A fault, for its own truncation, ends
// one step.
func (v *vandal) repeat(how harm, d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
		_ = shmring.Guarded(func() {
			for range 64 {
				how.step(v)
			}
		})
	}
}

func (v *vandal) put(off, value uint64) { binary.LittleEndian.PutUint64(v.data[off:], value) }

func (v *vandal) get(off uint64) uint64 { return binary.LittleEndian.Uint64(v.data[off:]) }

// word is the offset of some word in [from, to).
func (v *vandal) word(from, to uint64) uint64 { return from + v.rng.Uint64N((to-from)/8)*8 }

// value is one that a check might be wrong about.
func (v *vandal) value() uint64 {
	near := v.get(offAnnounce)
	switch v.rng.IntN(10) {
	case 0:
		return 0
	case 1:
		return ^uint64(0)
	case 2:
		return 1 << v.rng.IntN(64)
	case 3:
		return near - v.rng.Uint64N(v.capacity)
	case 4:
		return near&^15 + 16*v.rng.Uint64N(64)
	case 5:
		return near + v.rng.Uint64N(16) // not aligned
	case 6:
		return near&^15 + v.capacity*v.rng.Uint64N(4)
	case 7:
		return v.rng.Uint64N(1 << 60)
	case 8:
		return v.rng.Uint64N(256)
	}
	return v.rng.Uint64()
}

// everyByte writes garbage over all of it, front to back.
func (v *vandal) everyByte() {
	for off := uint64(0); off+8 <= uint64(len(v.data)); off += 8 {
		v.put(off, v.rng.Uint64())
	}
}

func (v *vandal) oneBit() {
	off := v.rng.IntN(len(v.data))
	if v.rng.IntN(2) == 0 {
		off = v.rng.IntN(dataOff)
	}
	v.data[off] ^= 1 << v.rng.IntN(8)
	time.Sleep(time.Duration(v.rng.IntN(int(100 * time.Microsecond))))
}

func (v *vandal) producerWords() {
	words := [...]uint64{offTail, offAnnounce, offUsable, offUsable + 8, 0x380, offWakeSeq}
	v.put(words[v.rng.IntN(len(words))], v.value())
}

func (v *vandal) daemonWords() { v.put(v.word(0, offTail), v.value()) }

func (v *vandal) slots() { v.put(v.word(consumersOff, dataOff), v.value()) }

// announcement runs away, sync entries and all, so that readers are overrun each
// time they look.
func (v *vandal) announcement() {
	at := v.get(offAnnounce)&^(v.capacity/16-1) + v.capacity + v.capacity/16
	v.put(offAnnounce, at)
	for n := range uint64(16) {
		pos := at - v.capacity + n*v.capacity/16
		entry := syncOff + pos/(v.capacity/16)%16*16
		v.put(entry, ^uint64(0))
		v.put(entry+8, pos/16)
		v.put(entry, pos)
	}
}

// backAndForth says one moment that all was overwritten, and the next that it was not.
func (v *vandal) backAndForth() {
	at := v.get(offAnnounce)
	v.put(offAnnounce, at+2*v.capacity)
	v.put(offAnnounce, at)
}

// unevenTail puts the tail right before the ring's end, at a position where no part
// can begin: who claims there writes beyond the end.
func (v *vandal) unevenTail() {
	at := v.get(offAnnounce)&^(v.capacity-1) + v.capacity + 1 + v.rng.Uint64N(15)
	v.put(offUsable+8, 0) // sequence base
	v.put(offAnnounce, at)
	v.put(offTail, at/16-1-v.rng.Uint64N(8)|63<<38)
	v.put(offUsable, at+v.capacity)
	time.Sleep(50 * time.Microsecond) // for somebody to claim
}

// records forges headers, each behind a commit word that is right.
func (v *vandal) records() {
	pos := (v.get(offAnnounce) - v.rng.Uint64N(v.capacity)) &^ 15
	off := dataOff + pos&(v.capacity-1)
	v.put(off+8, v.value())
	v.put(off, (pos|v.rng.Uint64N(6))^v.get(offKey))
}

// pads commits the smallest parts, as fast as it can, and announces them.
func (v *vandal) pads() {
	pos := v.get(offAnnounce) &^ 15
	for range 4096 {
		off := dataOff + pos&(v.capacity-1)
		v.put(off+8, 16)
		v.put(off, (pos|2)^v.get(offKey))
		pos += 16
		v.put(offAnnounce, pos)
	}
}

func (v *vandal) shorten() {
	sizes := [...]int64{0, 1, 4096, int64(len(v.data) / 2), int64(len(v.data) - 4096)}
	_ = v.file.Truncate(sizes[v.rng.IntN(len(sizes))])
	if v.rng.IntN(2) == 0 {
		_ = v.file.Truncate(int64(len(v.data)))
	}
}

func (v *vandal) lengthen() {
	_ = v.file.Truncate(int64(len(v.data)) + v.rng.Int64N(1<<40))
	_ = unix.Fallocate(int(v.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, int64(len(v.data))+v.rng.Int64N(4<<20))
	time.Sleep(time.Millisecond)
}

func (v *vandal) holes() {
	from := v.rng.Int64N(int64(len(v.data)))
	_ = unix.Fallocate(int(v.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, v.rng.Int64N(int64(len(v.data))))
}
