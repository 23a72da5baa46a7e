package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDemo(t *testing.T) {
	s := newStage(t)
	if code := s.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
	text := s.text()
	if s.err.Len() > 0 {
		t.Errorf("stderr: %s", &s.err)
	}
	for _, pattern := range []string{
		`(?m)^ +[1-9]\.\d s  book +\d+ +\d+ +\d+ us +\d.* 0  6\d{4}\.\d\d / 6\d{4}\.\d\d$`,
		`(?m)^ +slow +\d+ +\d+ .* [1-9]\d*  demoted$`,
		`\* slow is demoted`,
		`\* kill -9 brokerd \(pid \d+\)`,
		`without a daemon book got [1-9]\d* records`,
		`brokerd \(pid \d+\) is back`,
		`(?m)^ok +book got 8000 of 8000, missed 0; sha256`,
		`(?m)^ok +skip got \d+ \+ missed \d+ = sequence 8000$`,
		`(?m)^ok +slow was demoted at \d+\.\d s; got \d+ \+ missed [1-9]\d* = sequence 8000$`,
		`(?m)^ok +all 4 attachments were the same`,
		`(?m)^ok +nothing is left behind`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("nothing matches %q", pattern)
		}
	}
	if strings.Contains(text, "FAILED") || strings.Contains(text, "\x1b") {
		t.Error("a failed check, or colours, in what goes into a pipe")
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("more than 80 columns: %q", line)
		}
	}
	hashes := regexp.MustCompile(`(?m)^ +([0-9a-f]{64})$`).FindAllStringSubmatch(text, -1)
	if len(hashes) != 2 || hashes[0][1] != hashes[1][1] {
		t.Errorf("hashes: %v", hashes)
	}
}

func TestSignals(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		at     string // what the demo has printed by then
	}{
		"at once":           {syscall.SIGINT, ``},
		"before the start":  {syscall.SIGINT, `bid / ask`},
		"feed":              {syscall.SIGTERM, `\n +1\.\d s  book`},
		"without a daemon":  {syscall.SIGINT, `kill -9 brokerd`},
		"daemon comes back": {syscall.SIGINT, `now brokerd is started again`},
		"reader looks away": {syscall.SIGHUP, `skip looks away`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.saw(c.at)
			if err := syscall.Kill(-s.cmd.Process.Pid, c.signal); err != nil {
				t.Fatal(err)
			}
			if code := s.wait(); code != exitInterrupted {
				t.Errorf("exit code %d", code)
			}
			s.nothingLeft()
			if want := "demo: interrupted: " + c.signal.String(); !strings.HasPrefix(s.err.String(), want) {
				t.Errorf("stderr %q, want %q", &s.err, want)
			}
		})
	}
}

func TestClosedOutput(t *testing.T) {
	s := newStage(t)
	s.saw(`\n +1\.\d s  book`)
	s.stdout.Close()
	if code := s.wait(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
}

func TestKilled(t *testing.T) {
	s := newStage(t)
	s.saw(`bid / ask`)
	if pids := s.processes(); len(pids) != 4 {
		t.Fatalf("processes %v, want the daemon and three readers", pids)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait()
	s.eventually("all processes gone", func() bool { return len(s.processes()) == 0 })
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		victim string // pattern with the pid of a process that somebody kills
		stderr string
	}{
		"no daemon":        {args: []string{"--brokerd", "/absent"}, stderr: `demo: failed: the daemon: stat /absent: .* \(make build makes it\)`},
		"daemon won't run": {args: []string{"--brokerd", "/bin/false"}, stderr: `brokerd ended before it was ready: exit status 1`},
		"daemon dies":      {victim: `brokerd +pid (\d+)`, stderr: `demo: failed: brokerd has ended by itself: signal: killed`},
		"reader dies":      {victim: `slow +pid (\d+)`, stderr: `demo: failed: reader slow has ended`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.args...)
			if c.victim != "" {
				pid, _ := strconv.Atoi(s.saw(c.victim)[1])
				s.saw(`\n +1\.\d s  book`)
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			if code := s.wait(); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			if s.shm == "" {
				s.shm = "/dev/shm/brokerd-demo-gone-before-it-was-seen"
			}
			s.nothingLeft()
			if !regexp.MustCompile(c.stderr).Match(s.err.Bytes()) {
				t.Errorf("stderr %q does not match %q", &s.err, c.stderr)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	s := newStage(t, "--keep")
	s.saw(`bid / ask`)
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.wait()
	if pids := s.processes(); len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
	kept := filepath.Join(s.tmp, filepath.Base(s.shm))
	for _, path := range []string{filepath.Join(kept, "log"), filepath.Join(kept, "brokerd.yaml"), filepath.Join(s.shm, ringName, "data")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(s.text(), kept) {
		t.Error("what is kept is not named")
	}
}

// A feed too short to fill the ring demotes nobody: the demo must not pass.
func TestBrokenPromise(t *testing.T) {
	path := filepath.Join(t.TempDir(), "feed.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed := gzip.NewWriter(file)
	for i := range 200 {
		fmt.Fprintf(packed, "%d {}\n", time.Duration(i)*100*time.Millisecond)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, "--feed", path)
	if code := s.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
	s.saw(`FAILED +slow was not demoted; got 200 \+ missed 0 = sequence 200`)
	s.saw(`ok +book got 200 of 200`)
	if want := "demo: failed: " + errNotHeld.Error(); !strings.HasPrefix(s.err.String(), want) {
		t.Errorf("stderr %q, want %q", &s.err, want)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--factor 11":   "--factor 11: want 0.1 to 10",
		"--factor 0.09": "--factor 0.09: want 0.1 to 10",
		"--factor NaN":  "--factor NaN: want 0.1 to 10",
		"--fast":        "not defined: -fast; --help lists the flags",
		"feed":          `argument "feed" is not expected; --help lists the flags`,
	} {
		cmd := exec.Command(filepath.Join(built, "demo"), strings.Fields(args)...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.Discard, &stderr
		_ = cmd.Run() // the exit code is in ProcessState
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, stderr %q", args, code, &stderr)
		}
	}
	help, err := exec.Command(filepath.Join(built, "demo"), "--help").Output()
	if err != nil || !bytes.Contains(help, []byte("-factor")) {
		t.Errorf("--help: %v, %s", err, help)
	}
}
