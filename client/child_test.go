package client_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"brokerd/client"
)

// childEnv names the part that a process of this test binary plays.
const childEnv = "BROKERD_CLIENT_TEST_CHILD"

// childReady is what a child says when it has done its work and waits to be
// killed.
const childReady = "ready"

const (
	doneWith = "done-with"
	inHand   = "in-hand"
)

func playChild(part string, args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	c, err := client.Dial(ctx, client.Options{Socket: args[0]})
	if err == nil {
		switch part {
		case "detach":
			err = c.Detach(ctx, args[1])
		case "read":
			err = readChild(ctx, c, args[1:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, part+":", err)
		return 1
	}
	return 0
}

// readChild resumes the cursor of a name, prints so many payloads, and waits,
// done with the last one or with it still in hand. Arguments: ring, name, policy,
// records, last (doneWith or inHand).
func readChild(ctx context.Context, c *client.Client, args []string) error {
	r, err := c.Consumer(ctx, args[0], client.ConsumerOptions{Name: args[1], Policy: client.Policy(args[2]), From: client.FromResume()})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[3])
	for ; n > 0 && err == nil; n-- {
		var record client.Record
		if record, err = r.Receive(ctx); err == nil {
			fmt.Printf("%d %s\n", record.Missed, record.Payload)
		}
	}
	if err != nil {
		return err
	}
	if args[4] == doneWith { // whoever asks for the next one is
		if _, err := r.TryReceive(); err != nil && err != client.ErrEmpty {
			return err
		}
	}
	fmt.Println(childReady)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func child(t *testing.T, part string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+part)
	cmd.Stderr = os.Stderr
	return cmd
}

// killedReader runs a reader in a process of its own, kills it when it is done,
// and returns what it printed.
func killedReader(t *testing.T, d *daemon, ring, name string, policy client.Policy, records int, last string) (lines []string) {
	t.Helper()
	cmd := child(t, "read", d.socket, ring, name, string(policy), strconv.Itoa(records), last)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if lines = append(lines, scan.Text()); scan.Text() == childReady {
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
	if len(lines) != records+1 || lines[records] != childReady {
		t.Fatalf("the reader's process said %q, want %d records and %q", lines, records, childReady)
	}
	return lines[:records]
}
