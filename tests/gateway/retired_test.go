package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestRetiredRingIsFollowed: a process of the origin writes garbage over all of a
// ring that is mirrored and read by a remote client. Both are told, the other ring
// of the same link goes on, and the mirror follows to the ring that stands in its
// place.
func TestRetiredRingIsFollowed(t *testing.T) {
	pki := harness.NewAuthority(t, binaries)
	rings := "[{name: md, capacity: 64KiB}, {name: bad, capacity: 64KiB}]"
	pki.Issue("c")
	a := startHost(t, rings, gatewayKeys{name: "a", tls: pki.Issue("a"), export: "[md, bad]", peers: []string{"{name: b}", "{name: c}"}})
	b := startHost(t, "[]", gatewayKeys{name: "b", tls: pki.Issue("b"), silent: true, peers: []string{a.asPeer("[md, bad]")}})
	steady := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	b.waitLink("a", client.LinkRoleMirror, "bad", client.LinkConnected)
	remote := remoteOf(t, a, "c", pki)
	p := newProbe(t, a, b, remote)
	calm := make(chan struct{})
	close(calm)
	a.Publish("bad", lines(0, 10))
	b.waitCaughtUp("bad", a, "bad")
	far, err := remote.Consumer(harness.Bounded(t), "bad", client.ConsumerOptions{From: client.FromOldest()})
	if err != nil {
		t.Fatal(err)
	}
	local := b.Ctl("attach", "bad", "--as", "consumer", "--from", "oldest")
	local.WaitSaid("record 9")
	was := ringOf(t, a, "bad").Epoch

	data := filepath.Join(a.Dir, "bad", "data")
	f, err := os.OpenFile(data, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte{0xA5}, int(info.Size())), 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	p.lags(50, calm) // of md, whose sweep does not depend on it

	for err = nil; err == nil; {
		_, err = far.Receive(harness.Bounded(t))
	}
	if !errors.Is(err, client.ErrCorrupt) && !errors.Is(err, client.ErrRemoved) && !errors.Is(err, client.ErrLost) && !errors.Is(err, client.ErrDetached) {
		t.Errorf("the remote reader is told %v", err)
	}
	var now uint64
	harness.Eventually(t, "a ring of a new epoch stands in its place, at both hosts", func() bool {
		there, err := a.client.DescribeRing(harness.Bounded(t), "bad")
		here, e := b.client.DescribeRing(harness.Bounded(t), "bad")
		now = there.Ring.Epoch
		return err == nil && e == nil && now != was && here.Ring.Epoch == now
	})
	if code := local.Wait(); code == 0 {
		t.Error("a reader of the mirror ends as if all were well")
	}
	b.waitLink("a", client.LinkRoleMirror, "bad", client.LinkConnected)
	a.Publish("bad", lines(100, 10))
	if got := b.read("bad", 10); got != lines(100, 10) {
		t.Errorf("the mirror of the new ring reads\n%s", got)
	}
	p.lags(50, calm)
	if l := b.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected); l.SinceNS != steady.SinceNS || l.Reconnects != 0 || l.Gaps != 0 {
		t.Errorf("the link of the other ring was %+v and is %+v", steady, l)
	}
	fmt.Printf("counts: hostile network: a ring full of garbage: its remote reader is told %q, the mirror followed from epoch %d to %d, the other ring of the link untouched\n", err, was, now)
}
