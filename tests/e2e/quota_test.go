package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
)

// openRing may be read and written by both users of these tests.
const openRing = "[{name: md, capacity: 64KiB, producers: many, consumers_max: 16, allow: {consume: {users: [65534, 912001]}, produce: {users: [65534, 912001]}}}]"

func (p place) as(uid uint32, args ...string) *exec.Cmd { return asUser(p.command(args...), uid, uid) }

// wantRefusedQuota runs brokerctl as a user and expects the refusal by a quota.
func (p place) wantRefusedQuota(uid uint32, quota string, used, most int, args ...string) {
	t := p.t
	t.Helper()
	r := launch(t, p.as(uid, args...))
	r.expect(4)
	wantWords(t, fmt.Sprintf("uid %d, %q", uid, args), r.stderr.String(), "brokerctl: ", "limits.per_uid."+quota+":",
		fmt.Sprintf("uid %d has %d ", uid, used), " more wanted", fmt.Sprintf("at most %d allowed", most))
	if n := strings.Count(r.stderr.String(), "\n"); n != 1 {
		t.Errorf("%d lines on stderr, want 1:\n%s", n, r.stderr)
	}
}

// TestAttachmentsQuota lets a user have three attachments, kept where they are
// for another user and for root.
func TestAttachmentsQuota(t *testing.T) {
	needRoot(t, "to attach as other users")
	p := newPlace(t, openRing, "limits: {per_uid: {attachments: 3}}")
	p.start()
	c := p.dial()
	n := 0
	attach := func(uid uint32) *process {
		t.Helper()
		r := launch(t, p.as(uid, "attach", "md", "--as", "consumer"))
		n++
		waitAttached(t, c, "md", n)
		return r
	}
	first := attach(guestUID)
	for range 2 {
		attach(guestUID)
	}
	for _, role := range []string{"consumer", "producer"} {
		p.wantRefusedQuota(guestUID, "attachments", 3, 3, "attach", "md", "--as", role)
	}
	for range 4 {
		attach(0)
	}
	for range 3 {
		attach(strangerUID)
	}
	p.wantRefusedQuota(strangerUID, "attachments", 3, 3, "attach", "md", "--as", "consumer")
	first.kill()
	n--
	waitAttached(t, c, "md", n)
	attach(guestUID)
	p.wantRefusedQuota(guestUID, "attachments", 3, 3, "attach", "md", "--as", "consumer")
	t.Logf("uid %d: 3 attached, the 4th refused; in all %d", guestUID, n)
}

// TestAttachmentsQuotaCountsCursors that are kept.
func TestAttachmentsQuotaCountsCursors(t *testing.T) {
	needRoot(t, "to attach as another user")
	p := newPlace(t, "[{name: md, capacity: 64KiB, resume_for: 30s, allow: {consume: {users: [65534]}}}]", "limits: {per_uid: {attachments: 1}}")
	p.start()
	p.publish("md", "one\ntwo\n", "--end")
	launch(t, p.as(guestUID, resumeArgs("--count", "1")...)).expect(0)
	p.wantRefusedQuota(guestUID, "attachments", 1, 1, "attach", "md", "--as", "consumer")
	again := launch(t, p.as(guestUID, resumeArgs("--until-end")...)) // which is none more
	again.expect(0)
	if again.stdout.String() != "two\n" {
		t.Errorf("it printed %q", again.stdout)
	}
}

// TestConnectionsQuota lets a user have two connections.
func TestConnectionsQuota(t *testing.T) {
	needRoot(t, "to connect as other users")
	p := newPlace(t, openRing, "limits: {per_uid: {connections: 2}}")
	p.start()
	c := p.dial()
	var guests []*process
	for n := range 2 {
		guests = append(guests, launch(t, p.as(guestUID, "attach", "md", "--as", "consumer")))
		waitAttached(t, c, "md", n+1)
	}
	for _, args := range [][]string{{"attach", "md", "--as", "consumer"}, {"status"}, {"ring", "list"}} {
		p.wantRefusedQuota(guestUID, "connections", 2, 2, args...)
	}
	for range 5 { // root is free
		p.dial()
	}
	launch(t, p.as(strangerUID, "ring", "list")).expect(0)
	guests[0].kill()
	eventually(t, "there is room again", func() bool { return launch(t, p.as(guestUID, "ring", "list")).wait() == 0 })
	p.publish("md", "x\n")
	eventually(t, "the other one reads on", func() bool { return guests[1].stdout.String() == "x\n" })
}

// TestMemoryQuota lets a user, who may create rings, own two of them and no more:
// to the byte.
func TestMemoryQuota(t *testing.T) {
	needRoot(t, "to create rings as another user")
	probe := newPlace(t, "[]")
	probe.start()
	var made struct{ Ring client.Ring }
	probe.object(&made, "ring", "create", "probe", "--capacity", "64KiB")
	one := int(made.Ring.MemoryBytes)
	for _, c := range []struct{ quota, fits int }{{2 * one, 2}, {2*one - 1, 1}} {
		t.Run(fmt.Sprint(c.fits), func(t *testing.T) {
			p := newPlace(t, "[{name: configured, capacity: 64KiB}]", fmt.Sprintf("limits: {per_uid: {memory: %d}}", c.quota))
			p.admit("65534")
			d := p.start()
			create := func(name string) []string { return []string{"ring", "create", name, "--capacity", "64KiB"} }
			for n := range c.fits {
				launch(t, p.as(guestUID, create(fmt.Sprint("mine", n))...)).expect(0)
			}
			refused := func() {
				t.Helper()
				p.wantRefusedQuota(guestUID, "memory", c.fits*one, c.quota, create("more")...)
			}
			refused()
			for n := range 4 {
				p.output(create(fmt.Sprint("roots", n))...)
			}
			if owner := p.owner("mine0"); owner != guestUID {
				t.Errorf("mine0 belongs to uid %d", owner)
			}
			d.kill()
			p.start()
			refused() // the next daemon knows whose they are
			launch(t, p.as(guestUID, "ring", "rm", "mine0")).expect(0)
			launch(t, p.as(guestUID, create("more")...)).expect(0)
			t.Logf("a quota of %d bytes: %d rings of %d", c.quota, c.fits, one)
		})
	}
}

// owner is the user that a ring's memory counts against.
func (p place) owner(ring string) uint32 {
	p.t.Helper()
	var out client.RingDetails
	p.object(&out, "ring", "show", ring)
	return uint32(out.Ring.Owner)
}

// admit lets a group use the admin calls.
func (p place) admit(group string) {
	p.t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(strings.Replace(string(text), "control:\n", "control:\n  admin_group: \""+group+"\"\n", 1))
}
