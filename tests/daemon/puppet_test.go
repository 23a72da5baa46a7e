package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// The stranger: nobody on this host has this number, as a user or as a group.
const strangerID = 61236

// puppetSocket in the environment makes this binary a puppet at that socket.
const puppetSocket = "BROKERD_TEST_PUPPET"

// puppet is a client in a process of another user: it makes each call that it
// reads, a line of JSON, and prints the reply, another.
type puppet struct {
	t       *testing.T
	cmd     *exec.Cmd
	calls   io.WriteCloser
	replies *bufio.Scanner
}

// newPuppet connects as the stranger. The test ends it.
func newPuppet(t *testing.T, p place) *puppet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to start a process as another user")
	}
	if err := os.Chmod(filepath.Dir(p.socket), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(p.socket), "puppet") // where the stranger can run it
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), puppetSocket+"="+p.socket)
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: strangerID, Gid: strangerID}}
	calls, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	replies, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = calls.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("puppet: %v", err)
		}
	})
	scanner := bufio.NewScanner(replies)
	scanner.Buffer(nil, wire.ReplyBytesMax)
	return &puppet{t: t, cmd: cmd, calls: calls, replies: scanner}
}

// call makes a call and decodes its reply into out; the error is a *wire.Error.
func (p *puppet) call(method string, in, out any) error {
	p.t.Helper()
	parameters, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	message, err := json.Marshal(wire.Call{Method: method, Parameters: parameters})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(p.calls, "%s\n", message); err != nil {
		p.t.Fatal(err)
	}
	if !p.replies.Scan() {
		p.t.Fatalf("the puppet is silent: %v", p.replies.Err())
	}
	var reply wire.Reply
	if err := json.Unmarshal(p.replies.Bytes(), &reply); err != nil {
		p.t.Fatal(err)
	}
	return reply.Decode(out)
}

// playPuppet is the other side: it ends with its input.
func playPuppet(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := unixconn.Dial(ctx, socket)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var call wire.Call
		if err := json.Unmarshal(lines.Bytes(), &call); err != nil {
			return err
		}
		message, err := wire.EncodeCall(call)
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(message, nil); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		answer, files, err := conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax, WantFiles: true})
		unixconn.CloseFiles(files)
		if err != nil {
			return err
		}
		if strings.ContainsRune(string(answer), '\n') {
			return fmt.Errorf("a reply of more than one line: %q", answer)
		}
		fmt.Printf("%s\n", answer)
	}
	return lines.Err()
}
