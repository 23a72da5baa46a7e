package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// fuzz returns a step that finds every fuzz target of the module and runs each for as long as -fuzztime says: a
// number of inputs ("10000x") or a time. With a time, go's fuzzer fails now and then with "context deadline
// exceeded" on a busy machine; with a number it has no deadline. A target counts as one test.
func fuzz(each string) func(*tally) error {
	return func(t *tally) error {
		targets, err := fuzzTargets()
		if err != nil {
			return err
		}
		if len(targets) == 0 {
			return errors.New("no fuzz target found")
		}
		for _, id := range targets {
			fuzzOne(t, id, each)
		}
		return nil
	}
}

func fuzzTargets() ([]testID, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "test", "-json", "-vet=off", "-list=^Fuzz", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the fuzz targets: %w\n%s%s", err, out, stderr.Bytes())
	}
	return parseTargets(out)
}

// parseTargets reads the names out of `go test -json -list`, which prints one a line among other lines.
func parseTargets(out []byte) ([]testID, error) {
	var targets []testID
	err := eachLine(bytes.NewReader(out), func(line []byte) {
		var e event
		if json.Unmarshal(line, &e) != nil || e.Action != "output" {
			return
		}
		if name := strings.TrimSpace(e.Output); strings.HasPrefix(name, "Fuzz") {
			targets = append(targets, testID{e.Package, name})
		}
	})
	return targets, err
}

func fuzzOne(t *tally, id testID, each string) {
	cmd := child("go", "test", "-run=^$", "-fuzz=^"+id.test+"$", "-fuzztime="+each, testTimeout, id.pkg)
	out, err := cmd.CombinedOutput()
	tried := execs(string(out))
	switch {
	case err != nil:
		t.fail(id.String())
		fmt.Fprintf(t.w, "\nFAIL %s (%v)\n%s\n", id, err, out)
	case tried == "0":
		t.fail(id.String() + ": no input was tried; give it more with FUZZTIME")
	default:
		t.passed++
		fmt.Fprintf(t.w, "   ok   %s  %s inputs\n", id, tried)
	}
}

// execs is the number of inputs that a fuzzing run says it tried, "0" when it says nothing.
func execs(out string) string {
	all := regexp.MustCompile(`execs: (\d+)`).FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return "0"
	}
	return all[len(all)-1][1]
}
