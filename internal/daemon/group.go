package daemon

import (
	"context"
	"fmt"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// getentMax bounds the look-up of a group that /etc/group does not know.
const getentMax = 2 * time.Second

// noGroup is what groupID gives for no group.
const noGroup = -1

// groupID resolves the group that key of the configuration names: a number, or
// a name that the host knows, be it only by way of getent (LDAP and the like).
func groupID(ctx context.Context, key, group string) (int, error) {
	if group == "" {
		return noGroup, nil
	}
	if gid, err := strconv.ParseUint(group, 10, 32); err == nil {
		return int(gid), nil
	}
	if g, err := user.LookupGroup(group); err == nil {
		return strconv.Atoi(g.Gid)
	}
	ctx, cancel := context.WithTimeout(ctx, getentMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", "--", "group", group)
	cmd.WaitDelay = getentMax // for a child of getent that keeps the pipe open
	line, err := cmd.Output()
	if err == nil { // name:password:gid:members
		if fields := strings.Split(string(line), ":"); len(fields) >= 3 {
			if gid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
				return int(gid), nil
			}
		}
	}
	return noGroup, fmt.Errorf("%s: this host has no group %q; create it, or name another one or its number", key, group)
}
