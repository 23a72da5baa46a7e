package daemon

import (
	"fmt"
	"strconv"

	"brokerd/internal/broker"
	"brokerd/internal/config"
)

// key is one key of the configuration beside the rings, which the broker
// compares, and the gateway's, which that does.
type key struct {
	name string
	// stays says why the key cannot change while the daemon runs; "" when it can.
	stays string
	value func(*config.Config) string
}

// Why a key keeps its value until the daemon is started again.
const (
	staysDir     = "attached processes have the rings in that folder mapped"
	staysSocket  = "the socket was made when brokerd started"
	staysManager = "the socket unit of the service manager sets it"
	staysListen  = "the listener was opened when brokerd started"
	staysFormat  = "the log keeps one format as long as brokerd runs"
)

// keys lists every key. A socket that the service manager has made has its mode
// and group from there.
func keys(inherited bool) []key {
	staysRight := staysSocket
	if inherited {
		staysRight = staysManager
	}
	number := func(get func(*config.Config) int) func(*config.Config) string {
		return func(c *config.Config) string { return strconv.Itoa(get(c)) }
	}
	quota := func(get func(*config.Config) int) func(*config.Config) string {
		return func(c *config.Config) string { return orNone(get(c) > 0, strconv.Itoa(get(c))) }
	}
	return []key{
		{"dir", staysDir, func(c *config.Config) string { return c.Dir }},
		{"control.socket", staysSocket, func(c *config.Config) string { return c.Control.Socket }},
		{"control.mode", staysRight, func(c *config.Config) string { return fmt.Sprintf("0%03o", c.Control.Mode) }},
		{"control.group", staysRight, func(c *config.Config) string { return orNone(c.Control.Group != "", c.Control.Group) }},
		{"control.admin_group", "", func(c *config.Config) string { return orNone(c.Control.AdminGroup != "", c.Control.AdminGroup) }},
		{"admin.listen", staysListen, func(c *config.Config) string { return orNone(c.Admin.Listen != "", c.Admin.Listen) }},
		{"limits.memory", "", func(c *config.Config) string { return c.Limits.Memory.String() }},
		{"limits.rings", "", number(func(c *config.Config) int { return c.Limits.Rings })},
		{"limits.attachments", "", number(func(c *config.Config) int { return c.Limits.Attachments })},
		{"limits.connections", "", number(func(c *config.Config) int { return c.Limits.Connections })},
		{"limits.per_uid.memory", "", func(c *config.Config) string {
			return orNone(c.Limits.PerUID.Memory > 0, c.Limits.PerUID.Memory.String())
		}},
		{"limits.per_uid.attachments", "", quota(func(c *config.Config) int { return c.Limits.PerUID.Attachments })},
		{"limits.per_uid.connections", "", quota(func(c *config.Config) int { return c.Limits.PerUID.Connections })},
		{"log.level", "", func(c *config.Config) string { return c.Log.Level }},
		{"log.format", staysFormat, func(c *config.Config) string { return c.Log.Format }},
	}
}

func orNone(given bool, value string) string {
	if given {
		return value
	}
	return "none"
}

// compare says in sentences which keys next changes, and which it would if they
// could change.
func compare(keys []key, old, next *config.Config) (changed, kept []string) {
	for _, k := range keys {
		was, is := k.value(old), k.value(next)
		switch {
		case was == is:
		case k.stays == "":
			changed = append(changed, fmt.Sprintf("%s is %s, was %s", k.name, is, was))
		case k.stays == staysManager:
			kept = append(kept, fmt.Sprintf("%s is not %s: %s", k.name, is, k.stays))
		default:
			kept = append(kept, fmt.Sprintf("%s stays %s: %s; restart brokerd to make it %s", k.name, was, k.stays, is))
		}
	}
	return changed, kept
}

// inForce returns next with what old has of the keys that stay.
func inForce(old, next *config.Config) *config.Config {
	c := *next
	c.Dir = old.Dir
	c.Control = old.Control
	c.Control.AdminGroup = next.Control.AdminGroup
	c.Admin = old.Admin
	c.Log.Format = old.Log.Format
	return &c
}

// brokerLimits is what the broker takes of the limits; connections are the
// control server's.
func brokerLimits(l config.Limits) broker.Limits {
	return broker.Limits{
		MemoryBytes: uint64(l.Memory),
		Rings:       l.Rings,
		Attachments: l.Attachments,
		PerUID: broker.UIDLimits{
			MemoryBytes: uint64(l.PerUID.Memory),
			Attachments: l.PerUID.Attachments,
		},
	}
}
