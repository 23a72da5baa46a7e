package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestManPages writes them and looks for every verb and flag; groff, which has to
// be there, reads them without a complaint.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "share", "man1")
	if got := brokerctl(t.Context(), "", "man", "--dir", dir); got != (outcome{}) {
		t.Fatalf("got %+v", got)
	}
	root := newCLI(nil, nil, nil).rootCommand()
	pages := 0
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		pages++
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		text := formatted(t, filepath.Join(dir, name+".1"))
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"} {
			if !regexp.MustCompile(`(?m)^` + section + `$`).MatchString(text) {
				t.Errorf("%s has no section %s:\n%s", name, section, text)
			}
		}
		for _, flag := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(cmd.UsageString(), -1) {
			if !strings.Contains(text, flag) {
				t.Errorf("%s does not have %s:\n%s", name, flag, text)
			}
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.Contains(text, strings.TrimSpace(line)) {
				t.Errorf("%s does not show %q as it is typed:\n%s", name, line, text)
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				check(sub)
			}
		}
	}
	check(root)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != pages || pages < 14 {
		t.Errorf("%d verbs, %d files, %v", pages, len(files), err)
	}
}

// formatted is a page as man shows it on a wide terminal.
func formatted(t *testing.T, page string) string {
	t.Helper()
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("needs groff")
	}
	var complaints strings.Builder
	cmd := exec.Command(groff, "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=200n", page)
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("%s: %v\n%s", page, err, &complaints)
	}
	return string(text)
}

func TestRoff(t *testing.T) {
	p := &roff{}
	p.text("one\n.two's \\-^~`\"\n\n  three\n\n  four\nfive\n")
	want := "one\n\\&.two\\(aqs \\e\\-\\(ha\\(ti\\(ga\\(dq\n.PP\n.RS 2\n.nf\nthree\n.fi\n.RE\n.PP\n.RS 2\n.nf\nfour\n.fi\n.RE\nfive\n"
	if p.String() != want {
		t.Errorf("got\n%s\nwant\n%s", p, want)
	}
}

func TestManPagesFail(t *testing.T) {
	if got := brokerctl(t.Context(), "", "man", "--dir", "/dev/null/x"); got.code != exitFailed || !strings.Contains(got.stderr, "/dev/null") {
		t.Errorf("got %+v", got)
	}
}
