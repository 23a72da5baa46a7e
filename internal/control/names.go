package control

import (
	"context"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// nameKey asks for a name, or for a number in decimal when a name is wanted.
type nameKey struct {
	db  database
	key string
}

// nameAnswer is what the system said, and when.
type nameAnswer struct {
	entry
	at     time.Time
	logged bool // an unknown name is reported once, not once a minute
}

// names resolves users and groups and remembers the answers for nameAgeMax.
// Safe for concurrent use; the look-up itself runs outside the lock, so two
// callers may ask the same question at once, which is harmless.
type names struct {
	log  *zap.Logger
	now  func() time.Time
	find func(nameKey) (entry, error)

	mu      sync.Mutex
	answers map[nameKey]nameAnswer
}

func newNames(log *zap.Logger) *names {
	find := func(k nameKey) (entry, error) { return findName(context.Background(), k) }
	return &names{log: log, now: time.Now, find: find, answers: map[nameKey]nameAnswer{}}
}

// resolve answers from memory or asks the system, which may take getentMax.
// Where the system gives no answer the last one holds, for nameRetryMin: a directory
// service that hangs takes no right away, and a shortage of descriptors that is over
// keeps nobody out. Call it with no lock held.
func (n *names) resolve(k nameKey) nameAnswer {
	n.mu.Lock()
	old, ok := n.answers[k]
	n.mu.Unlock()
	if ok && n.now().Sub(old.at) < nameAgeMax {
		return old
	}
	fresh := nameAnswer{at: n.now(), logged: old.logged}
	var err error
	if fresh.entry, err = n.find(k); err != nil {
		fresh.entry, fresh.at = old.entry, fresh.at.Add(nameRetryMin-nameAgeMax)
		n.log.Warn("a name could not be looked up; the last answer holds",
			zap.String("database", string(k.db)), zap.String("name", k.key), zap.Bool("known", old.known), zap.Error(err))
	} else if _, number := decimal(k.key); !fresh.known && !number && !fresh.logged {
		n.log.Warn("a rule names somebody this host does not know; it matches nobody",
			zap.String("database", string(k.db)), zap.String("name", k.key))
		fresh.logged = true
	}
	n.keep(k, fresh)
	return fresh
}

func (n *names) keep(k nameKey, a nameAnswer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.answers[k]; !ok && len(n.answers) >= namesMax {
		// Asking again is cheap beside finding out which answer is the oldest.
		clear(n.answers)
	}
	n.answers[k] = a
}

// recall answers from memory only, however old the answer: it is for callers
// that hold a lock and called resolve before they took it.
func (n *names) recall(k nameKey) nameAnswer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.answers[k]
}

// decimal reads s as a uid or gid. Rules and look-ups take digits for a number
// always, even where somebody has a name made of digits.
func decimal(s string) (uint32, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err == nil && s[0] != '+'
}
