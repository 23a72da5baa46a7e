package daemon

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"brokerd/internal/config"
	"brokerd/internal/metrics"
	"brokerd/internal/wire"
)

// Root and the daemon's own user are counted like all others, and have no quota.
func TestUserSnapshots(t *testing.T) {
	const own = 990
	rings := []wire.Ring{{Owner: own, MemoryBytes: 1}, {Owner: 1001, MemoryBytes: 2}, {Owner: 1001, MemoryBytes: 4}}
	attachments := []wire.Attachment{
		{UID: 0}, {UID: 1001, State: wire.StateResumable}, {UID: 1002}, {UID: 1002, State: wire.StateDetached},
	}
	for _, quota := range []config.PerUID{{}, {Memory: 64, Attachments: 3, Connections: 9}} {
		got := userSnapshots(rings, attachments, map[uint32]int{0: 5, 1002: 7}, own, quota)
		slices.SortFunc(got, func(a, b metrics.User) int { return cmp.Compare(a.UID, b.UID) })
		bytes, count, connections := uint64(quota.Memory), quota.Attachments, quota.Connections
		want := []metrics.User{
			{UID: 0, Attachments: 1, Connections: 5},
			{UID: own, MemoryBytes: 1},
			{UID: 1001, MemoryBytes: 6, Attachments: 1, MemoryBytesMax: bytes, AttachmentsMax: count, ConnectionsMax: connections},
			{UID: 1002, Attachments: 2, MemoryBytesMax: bytes, AttachmentsMax: count, Connections: 7, ConnectionsMax: connections},
		}
		if !slices.Equal(got, want) {
			t.Errorf("quota %+v: got %+v, want %+v", quota, got, want)
		}
	}
}

func TestReloadCounts(t *testing.T) {
	var r reloads
	if ok, failed, last := r.counts(); ok != 0 || failed != 0 || last != 0 {
		t.Errorf("before the first reload: %d, %d, %d", ok, failed, last)
	}
	before := time.Now().UnixNano()
	r.count(nil)
	r.count(errors.New("refused"))
	r.count(errors.New("refused"))
	ok, failed, last := r.counts()
	if ok != 1 || failed != 2 || last < before || last > time.Now().UnixNano() {
		t.Errorf("got %d, %d, %d; want 1, 2 and the time of the first", ok, failed, last)
	}
}
