package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// Users of these tests. Nobody on this host has the stranger's number.
const (
	guestUID    = 65534 // that of nobody; may consume
	strangerUID = 912001
)

// TestAnotherUserIsRefusedByTheRule asks with brokerctl as somebody whom no
// rule names.
func TestAnotherUserIsRefusedByTheRule(t *testing.T) {
	harness.NeedRoot(t, "to run brokerctl as another user")
	p := newPlace(t, "[{name: md, capacity: 64KiB, allow: {consume: {users: [65534]}}}]")
	p.Start()
	for _, c := range []struct {
		uid   uint32
		args  []string
		words []string
	}{
		{strangerUID, []string{"attach", "md", "--as", "consumer"}, []string{"allow.consume", "md", "uid 912001"}},
		{strangerUID, []string{"attach", "md", "--as", "producer"}, []string{"allow.produce", "md", "uid 912001"}},
		{guestUID, []string{"attach", "md", "--as", "producer"}, []string{"allow.produce", "md", "uid 65534"}},
		{guestUID, []string{"attach", "md", "--as", "consumer", "--policy", "block"}, []string{"allow.gate", "md", "uid 65534", "demote"}},
		{guestUID, []string{"ring", "create", "mine"}, []string{"control.admin_group", "uid 65534"}},
		{guestUID, []string{"ring", "rm", "md", "--force"}, []string{"control.admin_group", "uid 65534"}},
	} {
		refused := harness.Launch(t, harness.AsUser(p.Command(c.args...), c.uid, c.uid))
		refused.Expect(4)
		said := refused.Stderr.String()
		for _, word := range c.words {
			if !strings.Contains(said, word) {
				t.Errorf("uid %d, %q: %q does not name %q", c.uid, c.args, said, word)
			}
		}
		if n := strings.Count(said, "\n"); n != 1 {
			t.Errorf("uid %d, %q: %d lines on stderr, want 1:\n%s", c.uid, c.args, n, said)
		}
	}
	if list := harness.Attachments(t, p.Dial(), ""); len(list) != 0 {
		t.Errorf("somebody got in: %+v", list)
	}
}

// TestPermittedUserReads lets a user read whom a rule names.
func TestPermittedUserReads(t *testing.T) {
	harness.NeedRoot(t, "to run brokerctl as another user")
	p := newPlace(t, "[{name: md, capacity: 64KiB, allow: {consume: {users: [65534]}, gate: {users: [65534]}}}]")
	p.Start()
	p.Publish("md", "one\ntwo\n", "--end")
	for _, policy := range []string{"block", "demote", "skip"} {
		reader := harness.Launch(t, harness.AsUser(p.Command("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", policy, "--until-end"), guestUID, guestUID))
		reader.Expect(0)
		if got := reader.Stdout.String(); got != "one\ntwo\n" {
			t.Errorf("policy %s: it read %q", policy, got)
		}
	}
}

