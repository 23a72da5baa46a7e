package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/varlink/go/varlink"
	"golang.org/x/sys/unix"

	"brokerd/internal/wire"
)

// The stranger: nobody on this host has these numbers.
const (
	strangerUID   = 912001
	strangerGID   = 912002
	strangerGroup = 912003 // supplementary

	strangerConnections = 2 // its quota
)

// TestAnotherUser runs this binary as a user that no rule names, but by one of
// its supplementary groups.
func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to start a process as another user")
	}
	s := start(t)
	s.ring(t, wire.RingSpec{Name: "md", Allow: &wire.Allow{Consume: &wire.Principals{Groups: wire.List[string]{fmt.Sprint(strangerGroup)}}}})
	s.ring(t, wire.RingSpec{Name: "closed"})
	s.server.SetLimits(64, strangerConnections)
	var mine wire.AttachOut
	files, err := s.dial(t).CallWithFDs(deadline(t), wire.MethodAttach, object{"ring": "md", "role": "consumer", "token": "root-reader"}, &mine, nil)
	closeAll(files)
	if err != nil {
		t.Fatal(explain(err))
	}

	cmd := exec.CommandContext(deadline(t), copyOfSelf(t, s.dir))
	cmd.Env = append(os.Environ(), asUser+"="+s.path)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
		Uid: strangerUID, Gid: strangerGID, Groups: []uint32{strangerGroup}}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// copyOfSelf puts this binary where another user can run it.
func copyOfSelf(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "self")
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// stranger is what the other user tries. It is not a test, as testing itself
// would want to write files.
func stranger(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	conn, err := varlink.NewConnection(ctx, "unix:"+path)
	if err != nil {
		return err
	}
	var out wire.AttachOut
	files, err := conn.CallWithFDs(ctx, wire.MethodAttach, object{"ring": "md", "role": "consumer", "name": "stranger"}, &out, nil)
	defer closeAll(files)
	if err != nil {
		return fmt.Errorf("attach by a supplementary group: %w", explain(err))
	}
	if out.Attachment.UID != strangerUID || out.Attachment.PID != os.Getpid() {
		return fmt.Errorf("the daemon takes us for %+v", out.Attachment)
	}
	if err := readOnly(files[out.Files.Data], int(out.Ring.Capacity)); err != nil {
		return err
	}
	if err := otherPagesStayShut(filepath.Dir(path)); err != nil {
		return err
	}
	for _, try := range []struct {
		method string
		in     any
		texts  []string
	}{
		{wire.MethodAttach, object{"ring": "md", "role": "consumer", "policy": "block"}, []string{"allow.gate", `ring \"md\"`, "ask for policy demote", fmt.Sprintf("uid %d", strangerUID), fmt.Sprint(strangerGroup)}},
		{wire.MethodAttach, object{"ring": "md", "role": "producer"}, []string{"allow.produce"}},
		{wire.MethodAttach, object{"ring": "closed", "role": "consumer"}, []string{"allow.consume", "there is no"}},
		{wire.MethodCreateRing, object{"ring": object{"name": "mine", "capacity": 65536}}, []string{"not an administrator", "control.admin_group"}},
		{wire.MethodRemoveRing, object{"name": "md", "force": true}, []string{"not an administrator"}},
		{wire.MethodReload, object{}, []string{"reload the configuration", "not an administrator"}},
		{wire.MethodDetach, object{"id": "md/c0.1"}, []string{"not an administrator", "md/c0.1"}},
	} {
		err := conn.Call(ctx, try.method, try.in, new(json.RawMessage))
		if err == nil || err.Error() != string(wire.ErrAccessDenied) {
			return fmt.Errorf("%s %v: got %w, want AccessDenied", try.method, try.in, explain(err))
		}
		for _, text := range try.texts {
			if !strings.Contains(explain(err).Error(), text) {
				return fmt.Errorf("%w lacks %q", explain(err), text)
			}
		}
	}
	// Its own attachment it may end, by another connection too.
	other, err := varlink.NewConnection(ctx, "unix:"+path)
	if err != nil {
		return err
	}
	if err := other.Call(ctx, wire.MethodDetach, object{"id": out.Attachment.ID}, new(json.RawMessage)); err != nil {
		return explain(err)
	}
	if err := refusedByQuota(ctx, path); err != nil {
		return err
	}
	return errors.Join(other.Close(), conn.Close())
}

// refusedByQuota opens one connection more than the stranger may have. The
// refusal comes without a call, or as the reply to whichever is sent.
func refusedByQuota(ctx context.Context, path string) error {
	third, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	end, _ := ctx.Deadline()
	if err := third.SetDeadline(end); err != nil {
		return err
	}
	text, err := bufio.NewReader(third).ReadBytes(0)
	if err != nil {
		return fmt.Errorf("a connection past the quota: %w after %q", err, text)
	}
	reply, err := wire.DecodeReply(text[:len(text)-1])
	if err != nil {
		return err
	}
	var why *wire.Error
	var numbers wire.LimitExceededParameters
	if err := reply.Decode(nil); !errors.As(err, &why) || why.Name != wire.ErrLimitExceeded {
		return fmt.Errorf("a connection past the quota: %w, want LimitExceeded", err)
	}
	if err := why.Decode(&numbers); err != nil || numbers.Limit != "limits.per_uid.connections" ||
		numbers.Used != strangerConnections || numbers.Max != strangerConnections ||
		!strings.Contains(numbers.Message, fmt.Sprintf("uid %d", strangerUID)) {
		return fmt.Errorf("refused by %+v (%w), want the quota of uid %d", numbers, err, strangerUID)
	}
	return third.Close()
}

// readOnly tries every way to write to the ring's data.
func readOnly(data *os.File, size int) error {
	fd := int(data.Fd())
	if _, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("mapping the data writable: %w, want EACCES", err)
	}
	view, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping the data: %w", err)
	}
	defer func() { _ = unix.Munmap(view) }()
	if err := unix.Mprotect(view, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("making the mapping writable: %w, want EACCES", err)
	}
	if err := unix.Ftruncate(fd, 0); err == nil {
		return errors.New("the data file could be truncated")
	}
	if f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDWR, 0); err == nil {
		_ = f.Close()
		return errors.New("the data file could be opened again for writing")
	}
	return nil
}

// otherPagesStayShut tries the file names directly.
func otherPagesStayShut(dir string) error {
	for _, name := range []string{"c00", "c01", "data", "meta.json"} {
		f, err := os.Open(filepath.Join(dir, "rings", "md", name))
		if err == nil {
			_ = f.Close()
			return fmt.Errorf("%s of the ring can be opened", name)
		}
		if !errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("opening %s: %w, want a refusal", name, err)
		}
	}
	return nil
}
