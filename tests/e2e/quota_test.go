package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// openRing may be read and written by both users of these tests.
const openRing = "[{name: md, capacity: 64KiB, producers: many, consumers_max: 16, allow: {consume: {users: [65534, 912001]}, produce: {users: [65534, 912001]}}}]"

func (p place) as(uid uint32, args ...string) *exec.Cmd {
	return harness.AsUser(p.Command(args...), uid, uid)
}

// wantRefusedQuota runs brokerctl as a user and expects the refusal by a quota.
func (p place) wantRefusedQuota(uid uint32, quota string, used, most int, args ...string) {
	t := p.T
	t.Helper()
	r := harness.Launch(t, p.as(uid, args...))
	r.Expect(4)
	wantWords(t, fmt.Sprintf("uid %d, %q", uid, args), r.Stderr.String(), "brokerctl: ", "limits.per_uid."+quota+":",
		fmt.Sprintf("uid %d has %d ", uid, used), " more wanted", fmt.Sprintf("at most %d allowed", most))
	if n := strings.Count(r.Stderr.String(), "\n"); n != 1 {
		t.Errorf("%d lines on stderr, want 1:\n%s", n, r.Stderr)
	}
}

// TestAttachmentsQuota lets a user have three attachments, kept where they are
// for another user and for root.
func TestAttachmentsQuota(t *testing.T) {
	harness.NeedRoot(t, "to attach as other users")
	p := newPlace(t, openRing, "limits: {per_uid: {attachments: 3}}")
	p.Start()
	c := p.Dial()
	n := 0
	attach := func(uid uint32) *harness.Process {
		t.Helper()
		r := harness.Launch(t, p.as(uid, "attach", "md", "--as", "consumer"))
		n++
		harness.WaitAttached(t, c, "md", n)
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
	first.Kill()
	n--
	harness.WaitAttached(t, c, "md", n)
	attach(guestUID)
	p.wantRefusedQuota(guestUID, "attachments", 3, 3, "attach", "md", "--as", "consumer")
	t.Logf("uid %d: 3 attached, the 4th refused; in all %d", guestUID, n)
}

// TestAttachmentsQuotaCountsCursors that are kept.
func TestAttachmentsQuotaCountsCursors(t *testing.T) {
	harness.NeedRoot(t, "to attach as another user")
	p := newPlace(t, "[{name: md, capacity: 64KiB, resume_for: 30s, allow: {consume: {users: [65534]}}}]", "limits: {per_uid: {attachments: 1}}")
	p.Start()
	p.Publish("md", "one\ntwo\n", "--end")
	harness.Launch(t, p.as(guestUID, resumeArgs("--count", "1")...)).Expect(0)
	p.wantRefusedQuota(guestUID, "attachments", 1, 1, "attach", "md", "--as", "consumer")
	again := harness.Launch(t, p.as(guestUID, resumeArgs("--until-end")...)) // which is none more
	again.Expect(0)
	if again.Stdout.String() != "two\n" {
		t.Errorf("it printed %q", again.Stdout)
	}
}

// TestConnectionsQuota lets a user have two connections.
func TestConnectionsQuota(t *testing.T) {
	harness.NeedRoot(t, "to connect as other users")
	p := newPlace(t, openRing, "limits: {per_uid: {connections: 2}}")
	p.Start()
	c := p.Dial()
	var guests []*harness.Process
	for n := range 2 {
		guests = append(guests, harness.Launch(t, p.as(guestUID, "attach", "md", "--as", "consumer")))
		harness.WaitAttached(t, c, "md", n+1)
	}
	for _, args := range [][]string{{"attach", "md", "--as", "consumer"}, {"status"}, {"ring", "list"}} {
		p.wantRefusedQuota(guestUID, "connections", 2, 2, args...)
	}
	for range 5 { // root is free
		p.Dial()
	}
	harness.Launch(t, p.as(strangerUID, "ring", "list")).Expect(0)
	guests[0].Kill()
	harness.Eventually(t, "there is room again", func() bool { return harness.Launch(t, p.as(guestUID, "ring", "list")).Wait() == 0 })
	p.Publish("md", "x\n")
	harness.Eventually(t, "the other one reads on", func() bool { return guests[1].Stdout.String() == "x\n" })
}

// TestMemoryQuota lets a user, who may create rings, own two of them and no more:
// to the byte.
func TestMemoryQuota(t *testing.T) {
	harness.NeedRoot(t, "to create rings as another user")
	probe := newPlace(t, "[]")
	probe.Start()
	var made struct{ Ring client.Ring }
	probe.Object(&made, "ring", "create", "probe", "--capacity", "64KiB")
	one := int(made.Ring.MemoryBytes)
	for _, c := range []struct{ quota, fits int }{{2 * one, 2}, {2*one - 1, 1}} {
		t.Run(fmt.Sprint(c.fits), func(t *testing.T) {
			p := newPlace(t, "[{name: configured, capacity: 64KiB}]", fmt.Sprintf("limits: {per_uid: {memory: %d}}", c.quota))
			p.admit("65534")
			d := p.Start()
			create := func(name string) []string { return []string{"ring", "create", name, "--capacity", "64KiB"} }
			for n := range c.fits {
				harness.Launch(t, p.as(guestUID, create(fmt.Sprint("mine", n))...)).Expect(0)
			}
			refused := func() {
				t.Helper()
				p.wantRefusedQuota(guestUID, "memory", c.fits*one, c.quota, create("more")...)
			}
			refused()
			for n := range 4 {
				p.Output(create(fmt.Sprint("roots", n))...)
			}
			if owner := p.owner("mine0"); owner != guestUID {
				t.Errorf("mine0 belongs to uid %d", owner)
			}
			d.Kill()
			p.Start()
			refused() // the next daemon knows whose they are
			harness.Launch(t, p.as(guestUID, "ring", "rm", "mine0")).Expect(0)
			harness.Launch(t, p.as(guestUID, create("more")...)).Expect(0)
			t.Logf("a quota of %d bytes: %d rings of %d", c.quota, c.fits, one)
		})
	}
}

// owner is the user that a ring's memory counts against.
func (p place) owner(ring string) uint32 {
	p.T.Helper()
	var out client.RingDetails
	p.Object(&out, "ring", "show", ring)
	return uint32(out.Ring.Owner)
}

// admit lets a group use the admin calls.
func (p place) admit(group string) {
	p.T.Helper()
	text, err := os.ReadFile(p.Config)
	if err != nil {
		p.T.Fatal(err)
	}
	p.Write(strings.Replace(string(text), "control:\n", "control:\n  admin_group: \""+group+"\"\n", 1))
}
