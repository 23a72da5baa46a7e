package control

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// reader is a process of a user that lives until it is ended, and a connection
// that the server takes for its own.
type reader struct {
	*caller
	process *exec.Cmd
}

func (h *host) reader(uid uint32) reader {
	h.t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	r := reader{process: cmd}
	r.caller = h.asPeer(func(peer *unixconn.Peer) {
		peer.PID, peer.PIDFD, peer.UID, peer.GID, peer.Groups = cmd.Process.Pid, nil, uid, uid, nil
	})
	h.t.Cleanup(r.kill)
	return r
}

// kill ends the process; a second time does nothing.
func (r reader) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

func (r reader) attach(in wire.AttachIn) (wire.AttachOut, error) {
	r.t.Helper()
	var out wire.AttachOut
	err := r.call(wire.MethodAttach, in, &out)
	return out, err
}

// TestResume follows a cursor from reader to reader.
func TestResume(t *testing.T) {
	h := newHost(t, nil, func(s *Server) { s.access.names.find = directory })
	h.ring(wire.RingSpec{Name: "md", ResumeForNS: p(int64(time.Hour)),
		Allow: &wire.Allow{Consume: principals([]string{"alice", "1004"})}})
	in := wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Name: "risk", Resume: true}

	first := h.reader(1001)
	out, err := first.attach(in)
	if err != nil || out.Resumed {
		t.Fatalf("no cursor yet: %+v, %v", out, err)
	}
	was := out.Attachment
	second := h.reader(1001)
	_, err = second.attach(in)
	refused(t, err, wire.ErrCursorInUse, "risk", was.ID)
	var why *wire.Error
	var numbers wire.CursorInUseParameters
	if !errors.As(err, &why) || why.Decode(&numbers) != nil || numbers.PID != first.process.Process.Pid || numbers.Name != "risk" {
		t.Errorf("parameters %+v, want pid %d", numbers, first.process.Process.Pid)
	}

	first.kill()
	h.resumable(was.ID)
	_, err = h.reader(1004).attach(in)
	refused(t, err, wire.ErrAccessDenied, "risk", "1001", "1004")
	var denied wire.AccessDeniedParameters
	if !errors.As(err, &why) || why.Decode(&denied) != nil || denied.Rule != "resume" {
		t.Errorf("parameters %+v", denied)
	}
	out, err = second.attach(in)
	now := out.Attachment
	if err != nil || !out.Resumed || now.Slot != was.Slot || now.Generation != was.Generation+1 || now.PID != second.process.Process.Pid {
		t.Fatalf("resumed: %+v, %v, was %+v", out, err, was)
	}

	refused(t, second.call(wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Resume: true}, nil), wire.ErrInvalidParameter, "name")
}

// TestDetachOfACursor holds that a cursor whose process is gone can be given up
// by any process of its user, and by no other user.
func TestDetachOfACursor(t *testing.T) {
	h := newHost(t, nil, func(s *Server) { s.access.names.find = directory })
	h.ring(wire.RingSpec{Name: "md", ResumeForNS: p(int64(time.Hour)), Allow: &wire.Allow{Consume: principals([]string{"alice"})}})
	r := h.reader(1001)
	out, err := r.attach(wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Name: "risk"})
	if err != nil {
		t.Fatal(err)
	}
	id := wire.DetachIn{ID: out.Attachment.ID}
	alice, mallory := h.as(1001, 1001), h.as(1004, 1004)
	refused(t, alice.call(wire.MethodDetach, id, nil), wire.ErrAccessDenied, "of another process") // it lives
	r.kill()
	h.resumable(id.ID)
	refused(t, mallory.call(wire.MethodDetach, id, nil), wire.ErrAccessDenied, "not an administrator")
	alice.must(wire.MethodDetach, id, &wire.DetachOut{})
	if list := h.attachments("md"); len(list) != 0 {
		t.Errorf("after the user gave the cursor up: %+v", list)
	}
}

// TestDetachOfADeadReader: a reader has asked and died before it was heard, since the
// daemon was busy or stopped. Its cursor is there already, and stays.
func TestDetachOfADeadReader(t *testing.T) {
	h := newHost(t, nil, func(s *Server) { s.access.names.find = directory })
	h.ring(wire.RingSpec{Name: "md", ResumeForNS: p(int64(time.Hour)), Allow: &wire.Allow{Consume: principals([]string{"alice"})}})
	for _, uid := range []uint32{1001, 0} {
		r := h.reader(uid)
		in := wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Name: "risk", Resume: true}
		out, err := r.attach(in)
		if err != nil {
			t.Fatal(err)
		}
		r.kill()
		h.resumable(out.Attachment.ID)
		r.must(wire.MethodDetach, wire.DetachIn{ID: out.Attachment.ID}, &wire.DetachOut{})
		again, err := h.reader(uid).attach(in)
		if err != nil || !again.Resumed {
			t.Errorf("uid %d: after the late word of the dead reader: resumed %v, %v", uid, again.Resumed, err)
		}
		if err := h.broker.Evict(again.Attachment.ID, "the next round"); err != nil {
			t.Error(err)
		}
	}
}

// resumable waits until the attachment is a cursor to take over.
func (h *host) resumable(id string) {
	h.t.Helper()
	eventually(h.t, id+" is resumable", func() bool {
		a := h.attachments("")[id]
		return a.State == wire.StateResumable && a.ResumeUntilNS > time.Now().UnixNano()
	})
}
