package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// The slot table DIR/NAME/slots: one record of slotBytes for each slot a ring
// can have, consumers 0..63 first, producers after them. A record is a JSON
// object padded with NULs, so that an operator can read it too.
//
// A daemon killed in the middle cannot tear one. Each is written by one pwrite
// that lies in one page of the file, from a buffer that lies in one page of
// memory; the kernel copies that much in one go under the page's lock, and
// looks for a fatal signal only between pages.
const (
	slotsName      = "slots"
	slotBytes      = 512
	slotsPerRole   = shmring.ConsumersMax
	slotsCount     = 2 * slotsPerRole
	slotsFileBytes = slotBytes * slotsCount
)

// slotState is what a record says of its slot.
type slotState string

const (
	slotFree      slotState = "free"
	slotAttached  slotState = "attached"  // the ring honours it
	slotOffered   slotState = "offered"   // it may or may not yet, and the process has not been told
	slotZombie    slotState = "zombie"    // it does not, or not surely yet, but the process has the pages
	slotResumable slotState = "resumable" // the ring honours it, the process is gone or has finished with it
)

// slotRecord is one record. The zero value is a slot nobody has had yet.
// Generation and UID outlive a free: the first grows for ever, the second
// binds a consumer's slot for the epoch of the ring.
type slotRecord struct {
	State      slotState         `json:"state"`
	Role       wire.Role         `json:"role"`
	Generation uint32            `json:"generation"`
	UID        uint32            `json:"uid"`
	PID        int               `json:"pid"`
	Start      uint64            `json:"start"` // clock ticks since boot
	Name       string            `json:"name"`
	Token      string            `json:"token"`
	Policy     wire.Policy       `json:"policy,omitempty"` // consumers
	Wait       wire.WaitStrategy `json:"wait_strategy,omitempty"`
	SinceNanos int64             `json:"since_ns"`
	UntilNanos int64             `json:"until_ns,omitempty"` // when the ring stops honouring it, 0 for never
	Keeps      bool              `json:"keeps,omitempty"`    // it leaves a cursor when it ends
	Resumed    bool              `json:"resumed,omitempty"`  // it began with a cursor
	Own        bool              `json:"own,omitempty"`      // the daemon itself holds it, for another host
}

// freed is what stays of a record when its slot is free.
func (r slotRecord) freed() slotRecord {
	return slotRecord{State: slotFree, Role: r.Role, Generation: r.Generation, UID: r.UID}
}

// slotRef names a slot of a ring.
type slotRef struct {
	role wire.Role
	slot int
}

func (s slotRef) index() int {
	if s.role == wire.RoleProducer {
		return slotsPerRole + s.slot
	}
	return s.slot
}

func refOf(index int) slotRef {
	if index >= slotsPerRole {
		return slotRef{wire.RoleProducer, index - slotsPerRole}
	}
	return slotRef{wire.RoleConsumer, index}
}

// slotTable is the open file and what it holds. The file is its own.
type slotTable struct {
	file    *os.File
	records [slotsCount]slotRecord
}

// createSlots makes an empty table, its space reserved.
func createSlots(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = reserve(f, slotsFileBytes)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func openSlots(path string) (*slotTable, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	t := &slotTable{file: f}
	if err := t.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func (t *slotTable) load() error {
	data := make([]byte, slotsFileBytes+1)
	n, err := t.file.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n != slotsFileBytes {
		return fmt.Errorf("%w: slot table of %d bytes or more, expected %d", errSlots, n, slotsFileBytes)
	}
	for i := range t.records {
		r, err := decodeSlot(data[i*slotBytes : (i+1)*slotBytes])
		if err == nil && r.Generation != 0 && r.Role != refOf(i).role {
			err = fmt.Errorf("%w: role %q", errSlots, r.Role)
		}
		if err != nil {
			return fmt.Errorf("%s slot %d: %w", refOf(i).role, refOf(i).slot, err)
		}
		t.records[i] = r
	}
	return nil
}

func (t *slotTable) get(s slotRef) slotRecord { return t.records[s.index()] }

// put writes a record through to the file.
func (t *slotTable) put(s slotRef, r slotRecord) error {
	r.Role = s.role
	data, err := encodeSlot(r)
	if err != nil {
		return err
	}
	if _, err := t.file.WriteAt(data, int64(s.index())*slotBytes); err != nil {
		return fmt.Errorf("slot table: %w", err)
	}
	t.records[s.index()] = r
	return nil
}

// encodeSlot returns slotBytes bytes, allocated as such: Go's 512-byte objects
// never straddle a page.
func encodeSlot(r slotRecord) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("slot record: %w", err)
	}
	if len(text) > slotBytes {
		return nil, fmt.Errorf("slot record of %d bytes, at most %d fit", len(text), slotBytes)
	}
	data := make([]byte, slotBytes)
	copy(data, text)
	return data, nil
}

var errSlots = errors.New("slot table not understood")

// decodeSlot reads what encodeSlot wrote. All NULs are a slot never used.
func decodeSlot(data []byte) (slotRecord, error) {
	text := bytes.TrimRight(data, "\x00")
	if len(text) == 0 {
		return slotRecord{}, nil
	}
	var r slotRecord
	if err := decodeStrict(text, &r); err != nil {
		return slotRecord{}, fmt.Errorf("%w: %w", errSlots, err)
	}
	switch r.State {
	case slotFree, slotOffered, slotAttached, slotZombie, slotResumable:
	default:
		return slotRecord{}, fmt.Errorf("%w: state %q", errSlots, r.State)
	}
	if r.Generation == 0 {
		return slotRecord{}, fmt.Errorf("%w: generation 0", errSlots)
	}
	if r.State != slotFree && (r.PID <= 0 || r.Start == 0) {
		return slotRecord{}, fmt.Errorf("%w: %s by pid %d, start %d", errSlots, r.State, r.PID, r.Start)
	}
	if r.State == slotResumable && (r.Name == "" || r.UntilNanos == 0 || r.Role == wire.RoleProducer) {
		return slotRecord{}, fmt.Errorf("%w: %s, name %q, until %d, a %s's", errSlots, r.State, r.Name, r.UntilNanos, r.Role)
	}
	return r, nil
}

// decodeStrict reads exactly one JSON value that has no unknown field.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more data after the object")
	}
	return nil
}
