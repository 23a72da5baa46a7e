package control

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"strings"
)

// database is one of the two name lists of a system; its value is what getent
// calls it.
type database string

const (
	users  database = "passwd"
	groups database = "group"
)

// entry is what a list says. known false is an answer too.
type entry struct {
	name  string
	id    uint32
	known bool
}

// noGroup is the number of no group.
const noGroup = -1

// getentUnknown is the exit status of getent for what is in no list.
const getentUnknown = 2

// GroupID returns the number of a group: of a name that this host knows, be it
// only by way of getent, or of a number in decimal, which need not exist. "" is
// no group, -1. A look-up takes getentMax at most. The error says what to do.
func GroupID(ctx context.Context, name string) (int, error) {
	if name == "" {
		return noGroup, nil
	}
	if id, ok := decimal(name); ok {
		return int(id), nil
	}
	e, err := findName(ctx, nameKey{groups, name})
	switch {
	case err != nil:
		return noGroup, fmt.Errorf("look up group %q: %w; try again, or name its number", name, err)
	case !e.known:
		return noGroup, fmt.Errorf("this host has no group %q; create it, or name another one or its number", name)
	}
	return int(e.id), nil
}

// findName asks the resolver of the standard library, then getent: built
// without cgo the first knows /etc/passwd and /etc/group only, the second
// knows whatever nsswitch.conf names (sssd, LDAP, systemd-homed). An error means
// that there is no answer.
func findName(ctx context.Context, k nameKey) (entry, error) {
	if name, text, ok := findInFiles(k); ok {
		if id, ok := decimal(text); ok {
			return entry{name, id, true}, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, getentMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", "--", string(k.db), k.key)
	cmd.WaitDelay = getentMax // a grandchild that keeps the pipe open must not keep us
	out, err := cmd.Output()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return parseGetent(string(out)), nil
	case ctx.Err() != nil:
		return entry{}, fmt.Errorf("getent gave no answer: %w", ctx.Err())
	case errors.Is(err, exec.ErrNotFound): // then the files are all there is
		return entry{}, nil
	case errors.As(err, &exit) && exit.ExitCode() == getentUnknown:
		return entry{}, nil
	}
	return entry{}, fmt.Errorf("getent: %w", err)
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
func parseGetent(out string) entry {
	line, _, _ := strings.Cut(out, "\n")
	fields := strings.Split(line, ":")
	if len(fields) < 3 || fields[0] == "" {
		return entry{}
	}
	id, ok := decimal(fields[2])
	if !ok {
		return entry{}
	}
	return entry{fields[0], id, true}
}
