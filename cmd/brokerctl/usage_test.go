package main

import (
	"fmt"
	"strings"
	"testing"

	"brokerd/client"
)

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		line string
		says string
	}{
		{"atach", `unknown command "atach" for "brokerctl", did you mean "attach" or "detach"?`},
		{"ring lst", `unknown command "lst" for "brokerctl ring", did you mean "list"?`},
		{"rng list", `unknown command "rng" for "brokerctl", did you mean "ring"?`},
		{"list", `unknown command "list" for "brokerctl", did you mean "ring list"?`},
		{"sta", `did you mean "stats" or "status"?`},
		{"ring delete md", `did you mean "rm"?`},
		{"atach md --as producer", `unknown command "atach" for "brokerctl", did you mean`}, // not its flags
		{"ring", "brokerctl: ring: name a verb"},
		{"ring create", "brokerctl: ring create: NAME is missing"},
		{"ring list md", `brokerctl: ring list: "md" is too much; it takes no arguments`},
		{"ring create md --capacity 16MB", "expected a whole number and B, KiB, MiB, GiB or TiB, such as 16MiB"},
		{"ring create md --producers two", "expected one or many"},
		{"ring create md --demote-after 5", `invalid argument "5" for --demote-after: expected a time with its unit, such as 500ms, 5s or 1m30s`},
		{"ring create md --consumers-max few", `invalid argument "few" for --consumers-max: expected a whole number`},
		{"ring create md --timestamps=maybe", `invalid argument "maybe" for --timestamps: expected true or false`},
		{"status --color", "unknown flag: --color; see brokerctl status --help"},
		{"status --sokcet s", `unknown flag: --sokcet, did you mean "--socket"?`},
		{"attach md --wait 1s", `unknown flag: --wait, did you mean "--wait-for" or "--wait-strategy"?`},
		{"status -x", "unknown shorthand flag: 'x'"},
		{"status --socket=", `invalid argument "" for --socket: expected a path; leave the flag out for the default`},
		{"status --wait-for -1s", "--wait-for -1s: want 0 or more"},
		{"completion tcsh", `no script for "tcsh": expected bash, zsh or fish`},
		{"status -o yaml", "expected table or json"},
		{"attach md", "say --as producer or --as consumer"},
		{"attach --as producer", "RING is missing"},
		{"attach md --as reader", "expected producer or consumer"},
		{"attach md --as consumer --framing csv", "expected line or u32be"},
		{"attach md --as consumer --from 1x", "expected resume, oldest, latest or a position in bytes"},
		{"attach md --as consumer --from resume", "--from resume needs the --name"},
		{"attach a b --as producer", `a producer takes one ring, "b" is too much`},
		{"attach a b a --as consumer", "ring a is named twice"},
		{"attach md --as producer --tag 1,2", "--tag 1,2: a producer gives all its records one tag"},
		{"attach md --as consumer --tag 65536", "expected tags from 0 to 65535 with commas in between"},
		{"attach md --as consumer --on-full drop", "--on-full is for a producer"},
		{"attach md --as consumer --end", "--end is for a producer"},
		{"attach md --as producer --from oldest", "--from is for a consumer"},
		{"attach md --as producer --policy skip", "--policy is for a consumer"},
		{"attach md --as producer --until-end", "--until-end is for a consumer"},
		{"attach md --as consumer --count 0", "--count 0: want 1 or more"},
		{"attach md --as consumer --count -1", `invalid argument "-1" for --count: expected a whole number, 1 or more`},
		{"attach md --as consumer --wait-for -1s", "--wait-for -1s: want 0 or more"},
		{"detach", "ID is missing"},
		{"links md", `links: "md" is too much`},
		{"help nope", `unknown command "nope" for "brokerctl"`},
		{"help ring lst", `unknown command "lst" for "brokerctl ring", did you mean "list"?`},
		{"help status now", `unknown command "now" for "brokerctl status"`},
	} {
		got := brokerctl(t.Context(), "", append([]string{"--socket", "/nowhere/s"}, strings.Fields(tc.line)...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, tc.says) || got.stdout != "" {
			t.Errorf("%s: exit code %d, %q; want 2 and %q", tc.line, got.code, got.stderr, tc.says)
		}
		if !strings.HasPrefix(got.stderr, "brokerctl: ") || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: %q is not one line", tc.line, got.stderr)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, line := range []string{
		"ring list", "ring create md", "ring show md", "ring rm md", "attachments", "detach md/c0.1", "stats",
		"stats --watch", "links", "links --watch", "status", "status --wait-for 10ms", "reload", "gc", "gc --dry-run", "attach md --as consumer", "attach md --as producer --wait-for 10ms",
	} {
		waited := strings.Contains(line, "--wait-for 10ms")
		got := brokerctl(t.Context(), "", append([]string{"--socket", "/nowhere/s"}, strings.Fields(line)...)...)
		if got.code != exitUnreachable || !strings.Contains(got.stderr, "/nowhere/s") || strings.Count(got.stderr, "\n") != 1 ||
			waited != strings.Contains(got.stderr, "waited 10ms") {
			t.Errorf("%s: exit code %d, %q", line, got.code, got.stderr)
		}
	}
}

// TestHelp wants every verb to say what it does at length and to give an example.
func TestHelp(t *testing.T) {
	root := newCLI(nil, nil, nil).rootCommand()
	ring, _, err := root.Find([]string{"ring"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range append(root.Commands(), ring.Commands()...) {
		got := brokerctl(t.Context(), "", append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if cmd.Long == "" || cmd.Example == "" || got.code != exitDone ||
			!strings.HasPrefix(got.stdout, cmd.Long) || !strings.Contains(got.stdout, cmd.Example) {
			t.Errorf("%s --help: exit code %d\n%s", cmd.CommandPath(), got.code, got.stdout)
		}
	}
}

// TestHelpVerb is the same text as --help.
func TestHelpVerb(t *testing.T) {
	for _, verb := range []string{"", "ring", "ring create", "links"} {
		a := brokerctl(t.Context(), "", append([]string{"help"}, strings.Fields(verb)...)...)
		b := brokerctl(t.Context(), "", append(strings.Fields(verb), "--help")...)
		if a != b || a.code != exitDone || a.stdout == "" {
			t.Errorf("help %s: %+v, want %+v", verb, a, b)
		}
	}
}

// TestDefaultsInHelp looks for flags that show a default which is none.
func TestDefaultsInHelp(t *testing.T) {
	for verb, wrong := range map[string]string{"ring create": "0B", "attach": "default ring's"} {
		if got := brokerctl(t.Context(), "", append(strings.Fields(verb), "--help")...); strings.Contains(got.stdout, wrong) {
			t.Errorf("%s --help shows %s:\n%s", verb, wrong, got.stdout)
		}
	}
}

// TestAttachLimits meets the limits and what comes after them.
func TestAttachLimits(t *testing.T) {
	rings := make([]string, client.PollerConsumersMax)
	for i := range rings {
		rings[i] = fmt.Sprint("r", i)
	}
	if err := checkRings(rings); err != nil {
		t.Error(err)
	}
	if err := checkRings(append(rings, "more")); err == nil || !strings.Contains(err.Error(), "129 rings: want at most 128") {
		t.Errorf("one more: got %v", err)
	}
	var tags tagsFlag
	for tag := range client.TagsMax {
		if err := tags.Set(fmt.Sprint(tag, ",", tag)); err != nil {
			t.Fatalf("tag %d: %v", tag, err)
		}
	}
	if err := tags.Set("65535"); err == nil || !strings.Contains(err.Error(), "at most 64 tags") {
		t.Errorf("one more: got %v", err)
	}
}
