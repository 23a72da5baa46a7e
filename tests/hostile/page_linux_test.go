package hostile

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Places of a cursor page, of docs/MEMORY_LAYOUT.md.
const (
	cuGate     = 0x000
	cuSleep    = 0x080
	cuPosition = 0x100
	cuCursor   = 0x140
	pageBytes  = 4096
)

// pageHarm is one way for a reader to do harm.
type pageHarm struct {
	name string
	step func(rng *rand.Rand, l *lent)
}

// pageHarms are all ways.
var pageHarms = []pageHarm{
	{"every byte", func(rng *rand.Rand, l *lent) {
		for off := 0; off < pageBytes; off += 8 {
			binary.LittleEndian.PutUint64(l.pages[0][off:], rng.Uint64())
		}
	}},
	{"gate", func(rng *rand.Rand, l *lent) {
		announce := binary.LittleEndian.Uint64(l.data[offAnnounce:])
		forged := [...]uint64{0, ^uint64(0), ^uint64(0) - 15, announce, announce + 1<<40, announce - rng.Uint64N(1<<20), announce + rng.Uint64N(64), 1 << 60, 1 << 63, rng.Uint64()}
		binary.LittleEndian.PutUint64(l.pages[0][cuGate:], forged[rng.IntN(len(forged))])
	}},
	{"sleep word", func(rng *rand.Rand, l *lent) { binary.LittleEndian.PutUint32(l.pages[0][cuSleep:], rng.Uint32()|1) }},
	{"figures", func(rng *rand.Rand, l *lent) {
		binary.LittleEndian.PutUint64(l.pages[0][cuPosition+8*rng.IntN(7):], rng.Uint64())
	}},
	{"cursor", func(rng *rand.Rand, l *lent) {
		binary.LittleEndian.PutUint64(l.pages[0][cuCursor+8*rng.IntN(7):], rng.Uint64())
	}},
	{"shorter", func(rng *rand.Rand, l *lent) {
		_ = l.pageFile().Truncate(0)
		if rng.IntN(2) == 0 {
			_ = l.pageFile().Truncate(pageBytes)
		}
	}},
	{"longer", func(rng *rand.Rand, l *lent) { _ = l.pageFile().Truncate(1 << 40); time.Sleep(time.Millisecond) }},
	{"more memory", func(rng *rand.Rand, l *lent) {
		_ = unix.Fallocate(int(l.pageFile().Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 4<<20)
		time.Sleep(time.Millisecond)
	}},
	{"hole", func(rng *rand.Rand, l *lent) {
		_ = unix.Fallocate(int(l.pageFile().Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, pageBytes)
	}},
}

// vandalisePage is a role. Arguments: socket, ring, seed, for how long. It attaches as
// a reader with one policy after another, does harm to its page, detaches, or only
// closes its connection, and begins again; it prints how often it did what.
func vandalisePage(args []string) error {
	giveWay()
	socket, ring := args[0], args[1]
	rng, d, err := drawnFor(args[2:])
	if err != nil {
		return err
	}
	lives := map[string]int{}
	policies := [...]wire.Policy{wire.PolicyDemote, wire.PolicySkip, wire.PolicyLatest}
	for begin := time.Now(); time.Since(begin) < d; {
		l, err := attachRaw(socket, wire.AttachIn{Ring: ring, Role: wire.RoleConsumer, Policy: policies[rng.IntN(len(policies))], Name: "vandal", WaitStrategy: wire.WaitPark})
		if client.IsRefused(err) { // its slots are those of zombies: it is the one who pays
			time.Sleep(attachAgain)
			continue
		}
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		how := pageHarms[rng.IntN(len(pageHarms))]
		lives[how.name]++
		for life := time.Now(); time.Since(life) < vandalMost; {
			_ = shmring.Guarded(func() {
				for range 64 {
					how.step(rng, l)
				}
			})
		}
		if rng.IntN(2) == 0 {
			if err := l.detach(); err != nil && !client.IsRefused(err) {
				return fmt.Errorf("%s: detach: %w", how.name, err)
			}
		}
		if err := l.close(); err != nil {
			return fmt.Errorf("%s: %w", how.name, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(lives)
}
