package broker

import (
	"errors"
	"maps"

	"golang.org/x/sys/unix"

	"brokerd/internal/wire"
)

// What a refusal can name, as Refusals counts it: limits of the configuration,
// of a ring, and what the host does not give.
const (
	limitMemory         = "limits.memory"
	limitRings          = "limits.rings"
	limitAttachments    = "limits.attachments"
	limitUIDMemory      = "limits.per_uid.memory"
	limitUIDAttachments = "limits.per_uid.attachments"
	limitConsumers      = "consumers_max"
	limitProducers      = "producers"
	limitTmpfs          = "tmpfs"
	limitInodes         = "tmpfs_inodes"
	limitHostMemory     = "host_memory"
	// LimitOpenFiles is what RefuseOpenFiles names.
	LimitOpenFiles = "open_files"
)

// filesBeside is how many files and folders a ring has beside its cursor pages:
// the folder, the data, the slot table, the description, and that once more while
// it is replaced.
const filesBeside = 5

// newRefusals has a zero for each name, so that a query finds a zero and not
// nothing.
func newRefusals() map[string]uint64 {
	counts := map[string]uint64{}
	for _, limit := range []string{
		limitMemory, limitRings, limitAttachments, limitUIDMemory, limitUIDAttachments, limitConsumers, limitProducers,
		limitTmpfs, limitInodes, limitHostMemory, LimitOpenFiles,
	} {
		counts[limit] = 0
	}
	return counts
}

// Refusals counts what was refused since Open, by what there was too little of.
// Every name that there is has a count.
func (b *Broker) Refusals() map[string]uint64 {
	b.mu.Lock()
	defer b.unlock()
	return maps.Clone(b.refused)
}

// refuse counts a refusal, and returns it. The lock is held.
func (b *Broker) refuse(limit string, why error) error {
	b.refused[limit]++
	return why
}

// scarce makes a counted refusal of an error that means that the host gives no more
// descriptors, memory or space; any other error, and nil, it returns as it is.
// doing is what was to be done with wanted bytes and some files. The lock is held.
func (b *Broker) scarce(err error, doing string, wanted uint64, files int) error {
	if e := (*wire.Error)(nil); err == nil || errors.As(err, &e) {
		return err
	}
	switch {
	case NoOpenFiles(err):
		return b.refuse(LimitOpenFiles, RefuseOpenFiles(doing))
	case errors.Is(err, unix.ENOMEM):
		return b.refuse(limitHostMemory, refuseNoMemory(doing, b.dir, wanted, hostFreeBytes(), err))
	case !isNoSpace(err):
		return err
	}
	if free, bounded := freeInodes(b.dir); bounded && free < uint64(files) {
		return b.refuse(limitInodes, refuseNoInodes(doing, b.dir, files, free, wanted, freeBytes(b.dir), len(b.quarantined)))
	}
	return b.refuse(limitTmpfs, refuseNoSpace(doing, b.dir, wanted, freeBytes(b.dir), len(b.quarantined)))
}

// filesOf is how many files the making of a ring takes.
func filesOf(info wire.Ring) int { return info.ConsumersMax + filesBeside }

// NoOpenFiles tells that err says that this process, or the host, has no file
// descriptor left.
func NoOpenFiles(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// RefuseOpenFiles is the refusal of something for which brokerd has no file
// descriptor left.
func RefuseOpenFiles(doing string) *wire.Error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		limit.Cur = 0 // the message is of use without the number
	}
	return wire.LimitExceeded(LimitOpenFiles, limit.Cur, 1, limit.Cur,
		"%s: brokerd may have %d files open (RLIMIT_NOFILE), which is not enough: close connections, end attachments or remove rings, or raise LimitNOFILE of its unit (ulimit -n) and restart it",
		doing, limit.Cur)
}

// freeInodes is how many files more the file system of dir takes; bounded is false
// when it has no limit, or will not say.
func freeInodes(dir string) (free uint64, bounded bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return st.Ffree, st.Files > 0
}

// metaBytesPlanned is what replacing a description is said to want: as a rule it
// has no more.
const metaBytesPlanned = 4 << 10
