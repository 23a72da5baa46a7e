package hostile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// keepLent is a role. Arguments: socket, ring, producer or consumer, the path of this
// program. It attaches, and after each line of its input says what it still can do
// with what it was lent: "read N", where N is the announced position, "wrote", and
// what the daemon answers when it asks to attach again. The first line makes it hand
// what it was lent to another process, too.
func keepLent(args []string) error {
	in := wire.AttachIn{Ring: args[1], Role: wire.Role(args[2]), Name: "leaver"}
	l, err := attachRaw(args[0], in)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	fmt.Println(sayReady)
	input := bufio.NewReader(os.Stdin)
	for n := 0; ; n++ {
		if _, err := input.ReadString('\n'); err != nil {
			return nil
		}
		said := fmt.Sprintf("read %d", binary.LittleEndian.Uint64(l.data[offAnnounce:]))
		if in.Role == wire.RoleProducer {
			put64(l.data, offWakeSeq, binary.LittleEndian.Uint64(l.data[offWakeSeq:])+1)
			said += ", wrote"
		}
		raw, err := harness.DialRaw(args[0])
		if err != nil {
			return err
		}
		_, files, err := raw.Attach(in)
		unixconn.CloseFiles(files)
		var refusal *wire.Error
		if errors.As(err, &refusal) {
			said += ", refused " + string(refusal.Name)
		}
		if err := raw.Close(); err != nil {
			return err
		}
		if n == 0 && in.Role == wire.RoleConsumer {
			heir, err := l.bequeath(args[3])
			if err != nil {
				return err
			}
			said += ", heir: " + heir
		}
		fmt.Println(said)
	}
}

// bequeath hands what a reader was lent to another process.
func (l *lent) bequeath(self string) (string, error) {
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), harness.RoleVariable+"=heir")
	cmd.ExtraFiles = []*os.File{l.dataFile(), l.pageFile()}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// TestRevoked takes the rights of users away while they use them, by a reload. What
// the daemon lends ends; what the kernel has mapped stays mapped: a reader can still
// look at the data, and a producer write, until they exit.
func TestRevoked(t *testing.T) {
	harness.NeedRoot(t, "to attach as other users")
	allowed := "[{name: md, capacity: 64KiB, producers: many, allow: {consume: {users: [912021]}, produce: {users: [912023]}}}]"
	p := harness.NewPlace(t, binaries, allowed)
	p.Start()
	c := p.Dial()
	reader := newLeaver(t, p, readerUID, wire.RoleConsumer)
	writer := newLeaver(t, p, writerUID, wire.RoleProducer)
	if got := reader.ask(); got != "read 0, heir: read data, wrote page, no more" {
		t.Errorf("the reader: %q", got)
	}
	if got := writer.ask(); got != "read 0, wrote" {
		t.Errorf("the producer: %q", got)
	}
	p.Configure("[{name: md, capacity: 64KiB, producers: many}]")
	if _, err := c.Reload(harness.Bounded(t)); err != nil {
		t.Fatal(err)
	}
	ended := 0
	for _, a := range harness.Attachments(t, c, "md") {
		if a.State != client.StateDetached {
			t.Errorf("after the reload: %+v", a)
		}
		if strings.Contains(a.EndedReason, "no longer names uid") {
			ended++
		}
	}
	if ended < 2 {
		t.Errorf("%d attachments say why they ended, want those of both users", ended)
	}
	p.Publish("md", "secret\n")
	if got := reader.ask(); got != "read 4096, refused "+string(wire.ErrAccessDenied) {
		t.Errorf("the reader afterwards: %q", got)
	}
	if got := writer.ask(); got != "read 4096, wrote, refused "+string(wire.ErrAccessDenied) {
		t.Errorf("the producer afterwards: %q", got)
	}
	// A ring made anew is out of their reach.
	if err := c.RemoveRing(harness.Bounded(t), "md", true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(harness.Bounded(t)); err != nil {
		t.Fatal(err)
	}
	p.Publish("md", strings.Repeat("again\n", 200))
	if got := reader.ask(); got != "read 4096, refused "+string(wire.ErrAccessDenied) {
		t.Errorf("the reader of the ring that was removed: %q", got)
	}
	fmt.Println("counts: hostile: rights taken away in use: both ended with the reason, what is mapped stays until they exit or the ring is made anew")
}

// leaver is a process that keeps what it was lent.
type leaver struct {
	*harness.Process
	input interface{ Write([]byte) (int, error) }
	lines int
}

func newLeaver(t *testing.T, p harness.Place, uid uint32, as wire.Role) *leaver {
	t.Helper()
	cmd := inGroups(role(p, "leaver", "md", as, p.Binaries.Self), uid, nil)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l := &leaver{Process: harness.Launch(t, cmd), input: input}
	l.WaitSaid(sayReady)
	return l
}

// ask has it say what it can do.
func (l *leaver) ask() string {
	l.T.Helper()
	if _, err := l.input.Write([]byte("\n")); err != nil {
		l.T.Fatal(err)
	}
	l.lines++
	var lines []string
	harness.Eventually(l.T, "an answer", func() bool {
		lines = strings.Split(strings.TrimSpace(l.Stdout.String()), "\n")
		if !l.Running() {
			l.T.Fatalf("it ended: %v\n%s", l.Err, l.Stderr)
		}
		return len(lines) > l.lines
	})
	return lines[l.lines]
}
