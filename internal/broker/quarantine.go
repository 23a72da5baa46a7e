package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// quarantinedPerRingMax bounds how many rings of one name are set aside for a
// successor: a hostile producer may spoil each of them, and each holds memory.
const quarantinedPerRingMax = 2

// DIR/NAME/quarantine.json: why a ring is of no use any more. It is written as soon
// as that is found and moves with the folder, so that whoever comes later, another
// daemon too, knows why.
const (
	noteName     = "quarantine.json"
	noteFormat   = 1
	noteBytesMax = 64 << 10
	whyBytesMax  = 4 << 10
)

type note struct {
	Format  int    `json:"format"`
	Ring    string `json:"ring"`
	Owner   uint32 `json:"owner"` // uid that its memory counts against
	SinceNS int64  `json:"since_ns"`
	Why     string `json:"why"`
	Advice  string `json:"advice"` // what to do about it
}

// quarantined is a ring that was set aside.
type quarantined struct {
	note
	folder string
	bytes  uint64 // of memory that its files take, as last looked
}

// text is the sentence for an operator.
func (q *quarantined) text(dir string) string {
	return fmt.Sprintf("%s is ring %s as it was found on %s: %s: %s", filepath.Join(dir, q.folder), q.Ring,
		time.Unix(0, q.SinceNS).Format("2006-01-02 15:04:05"), q.Why, q.Advice)
}

// What a ring can be beside garbage: good, but not for this daemon.
var (
	errBoot     = errors.New("of another boot of this host, or a copy from another host")
	errSetAside = errors.New("found unusable before")
)

// advice is what to do about a ring that is set aside for a cause.
func advice(cause error) string {
	switch {
	case errors.Is(cause, shmring.ErrVersion), errors.Is(cause, errFormat):
		return "to read what it holds, start the brokerd that made it with dir set to a folder that has this one under its old name; brokerctl gc deletes it"
	case errors.Is(cause, errBoot):
		return "whoever was attached is gone, and what it holds may be from the middle of a write: take from it what you need, then brokerctl gc deletes it"
	}
	return "look at it if you want to know how that came about, then brokerctl gc deletes it"
}

// noteDown writes down why a ring is of no use, unless that was written before.
func (b *Broker) noteDown(info wire.Ring, dir string, cause error) {
	if _, ok := readNote(dir); ok {
		return
	}
	n := note{Format: noteFormat, Ring: info.Name, Owner: info.Owner, SinceNS: b.now().UnixNano(), Why: clip(cause.Error()), Advice: advice(cause)}
	if err := replaceJSON(filepath.Join(dir, noteName), n); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: info.Name, Detail: "write down why it is retired", Err: err})
	}
}

func clip(text string) string {
	if len(text) > whyBytesMax {
		return strings.ToValidUTF8(text[:whyBytesMax], "") + "..."
	}
	return text
}

// readNote reads why the ring in dir is of no use; ok is false when nothing that
// can be read says so.
func readNote(dir string) (n note, ok bool) {
	path := filepath.Join(dir, noteName)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > noteBytesMax {
		return note{}, false
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &n) != nil || !wire.ValidName(n.Ring) {
		return note{}, false
	}
	return n, true
}

// quarantinedOf counts what was set aside of the rings of one name.
func (b *Broker) quarantinedOf(name string) (n int) {
	for _, q := range b.quarantined {
		if q.Ring == name {
			n++
		}
	}
	return n
}

func (b *Broker) quarantinedBytes() (bytes uint64) {
	for _, q := range b.quarantined {
		bytes += q.bytes
	}
	return bytes
}

// setAside renames the folder of a ring that cannot be used out of the way, for
// somebody to look at. Its memory stays taken. Where that fails the folder stays
// where it is, and the next daemon tries again.
func (b *Broker) setAside(folder, name string, cause error) error {
	micros := b.nextEpoch(uint64(b.now().UnixMicro())) // no two have the same name
	away := quarantineFolder(name, time.UnixMicro(int64(micros)))
	if err := os.Rename(filepath.Join(b.dir, folder), filepath.Join(b.dir, away)); err != nil {
		return fmt.Errorf("set ring %s aside: %w", name, err)
	}
	b.quarantined = append(b.quarantined, b.lookAtQuarantined(away, name))
	b.raise(Event{Kind: EventQuarantined, Ring: name, Detail: away, Err: cause})
	return nil
}

// lookAtQuarantined tells what is known of a folder that was set aside, whose name
// has the ring's.
func (b *Broker) lookAtQuarantined(folder, ring string) *quarantined {
	dir := filepath.Join(b.dir, folder)
	q := &quarantined{folder: folder, bytes: folderBytes(dir)}
	var ok bool
	if q.note, ok = readNote(dir); ok {
		return q
	}
	q.note = note{Ring: ring, Owner: b.ownerUID, Why: "nothing is written down about why it was set aside", Advice: advice(nil)}
	if info, err := os.Lstat(dir); err == nil {
		q.SinceNS = info.ModTime().UnixNano()
	}
	return q
}
