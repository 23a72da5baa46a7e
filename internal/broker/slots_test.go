package broker

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

// largest is a record in which every field is as long as it can be.
func largest() slotRecord {
	return slotRecord{
		State: slotResumable, Role: wire.RoleConsumer, Generation: math.MaxUint32, UID: math.MaxUint32,
		PID: math.MaxInt32, Start: math.MaxUint64,
		Name: strings.Repeat("n", wire.NameBytesMax), Token: strings.Repeat("t", wire.NameBytesMax),
		Policy: wire.PolicyDemote, Wait: wire.WaitYield, SinceNanos: math.MinInt64,
		UntilNanos: math.MinInt64, Keeps: true, Resumed: true,
	}
}

func TestSlotRecordFits(t *testing.T) {
	data, err := encodeSlot(largest())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d bytes", len(bytes.TrimRight(data, "\x00")), slotBytes)
	if len(data) != slotBytes {
		t.Errorf("%d bytes", len(data))
	}
	got, err := decodeSlot(data)
	if err != nil || got != largest() {
		t.Errorf("got %+v (%v)", got, err)
	}
	long := largest()
	long.Name = strings.Repeat("n", slotBytes)
	if _, err := encodeSlot(long); err == nil {
		t.Error("a record that does not fit was encoded")
	}
}

func TestDecodeSlotRefuses(t *testing.T) {
	for what, text := range map[string]string{
		"not JSON":      `hello`,
		"unknown key":   `{"state":"free","generation":1,"colour":"red"}`,
		"two values":    `{"state":"free","generation":1}{}`,
		"state":         `{"state":"busy","generation":1}`,
		"generation":    `{"state":"free","generation":0}`,
		"no process":    `{"state":"attached","generation":1,"pid":0,"start":1}`,
		"no start":      `{"state":"zombie","generation":1,"pid":1,"start":0}`,
		"negative":      `{"state":"free","generation":-1}`,
		"no deadline":   `{"state":"resumable","role":"consumer","generation":1,"pid":1,"start":1,"name":"n"}`,
		"no name":       `{"state":"resumable","role":"consumer","generation":1,"pid":1,"start":1,"until_ns":1}`,
		"no reader":     `{"state":"resumable","role":"producer","generation":1,"pid":1,"start":1,"name":"n","until_ns":1}`,
		"hole":          "{\"state\":\"free\",\x00\"generation\":1}",
		"text after it": "{\"state\":\"free\",\"generation\":1}\x00\x00x",
	} {
		if _, err := decodeSlot([]byte(text)); !errors.Is(err, errSlots) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if r, err := decodeSlot([]byte(`{"state":"resumable","role":"consumer","generation":1,"pid":1,"start":1,"name":"n","until_ns":1}`)); err != nil {
		t.Errorf("a cursor: %+v, %v", r, err)
	}
	if r, err := decodeSlot(make([]byte, slotBytes)); err != nil || r != (slotRecord{}) {
		t.Errorf("never used: %+v, %v", r, err)
	}
}

func TestSlotTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), slotsName)
	if err := createSlots(path); err != nil {
		t.Fatal(err)
	}
	table, err := openSlots(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.file.Close()
	for _, ref := range []slotRef{{wire.RoleConsumer, 0}, {wire.RoleConsumer, 63}, {wire.RoleProducer, 0}, {wire.RoleProducer, 63}} {
		if refOf(ref.index()) != ref {
			t.Errorf("%v is index %d, which is %v", ref, ref.index(), refOf(ref.index()))
		}
		rec := largest()
		if ref.role == wire.RoleProducer {
			rec.State = slotAttached
		}
		if err := table.put(ref, rec); err != nil {
			t.Fatal(err)
		}
	}
	again, err := openSlots(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.file.Close()
	if !reflect.DeepEqual(again.records, table.records) {
		t.Error("the table reads otherwise than it was written")
	}

	wrong := largest()
	wrong.Role, wrong.State = wire.RoleProducer, slotAttached
	data, err := encodeSlot(wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.file.WriteAt(data, 5*slotBytes); err != nil {
		t.Fatal(err)
	}
	if _, err := openSlots(path); err == nil || !strings.Contains(err.Error(), "consumer slot 5") {
		t.Errorf("a producer's record in a consumer's place: %v", err)
	}
	for _, size := range []int64{0, slotsFileBytes - 1, slotsFileBytes + 1} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := openSlots(path); err == nil {
			t.Errorf("a table of %d bytes was opened", size)
		}
	}
}

func FuzzDecodeSlot(f *testing.F) {
	data, err := encodeSlot(largest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(make([]byte, slotBytes))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeSlot(data)
		if err != nil || r == (slotRecord{}) {
			return
		}
		again, err := encodeSlot(r)
		if err != nil {
			return // longer than what put ever writes
		}
		if back, err := decodeSlot(again); err != nil || back != r {
			t.Errorf("%+v reads back as %+v (%v)", r, back, err)
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	dir := f.TempDir()
	info, err := normalize(wire.RingSpec{Name: "md", Capacity: 1 << 20, Allow: &wire.Allow{Gate: &wire.Principals{Users: []string{"root"}}}})
	if err != nil {
		f.Fatal(err)
	}
	info.Epoch = 1
	if err := (&Broker{boot: "this"}).writeMeta(dir, info); err != nil {
		f.Fatal(err)
	}
	if back, err := readMeta(dir, "md"); err != nil || back.Boot != "this" || !reflect.DeepEqual(back.Ring, info) {
		f.Fatalf("%+v reads back as %+v (%v)", info, back.Ring, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":2,"ring":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := decodeMeta(data); err == nil && (!wire.ValidName(m.Ring.Name) || geometry(m.Ring).Validate() != nil) {
			t.Errorf("accepted %+v", m)
		}
	})
}

// A ring whose rights are as long as they can be is described in what readMeta
// accepts.
func TestLargestDescription(t *testing.T) {
	names := func() *wire.Principals {
		list := make([]string, principalsMax)
		for i := range list {
			list[i] = strings.Repeat("\x01", principalBytesMax)
		}
		return &wire.Principals{Users: list, Groups: list}
	}
	info, err := normalize(wire.RingSpec{Name: "md", Capacity: 1 << 20, Allow: &wire.Allow{Produce: names(), Consume: names(), Gate: names()}})
	if err != nil {
		t.Fatal(err)
	}
	info.Epoch = 1
	dir := t.TempDir()
	if err := (&Broker{boot: "this"}).writeMeta(dir, info); err != nil {
		t.Fatal(err)
	}
	if back, err := readMeta(dir, "md"); err != nil || back.Boot != "this" || !reflect.DeepEqual(back.Ring, info) {
		t.Errorf("not read back: %v", err)
	}
	if err := os.Truncate(filepath.Join(dir, metaName), metaBytesMax+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readMeta(dir, "md"); !errors.Is(err, errMeta) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("past the limit: %v", err)
	}
}
