package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// lineBytesMax bounds one line that a test prints; go test itself splits longer ones.
const lineBytesMax = 16 << 20

// Whether the log of a passing test is shown.
const (
	quiet  = false
	chatty = true
)

// runAll runs the sections in order, prints the report and says whether all is well. A failed section does not
// stop the others: one run shows everything there is to mend.
func runAll(w io.Writer, sections []section, requireAll bool) bool {
	results := make([]result, 0, len(sections))
	for _, s := range sections {
		fmt.Fprintf(w, "\n== %s\n", s.name)
		started := time.Now()
		t := &tally{w: w}
		if err := s.run(t); err != nil {
			t.fail(s.name + ": " + err.Error())
		}
		took := time.Since(started)
		fmt.Fprintf(w, "   %s in %.1fs\n", t.outcome(), took.Seconds())
		results = append(results, result{s.name, took, t})
	}
	return report(w, results, requireAll)
}

// together returns a step that runs others at once and shows what they print one after the other.
func together(steps ...func(*tally) error) func(*tally) error {
	return func(t *tally) error {
		parts := make([]tally, len(steps))
		prints := make([]bytes.Buffer, len(steps))
		errs := make([]error, len(steps))
		var all sync.WaitGroup
		for i, step := range steps {
			parts[i].w = &prints[i]
			all.Go(func() { errs[i] = step(&parts[i]) })
		}
		all.Wait()
		for i, part := range parts {
			fmt.Fprint(t.w, prints[i].String())
			t.passed += part.passed
			t.failed = append(t.failed, part.failed...)
			t.skips = append(t.skips, part.skips...)
		}
		return errors.Join(errs...)
	}
}

// command returns a step that passes when the command exits with 0; its output is shown as it comes.
func command(name string, args ...string) func(*tally) error {
	return func(t *tally) error {
		cmd := child(name, args...)
		cmd.Stdout, cmd.Stderr = t.w, t.w
		return cmd.Run()
	}
}

// goTest returns a step that runs `go test` with the arguments, packages last. It fails when no test ran:
// a pattern that matches nothing proves nothing.
func goTest(show bool, args ...string) func(*tally) error {
	return func(t *tally) error {
		cmd := child("go", append([]string{"test", "-json", "-count=1", testTimeout}, args...)...)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		cmd.Stderr = cmd.Stdout // one stream, so that only the collector writes to t.w
		if err := cmd.Start(); err != nil {
			return err
		}
		failedBefore := len(t.failed)
		readErr := newCollector(t, show).readAll(stdout)
		waitErr := cmd.Wait()
		switch {
		case readErr != nil:
			return readErr
		case waitErr != nil && len(t.failed) == failedBefore:
			return waitErr
		case t.passed+len(t.failed)+len(t.skips) == 0:
			return errors.New("no test ran")
		}
		return nil
	}
}

// child prepares a command without the variables by which make talks to its own children: this program is one,
// but what it starts stands alone.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	for _, kv := range os.Environ() {
		switch key, _, _ := strings.Cut(kv, "="); key {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL":
		default:
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// eachLine calls fn for every line of r. On a line over lineBytesMax it goes on reading, so that the writer
// is not held up, and then returns the error.
func eachLine(r io.Reader, fn func(line []byte)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
	for lines.Scan() {
		fn(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, r) // the first error is the one to tell
		return fmt.Errorf("reading the output (a line has at most %d bytes): %w", lineBytesMax, err)
	}
	return nil
}
