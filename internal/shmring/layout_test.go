package shmring

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/MEMORY_LAYOUT.md and the constants say the same: each row of its tables
// that names a constant gives that constant's value.
func TestMemoryLayoutDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/MEMORY_LAYOUT.md")
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]uint64{
		"offMagic": offMagic, "offVersion": offVersion, "offFlags": offFlags, "offCapacity": offCapacity,
		"offRecordMax": offRecordMax, "offChunk": offChunk, "offKey": offKey, "offEpoch": offEpoch,
		"offConsumersOff": offConsumersOff, "offProducersOff": offProducersOff, "offSyncOff": offSyncOff,
		"offConsumersMax": offConsumersMax, "offProducersMax": offProducersMax, "offDataOff": offDataOff, "offCRC": offCRC,
		"offState": offState, "offNoWake": offNoWake, "offConsumerMask": offConsumerMask, "offParkMask": offParkMask,
		"offFenceMask": offFenceMask, "offProducerMask": offProducerMask, "offTail": offTail, "offAnnounce": offAnnounce,
		"offUsable": offUsable, "offSeqBase": offSeqBase, "offSpaceWaiters": offSpaceWaiters, "offWakeSeq": offWakeSeq,
		"consumersOff": consumersOff, "csGeneration": csGeneration, "csPolicy": csPolicy, "csDemoteAfter": csDemoteAfter,
		"csDemoted": csDemoted, "csFlags": csFlags, "producersOff": producersOff, "psGeneration": psGeneration,
		"psIntent": psIntent, "psClaimLen": psClaimLen, "psClaimPos": psClaimPos, "psClaimSeq": psClaimSeq, "psHint": psHint, "psFlags": psFlags,
		"offLentMask": offLentMask, "ownerNone": ownerNone, "cuChecksum": cuChecksum, "cuCursor": cuCursor, "cuCursorEntries": cuCursorEntries,
		"psHeldNanos": psHeldNanos, "psDropped": psDropped, "psDemotions": psDemotions, "psGapRecords": psGapRecords,
		"syncOff": syncOff, "dataOff": dataOff, "cuGate": cuGate, "cuSleep": cuSleep, "cuPosition": cuPosition,
		"cuSequence": cuSequence, "cuMissed": cuMissed, "cuMissedBytes": cuMissedBytes, "cuGaps": cuGaps, "cuDelivered": cuDelivered,
		"formatMagic": formatMagic, "formatVersion": formatVersion, "consumerSlotBytes": consumerSlotBytes,
		"producerSlotBytes": producerSlotBytes, "syncEntryBytes": syncEntryBytes, "chunksPerRing": chunksPerRing,
		"cursorPageBytes": cursorPageBytes, "hintBytesFormat": hintBytesFormat,
		"kindData": kindData, "kindPad": kindPad, "kindGap": kindGap, "kindEnd": kindEnd, "kindJump": kindJump,
		"flagMany": flagMany, "flagTimestamps": flagTimestamps, "flagChecksum": flagChecksum, "flagMirror": flagMirror,
		"recordAlign": recordAlign, "recordHeaderBytes": recordHeaderBytes,
	}
	row := regexp.MustCompile("(?m)^\\| (0x[0-9A-Fa-f]+|[0-9]+) \\|.*\\| `([a-zA-Z]+)` \\|$")
	found := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		want, known := constants[m[2]]
		got, err := strconv.ParseUint(m[1], 0, 64)
		if err != nil || !known || got != want {
			t.Errorf("the document says %s = %s, the code %#x (known: %v)", m[2], m[1], want, known)
		}
		found[m[2]] = true
	}
	for name := range constants {
		if !found[name] {
			t.Errorf("the document has no row for %s", name)
		}
	}
}

