package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/internal/wire"
)

func TestSIGTERMDrains(t *testing.T) {
	p := newPlace(t, oneRing)
	i := start(t, p)
	c := dial(t, p.socket)
	held := c.attach("top", "t1")

	stream := dial(t, p.socket)
	interval := int64(10)
	stream.send(wire.MethodStats, wire.StatsIn{IntervalMS: &interval}, true)
	if continues, err := stream.receive(&wire.StatsOut{}); !continues || err != nil {
		t.Fatalf("first reply of the stream: continues %v, %v", continues, err)
	}

	begin := time.Now()
	i.signal(syscall.SIGTERM)
	replies := 0
	for {
		continues, err := stream.receive(&wire.StatsOut{})
		if err != nil {
			t.Fatalf("the stream broke after %d replies instead of ending: %v", replies, err)
		}
		if replies++; !continues {
			break
		}
	}
	if code := i.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > 4*time.Second { // nothing hinders it; the 5s are for those who do
		t.Errorf("it took %v", took)
	}
	if _, err := os.Lstat(p.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "md")); err != nil {
		t.Errorf("the ring is gone: %v", err)
	}
	// The next daemon still knows the reader, which has not moved.
	start(t, p)
	expectKept(t, p, held)
}

// expectKept checks that a successor has kept the attachment, and that its
// process gets the same slot back.
func expectKept(t *testing.T, p place, held wire.AttachOut) {
	t.Helper()
	c := dial(t, p.socket)
	kept := c.attachments()
	if len(kept) != 1 || kept[0].ID != held.Attachment.ID || kept[0].State != wire.StateDetached ||
		kept[0].Name != held.Attachment.Name || kept[0].Epoch != held.Ring.Epoch {
		t.Errorf("kept %+v, want %+v, detached", kept, held.Attachment)
	}
	again := c.attach(held.Attachment.Name, "t1")
	if again.Attachment.ID != held.Attachment.ID || again.Ring.Epoch != held.Ring.Epoch {
		t.Errorf("attached again as %s, epoch %d; want %s, %d", again.Attachment.ID, again.Ring.Epoch,
			held.Attachment.ID, held.Ring.Epoch)
	}
}

func TestKilledDaemonIsSucceeded(t *testing.T) {
	p := newPlace(t, oneRing)
	first := start(t, p)
	held := dial(t, p.socket).attach("top", "t1")
	first.kill()
	second := start(t, p)
	if got := scrape(t, second)["brokerd_adoptions_total{}"]; got != 1 {
		t.Errorf("brokerd_adoptions_total is %v, want 1", got)
	}
	if s := dial(t, p.socket).status(); s.RingsAdopted != 1 || len(s.Problems) != 0 || len(s.Quarantined) != 0 {
		t.Errorf("status: %+v", s)
	}
	expectKept(t, p, held)
}

// clog makes a client that asks and asks and reads nothing, until the daemon
// can neither read from it nor write to it.
func clog(t *testing.T, p place) {
	t.Helper()
	c := dial(t, p.socket)
	call, err := wire.EncodeCall(wire.Call{Method: wire.MethodGetInterfaceDescription,
		Parameters: []byte(`{"interface":"` + wire.Interface + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		if err := c.conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		err := c.conn.WriteMessage(call, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the daemon reads on and on: %v", err)
		}
	}
}

func TestDrainIsBounded(t *testing.T) {
	p := newPlace(t, oneRing)
	i := start(t, p)
	clog(t, p)
	begin := time.Now()
	i.signal(syscall.SIGTERM)
	if code := i.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > 7*time.Second {
		t.Errorf("it took %v, at most 5s are promised", took)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := newPlace(t, oneRing)
	i := start(t, p)
	clog(t, p)
	i.signal(syscall.SIGTERM)
	eventually(t, "draining", func() bool { return i.logged("draining") != nil })
	if code, body := i.get("/readyz"); code != 503 || !strings.HasPrefix(body, "draining: ") {
		t.Errorf("/readyz while draining: %d %q", code, body)
	}
	begin := time.Now()
	i.signal(syscall.SIGINT)
	if code := i.wait(); code != -1 {
		t.Errorf("exit code %d, want the end by the signal", code)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v after the second signal", took)
	}
}