// TestReaderCannotWrite attaches as another user, who then tries everything to
// write to the ring and to get at the page of another reader.
func TestReaderCannotWrite(t *testing.T) {
	harness.NeedRoot(t, "to attach as another user")
	p := newPlace(t, "[{name: md, capacity: 64KiB, allow: {consume: {users: [65534]}}}]")
	p.Start()
	// The one whose page and feed are to be safe: a reader and producer of root.
	other := harness.Launch(t, p.Role("guest", "md"))
	other.WaitSaid(sayAttached)
	producer, err := p.Dial().Producer(harness.Bounded(t), "md", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.Send(harness.Bounded(t), []byte("untouched")); err != nil {
		t.Fatal(err)
	}
	stranger := harness.Launch(t, harness.AsUser(p.Role("stranger", "md", p.Dir, strconv.Itoa(other.PID()), strconv.Itoa(os.Getpid())), guestUID, guestUID))
	stranger.Expect(0)
	t.Logf("tried: %s", strings.Join(strings.Fields(stranger.Stdout.String()), " "))
	if err := producer.Send(harness.Bounded(t), []byte("still")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	other.WaitSaid("untouched\nstill\n")
}

// guest attaches to a ring and prints what it reads until it is killed.
func guest(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	r, err := c.Consumer(ctx, args[1], client.ConsumerOptions{Policy: client.PolicyBlock})
	if err != nil {
		return err
	}
	fmt.Println(sayAttached)
	for record, err := range r.Records(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", record.Payload)
	}
	return nil
}

// stranger attaches as a consumer, with the descriptors themselves in hand, and
// tries. Arguments: socket, ring, the daemon's dir, pids of a reader and of a
// producer of root.
func stranger(args []string) error {
	socket, ring, dir := args[0], args[1], args[2]
	raw, err := harness.DialRaw(socket)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	out, files, err := raw.Attach(wire.AttachIn{Ring: ring, Role: wire.RoleConsumer, Name: "stranger"})
	if err != nil {
		return err
	}
	defer unixconn.CloseFiles(files)
	if len(files) != 2 || len(out.Files.Cursors) != 1 {
		return fmt.Errorf("%d files came, %d of them cursor pages; want the data and one page", len(files), len(out.Files.Cursors))
	}
	data, page := files[out.Files.Data], files[out.Files.Cursors[0]]
	if err := cannotWrite(data); err != nil {
		return err
	}
	if err := canWrite(page); err != nil {
		return err
	}
	// Nothing by name: not even its own page, nor the folder's list.
	mustFail := []string{filepath.Join(dir, ring)}
	for _, name := range []string{"data", "c00", "c01", "meta.json", "slots"} {
		mustFail = append(mustFail, filepath.Join(dir, ring, name))
	}
	// Nothing through those who have it.
	for _, pid := range args[3:] {
		for fd := range 32 {
			mustFail = append(mustFail, fmt.Sprintf("/proc/%s/fd/%d", pid, fd))
		}
		mustFail = append(mustFail, "/proc/"+pid+"/mem", "/proc/"+pid+"/map_files")
	}
	for _, path := range mustFail {
		for _, mode := range []int{os.O_RDONLY, os.O_RDWR} {
			f, err := os.OpenFile(path, mode, 0)
			if err == nil {
				_ = f.Close()
				return fmt.Errorf("%s could be opened (mode %#x)", path, mode)
			}
			if !errors.Is(err, os.ErrPermission) && mode == os.O_RDONLY {
				return fmt.Errorf("opening %s: %w, want a lack of permission", path, err)
			}
		}
	}
	fmt.Printf("%d paths, all refused\n", len(mustFail))
	return nil
}

// cannotWrite tries every way to write to the data of the ring.
func cannotWrite(data *os.File) error {
	fd, page := int(data.Fd()), os.Getpagesize()
	if _, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("mapping the data writable: %v, want %w", err, unix.EACCES)
	}
	view, err := unix.Mmap(fd, 0, page, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping the data to read: %w", err)
	}
	defer func() { _ = unix.Munmap(view) }()
	if err := unix.Mprotect(view, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("making the mapping writable: %v, want %w", err, unix.EACCES)
	}
	if _, err := data.WriteAt([]byte{0}, 0); !errors.Is(err, unix.EBADF) {
		return fmt.Errorf("writing to the data: %v, want %w", err, unix.EBADF)
	}
	if err := data.Truncate(0); err == nil {
		return errors.New("the data could be truncated")
	}
	if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, int64(page)); err == nil {
		return errors.New("a hole could be punched into the data")
	}
	if err := unix.Fchmod(fd, 0o666); err == nil {
		return errors.New("the mode of the data could be changed")
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDWR, 0)
	if err == nil {
		_ = again.Close()
		return errors.New("the data could be opened again, to write")
	}
	if !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("opening the data again: %w, want a lack of permission", err)
	}
	fmt.Println("mmap mprotect write truncate punch chmod reopen")
	return nil
}

// canWrite makes sure that the tries above fail for a reason: the page that is
// lent to be written can be mapped that way.
func canWrite(page *os.File) error {
	view, err := unix.Mmap(int(page.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping the own cursor page: %w", err)
	}
	return unix.Munmap(view)
}