// Version 1, byte by byte: three records and a pad's worth of ring.
func TestGoldenBytes(t *testing.T) {
	config := Config{Capacity: CapacityBytesMin, RecordMax: 1000, Epoch: 0x0102030405060708, Key: 0xA5A5_0000_1234_5678, ConsumersMax: 2}
	h := newHeapRing(t, config)
	if got := string(h.b[offMagic : offMagic+8]); got != "BRKRING1" {
		t.Errorf("magic %q", got)
	}
	wantBytes(t, h.b[0x008:0x048], "01000000 00000000 0000010000000000 e8030000 00100000 785634120000a5a5 0807060504030201 00100000 00200000 00400000 0200 4000 0050000000000000")
	p := h.producer(t, ProducerOptions{})
	mustSend(t, p, []byte("abc"))
	mustSend(t, p, make([]byte, 16))
	wantBytes(t, h.b[dataOff:dataOff+64], "795634120000a5a5 03000000 00000000 6162630000000000 0000000000000000"+
		"595634120000a5a5 10000000 00000000 0000000000000000 0000000000000000")
	if p.Position() != 64 {
		t.Errorf("position %d", p.Position())
	}
}

func wantBytes(t *testing.T, got []byte, want string) {
	t.Helper()
	if s := fmt.Sprintf("%x", got); s != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", s, strings.ReplaceAll(want, " ", ""))
	}
}

// Each rule of the header is an error of its own kind.
func TestDecodeHeader(t *testing.T) {
	good := newHeapRing(t, testConfig(CapacityBytesMin))
	size := good.config.dataBytes()
	if c, err := DecodeHeader(good.b[:headerBytes], size); err != nil || c != good.config {
		t.Fatal(c, err)
	}
	for name, tc := range map[string]struct {
		change func(b []byte)
		size   uint64
		want   error
	}{
		"no magic":        {func(b []byte) { b[0] = 0 }, size, ErrNotRing},
		"other version":   {func(b []byte) { b[offVersion] = 2 }, size, ErrVersion},
		"flipped bit":     {func(b []byte) { b[offKey] ^= 1 }, size, ErrCorrupt},
		"capacity":        {func(b []byte) { b[offCapacity] = 1; sealHeader(b) }, size, ErrCorrupt},
		"record_max":      {func(b []byte) { b[offRecordMax+3] = 1; sealHeader(b) }, size, ErrCorrupt},
		"key without top": {func(b []byte) { b[offKey+7] &= 0x0F; sealHeader(b) }, size, ErrCorrupt},
		"unknown flag":    {func(b []byte) { b[offFlags] |= 16; sealHeader(b) }, size, ErrCorrupt},
		"other offset":    {func(b []byte) { b[offDataOff] = 16; sealHeader(b) }, size, ErrCorrupt},
		"reserved byte":   {func(b []byte) { b[0x50] = 1; sealHeader(b) }, size, ErrCorrupt},
		"short file":      {func([]byte) {}, size - 1, ErrCorrupt},
		"grown file":      {func([]byte) {}, size + 4096, ErrCorrupt},
	} {
		b := append([]byte(nil), good.b[:headerBytes]...)
		tc.change(b)
		if _, err := DecodeHeader(b, tc.size); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := DecodeHeader(nil, 0); !errors.Is(err, ErrNotRing) {
		t.Error(err)
	}
}

func sealHeader(b []byte) {
	crc := headerCRC(b)
	for i := range 4 {
		b[offCRC+i] = byte(crc >> (8 * i))
	}
}

func TestConfigLimits(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		ok     bool
	}{
		{func(*Config) {}, true},
		{func(c *Config) { c.Capacity = CapacityBytesMin / 2 }, false},
		{func(c *Config) { c.Capacity = CapacityBytesMax }, true},
		{func(c *Config) { c.Capacity = CapacityBytesMax * 2 }, false},
		{func(c *Config) { c.Capacity = CapacityBytesMin + 4096 }, false},
		{func(c *Config) { c.RecordMax = 0 }, false},
		{func(c *Config) { c.RecordMax++ }, false},
		{func(c *Config) { c.RecordMax = uint32(c.Capacity / 16) }, true},
		{func(c *Config) { c.ConsumersMax = 0 }, false},
		{func(c *Config) { c.ConsumersMax = ConsumersMax }, true},
		{func(c *Config) { c.ConsumersMax = ConsumersMax + 1 }, false},
		{func(c *Config) { c.Epoch = 0 }, false},
		{func(c *Config) { c.Key = 1 }, false},
	} {
		config := testConfig(CapacityBytesMin)
		c.change(&config)
		if err := config.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", config, err)
		}
	}
}
