package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mixed is a module with every outcome a test can have.
func mixed(t *testing.T) {
	t.Helper()
	write(t, map[string]string{
		"go.mod":           "module mixed\n\ngo 1.26.0\n",
		"good/g_test.go":   "package good\nimport \"testing\"\nfunc TestGood(t *testing.T) { t.Log(\"saw 42 states\"); t.Run(\"sub\", func(*testing.T) {}) }\n",
		"bad/b_test.go":    "package bad\nimport \"testing\"\nfunc TestBad(t *testing.T) { t.Log(\"before\"); t.Error(\"1 is not 2\") }\nfunc TestFine(*testing.T) {}\n",
		"skip/s_test.go":   "package skip\nimport \"testing\"\nfunc TestSkip(t *testing.T) { t.Skip(\"no such\\n  tool\") }\nfunc TestMute(t *testing.T) { t.SkipNow() }\n",
		"dies/d_test.go":   "package dies\nimport (\"os\"; \"testing\")\nfunc TestDies(t *testing.T) { println(\"last words\"); os.Exit(3) }\n",
		"syntax/x.go":      "package syntax\nfunc f() int { return nothing }\n",
		"syntax/x_test.go": "package syntax\nimport \"testing\"\nfunc TestX(*testing.T) {}\n",
		"fuzz/f_test.go": "package fuzz\nimport \"testing\"\nfunc FuzzFine(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }\n" +
			"func FuzzWrong(f *testing.F) { f.Add(uint8(0)); f.Fuzz(func(t *testing.T, n uint8) { if n > 3 { t.Fatal(\"over three\") } }) }\n",
	})
}

// write puts the files into a new folder and makes it the working directory.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func runSection(s section, requireAll bool) (ok bool, out string) {
	var w bytes.Buffer
	ok = runAll(&w, []section{s}, requireAll)
	return ok, w.String()
}

