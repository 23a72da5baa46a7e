package torture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// daemon is one that is killed and started again, all its lives in one log.
type daemon struct {
	name  string
	place harness.Place
	log   *os.File
	cmd   *exec.Cmd
	ended chan struct{}
	calls *client.Client // of the test; it mends itself
	said  int64          // length of the log at the start of this life
}

// startAnew starts brokerd and waits until it says that it is ready. The test is the only one who ends it.
func (d *daemon) startAnew() error {
	d.said, _ = d.log.Seek(0, 2)
	d.cmd = exec.Command(d.place.Binaries.Brokerd, "--config", d.place.Config)
	d.cmd.Stderr = d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // killed
		close(ended)
	}(d.cmd, d.ended)
	for deadline := time.Now().Add(2 * harness.Patience); ; time.Sleep(2 * time.Millisecond) {
		text := d.since()
		select {
		case <-d.ended:
			return fmt.Errorf("%s ended before it was ready: %s", d.name, text)
		default:
		}
		if bytes.Contains(text, []byte(`"msg":"ready"`)) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready within %v: %s", d.name, 2*harness.Patience, text)
		}
	}
}

// since is the log of this life.
func (d *daemon) since() []byte {
	end, err := d.log.Seek(0, 2)
	if err != nil {
		return nil
	}
	text := make([]byte, end-d.said)
	n, _ := d.log.ReadAt(text, d.said)
	return text[:n]
}

// alive tells whether it has not ended by itself.
func (d *daemon) alive() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// The rings. solo and loose have one producer, crowd and wide many. The reader that keeps the truth of loose never
// holds anybody; wide keeps cursors.
const (
	tortureRings = `
  - {name: solo, capacity: 256KiB, record_max: 8KiB, checksum: true, consumers_max: 40, demote_after: 300ms}
  - {name: loose, capacity: 64KiB, record_max: 2KiB, checksum: true, consumers_max: 40, demote_after: 50ms}
  - {name: crowd, capacity: 64KiB, record_max: 4KiB, checksum: true, producers: many, consumers_max: 40, demote_after: 200ms}
  - {name: wide, capacity: 1MiB, record_max: 16KiB, checksum: true, producers: many, consumers_max: 40, resume_for: 60s}`

	farName  = "desk" // of the remote clients
	deadTime = "1s"
)

// hosts are the two daemons: the rings are a's, b mirrors three of them.
type hosts struct {
	a, b *daemon
	far  far // a's gateway
}

// startHosts makes two places and starts their daemons. Their logs are in dir.
func (t *torture) startHosts(dir string) error {
	pki := harness.NewAuthority(t.t, binaries)
	keysA, keysB := pki.Issue("hostA", "--san", "127.0.0.1"), pki.Issue("hostB")
	pki.Issue(farName)
	address := harness.FreeAddress(t.t)
	files := pki.Files(farName)
	t.far = far{address, files.Cert, files.Key, files.CA}
	all := "[solo, loose, crowd, wide]"
	placeA := harness.NewPlace(t.t, binaries, tortureRings, fmt.Sprintf(`gateway:
  name: hostA
  listen: %s
  tls: %s
  dead_after: %s
  export: %s
  peers:
    - {name: hostB, allow: {gate: %s}}
    - {name: %s, allow: {import: %s, gate: %s}}`, address, keysA, deadTime, all, all, farName, all, all))
	placeB := harness.NewPlace(t.t, binaries, "[]", fmt.Sprintf(`gateway:
  name: hostB
  tls: %s
  dead_after: %s
  peers:
    - name: hostA
      address: %s
      mirror: [{ring: solo, as: solo.b, consumers_max: 40}, {ring: crowd, as: crowd.b, policy: block, consumers_max: 40}, {ring: wide, as: wide.b, policy: skip, consumers_max: 40}]`,
		keysB, deadTime, address))
	for _, d := range []*daemon{{name: "a", place: placeA}, {name: "b", place: placeB}} {
		log, err := os.Create(filepath.Join(dir, "daemon-"+d.name+".log"))
		if err != nil {
			return err
		}
		d.log = log
		if err := d.startAnew(); err != nil {
			return err
		}
		t.t.Cleanup(func() { d.kill(); _ = d.log.Close() })
		d.calls = d.place.Dial()
		if d.name == "a" {
			t.a = d
		} else {
			t.b = d
		}
	}
	return nil
}

// asking bounds a call of the test.
func asking() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*harness.Patience)
}
