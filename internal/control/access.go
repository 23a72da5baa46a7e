package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// subject is who asks: what the kernel says of the process at the other end,
// as it was when it connected.
type subject struct {
	pid      int
	uid, gid uint32
	groups   []uint32 // supplementary
}

// subjectOf is the peer of a connection as rules see it.
func subjectOf(peer unixconn.Peer) subject {
	return subject{pid: peer.PID, uid: peer.UID, gid: peer.GID, groups: peer.Groups}
}

// gidUnknown is the group of a subject that was never seen on a connection.
const gidUnknown = ^uint32(0)

// access judges what a subject may do. Safe for concurrent use.
type access struct {
	owner    uint32       // the daemon's user
	adminGID atomic.Int64 // noGroup: no admin group
	names    *names
}

func newAccess(owner uint32, adminGID int, names *names) *access {
	a := &access{owner: owner, names: names}
	a.adminGID.Store(int64(adminGID))
	return a
}

// right is a key under allow of a ring.
type right string

const (
	rightProduce right = "produce"
	rightConsume right = "consume"
	rightGate    right = "gate"
)

// denial is a refusal in brief. It is made where a lock is held and no name
// may be looked up; explain turns it into words afterwards.
type denial struct {
	right     right
	ring      string
	present   bool // the ring has a list for this right, the subject is not on it
	inherited bool // policy block is the ring's default, nobody asked for it
}

func (d *denial) Error() string {
	return fmt.Sprintf("allow.%s of ring %q does not name the caller", d.right, d.ring)
}

// errNotAdmin is the other refusal in brief.
var errNotAdmin = errors.New("the caller is not an administrator")

// trusted tells root and the daemon's user: they own the files, so a rule
// against them would protect nothing.
func (a *access) trusted(s subject) bool { return s.uid == 0 || s.uid == a.owner }

// admin tells who may create and remove rings and end attachments of others.
func (a *access) admin(s subject) bool {
	gid := a.adminGID.Load()
	return a.trusted(s) || gid >= 0 && s.in(uint32(gid))
}

func (s subject) in(gid uint32) bool { return s.gid == gid || slices.Contains(s.groups, gid) }

// learn looks up the names in allow, so that mayAttach finds them in memory.
// It may take getentMax a name that is not known yet.
func (a *access) learn(allow wire.Allow) {
	for _, p := range []*wire.Principals{allow.Produce, allow.Consume, allow.Gate} {
		if p == nil {
			continue
		}
		for _, u := range p.Users {
			a.lookUp(users, u)
		}
		for _, g := range p.Groups {
			a.lookUp(groups, g)
		}
	}
}

func (a *access) lookUp(db database, principal string) {
	if _, number := decimal(principal); !number {
		a.names.resolve(nameKey{db, principal})
	}
}

// mayAttach tells whether the rules of ring let s attach as in asks; the error
// is a *denial. It waits for nothing: names that learn was not called for match
// nobody.
func (a *access) mayAttach(s subject, ring wire.Ring, in wire.AttachIn) error {
	if a.trusted(s) {
		return nil
	}
	if in.Role == wire.RoleProducer {
		return a.need(s, ring.Name, rightProduce, ring.Allow.Produce)
	}
	if err := a.need(s, ring.Name, rightConsume, ring.Allow.Consume); err != nil {
		return err
	}
	policy := in.Policy
	if policy == "" {
		policy = ring.Policy
	}
	if policy != wire.PolicyBlock {
		return nil
	}
	err := a.need(s, ring.Name, rightGate, ring.Allow.Gate)
	if d := (*denial)(nil); errors.As(err, &d) {
		d.inherited = in.Policy == ""
	}
	return err
}

func (a *access) need(s subject, ring string, r right, p *wire.Principals) error {
	if p != nil && a.matches(s, p) {
		return nil
	}
	return &denial{right: r, ring: ring, present: p != nil}
}

func (a *access) matches(s subject, p *wire.Principals) bool {
	for _, u := range p.Users {
		if id, ok := a.number(users, u); ok && id == s.uid {
			return true
		}
	}
	for _, g := range p.Groups {
		if id, ok := a.number(groups, g); ok && s.in(id) {
			return true
		}
	}
	return false
}

func (a *access) number(db database, principal string) (uint32, bool) {
	if id, ok := decimal(principal); ok {
		return id, true
	}
	answer := a.names.recall(nameKey{db, principal})
	return answer.id, answer.known
}

// explain gives the client the words of a refusal: who it is to the daemon,
// which rule is in the way, and what to do. It looks names up: hold no lock.
// Other errors come back as they are.
func (a *access) explain(s subject, err error, did string) error {
	d := (*denial)(nil)
	switch {
	case errors.Is(err, errNotAdmin):
		return wire.AccessDenied("control.admin_group", "%s: %s is not an administrator; "+
			"run it as root or the daemon's user, or join control.admin_group", did, a.describe(s))
	case !errors.As(err, &d):
		return err
	}
	rule := fmt.Sprintf("allow.%s", d.right)
	wayOut := fmt.Sprintf("add the user or one of the groups to %s", rule)
	if d.right == rightGate {
		wayOut = "ask for policy demote or " + wayOut
	}
	if d.inherited {
		wayOut = "policy block is this ring's default: " + wayOut
	}
	lack := "is not in"
	if !d.present {
		lack = "may not: there is no"
	}
	return wire.AccessDenied(rule, "ring %s: %s %s %s of ring %q; %s",
		d.ring, a.describe(s), lack, rule, d.ring, wayOut)
}

// lost is the reason for which s must not keep an attachment to ring, "" when
// it may. It looks names up: hold no lock.
func (a *access) lost(s subject, ring wire.Ring, held wire.Attachment) string {
	a.learn(ring.Allow)
	d := (*denial)(nil)
	if !errors.As(a.mayAttach(s, ring, wire.AttachIn{Ring: ring.Name, Role: held.Role, Policy: held.Policy}), &d) {
		return ""
	}
	return fmt.Sprintf("allow.%s of ring %s no longer names %s", d.right, ring.Name, a.describe(s))
}

// describe renders "uid 1001 (alice, groups trading, 1002)".
func (a *access) describe(s subject) string {
	if s.gid == gidUnknown {
		return fmt.Sprintf("uid %d", s.uid)
	}
	gids := []uint32{s.gid}
	for _, gid := range s.groups {
		if !slices.Contains(gids, gid) {
			gids = append(gids, gid)
		}
	}
	var list []string
	for _, gid := range gids[:min(len(gids), groupsShownMax)] {
		list = append(list, a.called(groups, gid))
	}
	if more := len(gids) - groupsShownMax; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	who := ""
	if name := a.called(users, s.uid); name != strconv.FormatUint(uint64(s.uid), 10) {
		who = name + ", "
	}
	return fmt.Sprintf("uid %d (%sgroups %s)", s.uid, who, strings.Join(list, ", "))
}

// called is the name of a number, or the number in decimal.
func (a *access) called(db database, id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if answer := a.names.resolve(nameKey{db, text}); answer.known {
		return answer.name
	}
	return text
}