func expect(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func expectLastLine(t *testing.T, out, want string) {
	t.Helper()
	if !strings.HasSuffix(out, "\n"+want+"\n") {
		t.Errorf("the output should end with the line %q:\n%s", want, out)
	}
}

func TestPassedTestsPass(t *testing.T) {
	mixed(t)
	ok, out := runSection(section{"good", goTest(quiet, "./good")}, true)
	if !ok {
		t.Error("a good package failed")
	}
	expectLastLine(t, out, "2 passed, 0 failed, 0 skipped")
	if strings.Contains(out, "42 states") {
		t.Errorf("the log of a passed test is shown:\n%s", out)
	}
	_, out = runSection(section{"good", goTest(chatty, "./good")}, true)
	expect(t, out, "saw 42 states")
}

func TestEveryKindOfFailureFails(t *testing.T) {
	mixed(t)
	for name, c := range map[string]struct {
		pkg, last string
		says      []string
	}{
		"a failed test":   {"./bad", "1 passed, 1 failed, 0 skipped", []string{"FAIL mixed/bad TestBad", "before", "1 is not 2"}},
		"an early exit":   {"./dies", "0 passed, 1 failed, 0 skipped", []string{"last words"}},
		"a build failure": {"./syntax", "0 passed, 1 failed, 0 skipped", []string{"undefined: nothing"}},
		"no package":      {"./absent", "0 passed, 1 failed, 0 skipped", []string{"absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			ok, out := runSection(section{"s", goTest(quiet, c.pkg)}, false)
			if ok {
				t.Error("the run passed")
			}
			expect(t, out, c.says...)
			expectLastLine(t, out, c.last)
		})
	}
}

func TestNoTestRanFails(t *testing.T) {
	mixed(t)
	ok, out := runSection(section{"none", goTest(quiet, "-run=Absent", "./good")}, false)
	if ok {
		t.Error("a run without tests passed")
	}
	expect(t, out, "none: no test ran")
}

func TestSkipsAreListedAndFailOnlyWhenAllIsRequired(t *testing.T) {
	mixed(t)
	s := section{"skip", goTest(quiet, "./skip")}
	ok, out := runSection(s, false)
	if !ok {
		t.Error("skips failed the run")
	}
	expect(t, out, "mixed/skip TestSkip: no such tool\n", "mixed/skip TestMute: no reason given\n")
	expectLastLine(t, out, "0 passed, 0 failed, 2 skipped")

	ok, out = runSection(s, true)
	if ok {
		t.Error("skips passed a run that requires all")
	}
	expect(t, out, "REQUIRE_ALL=1: this run fails")
	expectLastLine(t, out, "0 passed, 0 failed, 2 skipped")
}

func TestCommandFailureIsOneFailure(t *testing.T) {
	ok, out := runSection(section{"cmd", command("sh", "-c", "echo said; exit 3")}, false)
	if ok {
		t.Error("a command that exits with 3 passed")
	}
	expect(t, out, "said\n", "cmd: exit status 3")
	expectLastLine(t, out, "0 passed, 1 failed, 0 skipped")
	if ok, _ := runSection(section{"cmd", command("true")}, true); !ok {
		t.Error("a command that exits with 0 failed")
	}
}

func TestChildrenDoNotTalkToTheMakeAboveThem(t *testing.T) {
	t.Setenv("MAKELEVEL", "1")
	t.Setenv("MAKEFLAGS", "j --jobserver-auth=3,4")
	ok, out := runSection(section{"env", command("sh", "-c", `test -z "$MAKELEVEL$MAKEFLAGS" && test -n "$PATH"`)}, true)
	if !ok {
		t.Errorf("the environment is wrong:\n%s", out)
	}
}

func TestEveryFuzzTargetIsFoundAndRun(t *testing.T) {
	mixed(t)
	if _, err := fuzzTargets(); err == nil || !strings.Contains(err.Error(), "undefined: nothing") {
		t.Errorf("listing over a package that does not build: got %v", err)
	}
	if err := os.RemoveAll("syntax"); err != nil {
		t.Fatal(err)
	}
	ok, out := runSection(section{"fuzz", fuzz("200x")}, false)
	if ok {
		t.Error("a target with a flaw passed")
	}
	expect(t, out, "ok   mixed/fuzz FuzzFine  ", "FAIL mixed/fuzz FuzzWrong", "over three")
	expectLastLine(t, out, "1 passed, 1 failed, 0 skipped")
}

func TestStepsTogetherAddUp(t *testing.T) {
	step := func(text string, err error) func(*tally) error {
		return func(t *tally) error {
			t.passed++
			t.fail(text)
			fmt.Fprintln(t.w, text)
			return err
		}
	}
	ok, out := runSection(section{"both", together(step("one", nil), step("two", errors.New("no test ran")))}, false)
	if ok {
		t.Error("a failed step passed")
	}
	expect(t, out, "one\ntwo\n", "both: no test ran")
	expectLastLine(t, out, "2 passed, 3 failed, 0 skipped")
}

func TestNoFuzzTargetFails(t *testing.T) {
	write(t, map[string]string{"go.mod": "module none\n\ngo 1.26.0\n", "n_test.go": "package n\n"})
	ok, out := runSection(section{"fuzz", fuzz("200x")}, false)
	if ok {
		t.Error("fuzzing nothing passed")
	}
	expect(t, out, "no fuzz target found")
}

func TestFuzzCounts(t *testing.T) {
	for out, want := range map[string]string{
		"": "0",
		"fuzz: elapsed: 0s, execs: 0 (0/sec)\nfuzz: elapsed: 3s, execs: 1234 (411/sec)\nPASS\n": "1234",
	} {
		if got := execs(out); got != want {
			t.Errorf("execs(%q) = %s, want %s", out, got, want)
		}
	}
}

func TestLineAtAndPastTheLimit(t *testing.T) {
	count := 0
	line := strings.Repeat("x", lineBytesMax-1)
	if err := eachLine(strings.NewReader(line+"\n"), func([]byte) { count++ }); err != nil || count != 1 {
		t.Errorf("at the limit: %d lines, %v", count, err)
	}
	rest := strings.NewReader(line + "xx\nmore\n")
	if err := eachLine(rest, func([]byte) {}); err == nil {
		t.Error("a line past the limit was accepted")
	}
	if rest.Len() != 0 {
		t.Errorf("%d bytes were left unread: the writer would hang", rest.Len())
	}
}

func TestPlanNamesItsSections(t *testing.T) {
	_, err := plan("1x", "absent")
	if err == nil || !strings.Contains(err.Error(), `"absent"`) || !strings.Contains(err.Error(), "lint") {
		t.Errorf("got %v", err)
	}
	one, err := plan("1x", "fuzz")
	if err != nil || len(one) != 1 || one[0].name != "fuzz" {
		t.Errorf("got %v, %v", one, err)
	}
}
