package control

import (
	"context"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// database is one of the two name lists of a system; its value is what getent
// calls it.
type database string

const (
	users  database = "passwd"
	groups database = "group"
)

// nameKey asks for a name, or for a number in decimal when a name is wanted.
type nameKey struct {
	db  database
	key string
}

// nameAnswer is what the system said. found false is an answer too.
type nameAnswer struct {
	name   string
	id     uint32
	found  bool
	at     time.Time
	logged bool // an unknown name is reported once, not once a minute
}

// names resolves users and groups and remembers the answers for nameAgeMax.
// Safe for concurrent use; the look-up itself runs outside the lock, so two
// callers may ask the same question at once, which is harmless.
type names struct {
	log  *zap.Logger
	now  func() time.Time
	find func(nameKey) (name string, id uint32, found bool)

	mu      sync.Mutex
	answers map[nameKey]nameAnswer
}

func newNames(log *zap.Logger) *names {
	return &names{log: log, now: time.Now, find: findName, answers: map[nameKey]nameAnswer{}}
}

// resolve answers from memory or asks the system, which may take getentMax.
// Call it with no lock held.
func (n *names) resolve(k nameKey) nameAnswer {
	n.mu.Lock()
	old, ok := n.answers[k]
	n.mu.Unlock()
	if ok && n.now().Sub(old.at) < nameAgeMax {
		return old
	}
	fresh := nameAnswer{at: n.now(), logged: old.logged}
	fresh.name, fresh.id, fresh.found = n.find(k)
	if _, number := decimal(k.key); !fresh.found && !number && !fresh.logged {
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

// findName asks the resolver of the standard library, then getent: built
// without cgo the first knows /etc/passwd and /etc/group only, the second
// knows whatever nsswitch.conf names (sssd, LDAP, systemd-homed).
func findName(k nameKey) (name string, id uint32, found bool) {
	if name, text, ok := findInFiles(k); ok {
		if id, ok := decimal(text); ok {
			return name, id, true
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), getentMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", "--", string(k.db), k.key)
	cmd.WaitDelay = getentMax // a grandchild that keeps the pipe open must not keep us
	out, err := cmd.Output()
	if err != nil {
		return "", 0, false
	}
	return parseGetent(string(out))
}

func findInFiles(k nameKey) (name, id string, ok bool) {
	_, number := decimal(k.key)
	switch {
	case k.db == users && number:
		if u, err := user.LookupId(k.key); err == nil {
			return u.Username, u.Uid, true
		}
	case k.db == users:
		if u, err := user.Lookup(k.key); err == nil {
			return u.Username, u.Uid, true
		}
	case number:
		if g, err := user.LookupGroupId(k.key); err == nil {
			return g.Name, g.Gid, true
		}
	default:
		if g, err := user.LookupGroup(k.key); err == nil {
			return g.Name, g.Gid, true
		}
	}
	return "", "", false
}

// parseGetent reads the first line of passwd(5) or group(5) form: in both the
// name is the first field and the number the third.
func parseGetent(out string) (name string, id uint32, found bool) {
	line, _, _ := strings.Cut(out, "\n")
	fields := strings.Split(line, ":")
	if len(fields) < 3 || fields[0] == "" {
		return "", 0, false
	}
	id, ok := decimal(fields[2])
	return fields[0], id, ok
}
