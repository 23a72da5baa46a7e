package bugs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// module is the root of the code, seen from here.
const module = "../.."

// bug is a patch, and the test that is to find it: "" is the checker's choice.
type bug struct {
	name, patch, test string
}

// bugs are those planted for a checker, by name. Each has a first line that says
// what it is.
func (c checker) bugs() (bugs []bug, err error) {
	patches, err := filepath.Glob(filepath.Join(module, c.folder, "testdata/bugs/*.patch"))
	if err != nil {
		return nil, err
	}
	for _, patch := range patches {
		b := bug{name: strings.TrimSuffix(filepath.Base(patch), ".patch")}
		if b.patch, err = filepath.Abs(patch); err != nil {
			return nil, err
		}
		text, err := os.ReadFile(patch)
		if err != nil {
			return nil, err
		}
		head, _, ok := strings.Cut("\n"+string(text), "\n--- a/")
		if !ok {
			return nil, fmt.Errorf("%s: no line begins with --- a/", patch)
		}
		for line := range strings.Lines(head) {
			if test, ok := strings.CutPrefix(line, "test: "); ok {
				b.test = strings.TrimSpace(test)
			}
		}
		if b.test == "" && c.tests == "" {
			return nil, fmt.Errorf("%s: no line before the patch says which test finds it (test: NAME or test: NAME/SUBTEST)", patch)
		}
		bugs = append(bugs, b)
	}
	return bugs, nil
}

// where names the test for a table.
func (b bug) where() string {
	if b.test == "" {
		return "all"
	}
	return strings.TrimPrefix(b.test, "TestModel")
}

// pattern is what -run takes to run the test alone: go test writes spaces in names of
// subtests as underscores.
func (b bug) pattern() string {
	levels := strings.Split(strings.ReplaceAll(b.test, " ", "_"), "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return strings.Join(levels, "/")
}

// What the checker says of a copy.
type verdict string

const (
	found   verdict = "found"
	planted verdict = "the patch applies"
	nothing verdict = "the checker found nothing"
	unable  verdict = "the copy does not build, panics or takes too long"
	stale   verdict = "the patch does not apply any more: make it anew against the code as it is now, or delete it if there is no such code"
)

type result struct {
	verdict verdict
	what    string
	took    time.Duration // of the test, building included
}

// plant makes a copy with a bug below dir; unless all is well it says what is not.
func (c checker) plant(ctx context.Context, dir string, b bug) (r result, ok bool) {
	for _, part := range c.parts {
		if err := copyPart(filepath.Join(module, part), filepath.Join(dir, part)); err != nil {
			return result{verdict: unable, what: err.Error()}, false
		}
	}
	if out, err := exec.CommandContext(ctx, "patch", "--batch", "--forward", "-p1", "-d", dir, "-i", b.patch).CombinedOutput(); err != nil {
		return result{verdict: stale, what: fmt.Sprintf("%v\n%s", err, out)}, false
	}
	return result{verdict: planted}, true
}

// check plants a bug in a copy below dir and, if run is set, runs the checker there.
func (c checker) check(dir string, b bug, run bool) result {
	ctx, stop := context.WithTimeout(context.Background(), c.timeMax)
	defer stop()
	if r, ok := c.plant(ctx, dir, b); !ok || !run {
		return r
	}
	tests := c.tests
	if b.test != "" {
		tests = b.pattern()
	}
	args := append([]string{"test", "-trimpath", "-vet=off", "-count=1", "-run=" + tests}, c.args...)
	cmd := exec.CommandContext(ctx, "go", append(append(args, "./"+c.folder), c.flags...)...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	began := time.Now()
	out, err := cmd.CombinedOutput()
	v, what := c.judge(out, err)
	return result{v, what, time.Since(began)}
}

// judge reads what go test has printed, and how it ended.
func (c checker) judge(out []byte, err error) (verdict, string) {
	var exit *exec.ExitError
	switch m := c.verdict.FindSubmatch(out); {
	case err == nil && bytes.Contains(out, []byte("no tests to run")):
		return unable, "there is no such test"
	case err == nil:
		return nothing, string(out)
	case errors.As(err, &exit) && exit.Exited() && m != nil:
		return found, string(m[1])
	}
	return unable, fmt.Sprintf("%v\n%s", err, out)
}

// copyPart copies a file, or a folder and all in it.
func copyPart(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
