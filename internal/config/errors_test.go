package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"brokerd/internal/config"
)

// badFiles are texts and the errors they give, without "brokerd.yaml:".
func badFiles() map[string][]string {
	const principal = "expected a name, or a number from 0 to 4294967294 without leading zeros"
	const mode = "expected an octal mode with a leading zero, such as 0660, that lets the owner read and write"
	return map[string][]string{
		// Keys
		"log:\n  levle: info\n":            {`2: log.levle: unknown key (did you mean "level"?)`},
		"rings:\n- name: a\n  capcity: 1":  {`3: rings[0].capcity: unknown key (did you mean "capacity"?)`},
		"nothing_like_it: 1":               {`1: nothing_like_it: unknown key (expected one of dir, control, admin, limits, rings, gateway, feeds, log)`},
		"\"a\\nb\": 1":                     {`1: "a\nb": unknown key (expected one of dir, control, admin, limits, rings, gateway, feeds, log)`},
		"dir: /x\n\ndir: /y":               {`3: dir: duplicate key (first on line 1)`},
		"log: &l {level: info}\n<<: *l":    {`2: unknown key "<<": merging is not supported, write the keys out or alias a whole value`},
		"limits:\n  ? [a]\n  : b":          {`2: limits: got a list as a key, expected one of memory, rings, attachments, connections, per_uid`},
		"- a":                              {`1: got a list, expected a mapping with keys of dir, control, admin, limits, rings, gateway, feeds, log`},
		"\nlimits: 5":                      {`2: limits: got "5", expected a mapping with keys of memory, rings, attachments, connections, per_uid`},
		"rings:\n  a: b":                   {`1: rings: got a mapping, expected a list`},
		"rings:\n- a\n- name: b":           {`2: rings[0]: got "a", expected a mapping with keys of name, capacity, record_max, producers, consumers_max, timestamps, checksum, policy, demote_after, resume_for, allow`},
		"rings: &r [*r]":                   {`1: rings[0]: got a list, expected a mapping with keys of name, capacity, record_max, producers, consumers_max, timestamps, checksum, policy, demote_after, resume_for, allow`},
		"log: {level: !!binary aW5mbw==}":  {`1: log.level: got a value tagged "!!binary", expected debug, info, warn or error`},
		"log: {level: !mine info}":         {`1: log.level: got a value tagged "!mine", expected debug, info, warn or error`},
		"log:\n  level:\n  format: [json]": {`2: log.level: got nothing, expected debug, info, warn or error`, `3: log.format: got a list, expected console or json`},

		// Values
		"dir: shm":                  {`1: dir: got "shm", expected an absolute path of a folder, at most 3072 bytes (leave the key out for the default)`},
		"dir: /../":                 {`1: dir: got "/../", expected an absolute path of a folder, at most 3072 bytes (leave the key out for the default)`},
		"dir: \"/a\\nb\"":           {`1: dir: got "/a\nb", expected an absolute path of a folder, at most 3072 bytes (leave the key out for the default)`},
		"control: {socket: \"@a\"}": {`1: control.socket: got "@a", expected an absolute path of a socket (leave the key out for the default)`},
		"control: {mode: 660}":      {`1: control.mode: got "660", ` + mode},
		"control: {mode: 01777}":    {`1: control.mode: got "01777", ` + mode},
		"control: {mode: 0460}":     {`1: control.mode: got "0460", ` + mode},
		"control: {mode: \"\"}":     {`1: control.mode: got "", ` + mode},
		"control: {group: a:b}":     {`1: control.group: got "a:b", ` + principal + `, or "" for none`},
		"admin: {listen: 9464}":     {`1: admin.listen: got "9464", expected host:port such as 127.0.0.1:9464, or "" for no listener`},
		"admin: {listen: a:http}":   {`1: admin.listen: got "a:http", expected host:port such as 127.0.0.1:9464, or "" for no listener`},
		"admin: {listen: a:65536}":  {`1: admin.listen: got "a:65536", expected host:port such as 127.0.0.1:9464, or "" for no listener`},
		"limits: {memory: 16MB!}":   {`1: limits.memory: got "16MB!", expected a size from 64KiB to 16TiB, such as 1GiB`},
		"limits:\n  rings: 0\n  attachments: 65537\n  connections: 1_0": {
			`2: limits.rings: got "0", expected a whole number from 1 to 4096`,
			`3: limits.attachments: got "65537", expected a whole number from 1 to 65536`,
			`4: limits.connections: got "1_0", expected a whole number from 1 to 65536`},
		"limits:\n  per_uid:\n    memory: 0\n    attachments: 0\n    connections: 65537\n    rings: 1": {
			`3: limits.per_uid.memory: got "0", expected a size from 64KiB to 16TiB, such as 1GiB`,
			`4: limits.per_uid.attachments: got "0", expected a whole number from 1 to 65536`,
			`5: limits.per_uid.connections: got "65537", expected a whole number from 1 to 65536`,
			`6: limits.per_uid.rings: unknown key (expected one of memory, attachments, connections)`},
		"rings:\n- name: a\n  resume_for: 25h\n- name: b\n  resume_for: -1s\n- name: c\n  resume_for: 30": {
			`3: rings[0].resume_for: got "25h", expected a time from 0s (cursors end with their reader) to 24h, such as 30s`,
			`5: rings[1].resume_for: got "-1s", expected a time from 0s (cursors end with their reader) to 24h, such as 30s`,
			`7: rings[2].resume_for: got "30", expected a time from 0s (cursors end with their reader) to 24h, such as 30s`},
		"rings:\n- capacity: 64KiB": {`2: rings[0].name: got "", expected 1 to 64 of a-z A-Z 0-9 . _ - that start with a letter or digit`},
		"rings:\n-\n":               {`2: rings[0].name: got "", expected 1 to 64 of a-z A-Z 0-9 . _ - that start with a letter or digit`},
		"rings:\n- name: ../x\n  producers: two\n  consumers_max: 65\n  timestamps: yes\n  policy: drop\n  demote_after: 5": {
			`2: rings[0].name: got "../x", expected 1 to 64 of a-z A-Z 0-9 . _ - that start with a letter or digit`,
			`3: rings[0].producers: got "two", expected one or many`,
			`4: rings[0].consumers_max: got "65", expected a whole number from 1 to 64`,
			`5: rings[0].timestamps: got "yes", expected true or false`,
			`6: rings[0].policy: got "drop", expected block, demote, skip or latest`,
			`7: rings[0].demote_after: got "5", expected a time from 1ms to 1h, such as 500ms`},
		"rings:\n- name: a\n  capacity: 3MiB\n  record_max: 1MiB": {`3: rings[0].capacity: got 3MiB, expected a power of two from 64KiB to 2GiB, such as 16MiB`},
		// What depends on a value that is refused is not judged.
		"limits: {memory: 64KiB}\nrings:\n- name: a\n  capacity: 16MB\n  record_max: 100MiB": {
			`4: rings[0].capacity: got "16MB", expected a power of two from 64KiB to 2GiB, such as 16MiB`},
		"rings:\n- name: a\n  capacity: 0":    {`3: rings[0].capacity: got "0", expected a power of two from 64KiB to 2GiB, such as 16MiB`},
		"rings:\n- name: a\n  record_max: 0B": {`3: rings[0].record_max: got "0B", expected a size of at least 1B, such as 1MiB`},
		"rings:\n- name: a\n  record_max: 2MiB": {
			`3: rings[0].record_max: got 2MiB, expected 1B to 2097088B, which is an eighth of the capacity 16MiB less 64 bytes of overhead`},
		"rings:\n- name: a\n  allow:\n    produce:\n    gate:\n      users: [bob, -x, 007]\n      groups: [[a]]": {
			`4: rings[0].allow.produce: got nobody, expected users or groups (leave the key out for the daemon's user and root only)`,
			`6: rings[0].allow.gate.users[1]: got "-x", ` + principal,
			`6: rings[0].allow.gate.users[2]: got "007", ` + principal,
			`7: rings[0].allow.gate.groups[0]: got a list, ` + principal},

		// Values that do not go together
		"rings:\n- name: a\n- name: b\n- name: a\n": {`4: rings[2].name: got "a", expected a name of its own: rings[0] on line 2 has this one`},
		"limits:\n  memory: 31MiB\nrings:\n- name: a\n- name: b\n": {
			`3: rings: got capacities of 32MiB in sum, expected at most limits.memory, 31MiB; raise the limit or make rings smaller`},
		"limits:\n  rings: 1\nrings:\n- name: a\n- name: b\n": {`3: rings: got 2 rings, expected at most limits.rings, 1; raise the limit or remove rings`},

		// Text that is not YAML
		"dir: a: b":                            {`1: not valid YAML: mapping values are not allowed in this context`},
		"dir: /x\n\tlog: 1\n":                  {`2: not valid YAML: found a tab character that violates indentation`},
		"log:\n  level: info\n format: json\n": {`3: not valid YAML: did not find expected key, here or further down; check indentation, commas and brackets`},
		"dir: /x\nlog: {\n":                    {`3: not valid YAML: did not find expected node content, here or further down; check indentation, commas and brackets`},
		"dir: /x\nlog: *who\n":                 {`2: not valid YAML: unknown anchor 'who' referenced`},
		"dir: /x\n# \xff\n":                    {`2: not valid YAML: byte 0xff, expected UTF-8 text without control characters`},
		"dir: /x\n# \x00\n":                    {`2: not valid YAML: byte 0x00, expected UTF-8 text without control characters`},
		"dir: /x\r\n# \r-\n":                   {`2: not valid YAML: byte 0x0d, expected UTF-8 text without control characters`},
		"# \u0085\n":                           {`1: not valid YAML: byte 0xc2, expected UTF-8 text without control characters`},
		"# \u2028\n":                           {`1: not valid YAML: byte 0xe2, expected UTF-8 text without control characters`},
		"log: {}\n---\ndir: /x\n":              {`2: not valid YAML: a second document begins here, expected one`},
		"log: {}\n---\ndir: a: b\n":            {`3: not valid YAML: mapping values are not allowed in this context`},
	}
}

func TestBadFiles(t *testing.T) {
	for text, want := range badFiles() {
		c, err := config.Parse("brokerd.yaml", []byte(text))
		if err == nil {
			t.Errorf("%q is accepted: %+v", text, c)
			continue
		}
		full := "brokerd.yaml:" + strings.Join(want, "\nbrokerd.yaml:")
		if err.Error() != full {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, full)
		}
		if c != nil {
			t.Errorf("%q gives a configuration with its error", text)
		}
	}
}

func TestErrorsHaveTypes(t *testing.T) {
	for text, want := range map[string]error{
		"dri: /x": config.ErrUnknownKey, "dir: /x\ndir: /x": config.ErrDuplicateKey, "a: [": config.ErrSyntax,
	} {
		_, err := config.Parse("f", []byte(text))
		var place *config.FileError
		if !errors.Is(err, want) || !errors.As(err, &place) || place.File != "f" {
			t.Errorf("%q gives %v, which is not a *FileError of %v", text, err, want)
		}
	}
	_, err := config.Parse("f", []byte("\nlog: {level: x}"))
	var key *config.KeyError
	if !errors.As(err, &key) || *key != (config.KeyError{Key: "log.level", Got: `"x"`, Expected: "debug, info, warn or error"}) {
		t.Errorf("the KeyError of %v is %+v", err, key)
	}
}

func TestErrorsMax(t *testing.T) {
	for _, tt := range []struct{ keys, lines int }{{63, 63}, {64, 64}, {65, 65}, {500, 65}} {
		var text strings.Builder
		for i := range tt.keys {
			fmt.Fprintf(&text, "unknown%d: 1\n", i)
		}
		_, err := config.Parse("f", []byte(text.String()))
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != tt.lines {
			t.Errorf("%d errors give %d lines, want %d", tt.keys, len(lines), tt.lines)
		}
		if rest := "f: more errors than 64, the rest is not shown"; (lines[len(lines)-1] == rest) != (tt.keys > 64) {
			t.Errorf("%d errors end with %q", tt.keys, lines[len(lines)-1])
		}
	}
}

func TestMessagesAreClipped(t *testing.T) {
	long := strings.Repeat("é", 400) // as a key it must stay under 1 KiB, a rule of YAML
	for _, text := range []string{"log: {level: " + long + "}", long + ": 1", "rings: [{name: " + long + "}]"} {
		_, err := config.Parse("f", []byte(text))
		if err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), `é"... (800 bytes)`) {
			t.Errorf("a value of 800 bytes gives %v", err)
		}
	}
}

func TestSocketPathBytesMax(t *testing.T) {
	fits := "/" + strings.Repeat("s", 106)
	for _, tt := range []struct {
		path string
		ok   bool
	}{{fits, true}, {fits + "s", false}} {
		_, err := config.Parse("f", []byte("control: {socket: "+tt.path+"}"))
		c := config.Default()
		resolveErr := c.Resolve(config.Paths{Dir: "/dev/shm/x", Socket: tt.path})
		if tt.ok != (err == nil) || tt.ok != (resolveErr == nil) {
			t.Errorf("a path of %d bytes: Parse gives %v, Resolve gives %v", len(tt.path), err, resolveErr)
		}
		if tt.ok {
			continue
		}
		want := `control.socket: got a path of 108 bytes, "/` + strings.Repeat("s", 63) + `"... (108 bytes), ` +
			`expected at most 107 bytes, all that a Unix socket address holds; set control.socket to a shorter path`
		if err.Error() != "f:1: "+want || resolveErr.Error() != want {
			t.Errorf("got  %v\nand  %v\nwant %s", err, resolveErr, want)
		}
	}
}

func TestListLimits(t *testing.T) {
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	if _, err := config.Parse("f", []byte("rings: [{name: a, allow: {gate: {users: ["+list(256, "u")+"]}}}]")); err != nil {
		t.Errorf("256 users: %v", err)
	}
	_, err := config.Parse("f", []byte("rings: [{name: a, allow: {gate: {users: ["+list(257, "u")+"]}}}]"))
	if want := "f:1: rings[0].allow.gate.users: got 257 entries, expected at most 256 entries"; err == nil || err.Error() != want {
		t.Errorf("257 users: %v", err)
	}
	var rings strings.Builder
	for i := range 4096 {
		fmt.Fprintf(&rings, "- {name: r%d, capacity: 64KiB}\n", i)
	}
	if _, err := config.Parse("f", []byte("limits: {rings: 4096}\nrings:\n"+rings.String())); err != nil {
		t.Errorf("4096 rings: %v", err)
	}
	_, err = config.Parse("f", []byte("limits: {rings: 4096}\nrings:\n"+rings.String()+"- {name: a}\n"))
	if want := "f:2: rings: got 4097 entries, expected at most 4096 entries"; err == nil || err.Error() != want {
		t.Errorf("4097 rings: %v", err)
	}
}

func TestDirBytesMax(t *testing.T) {
	fits := "/" + strings.Repeat("d", 3071)
	if _, err := config.Parse("f", []byte("dir: "+fits)); err != nil {
		t.Errorf("3072 bytes: %v", err)
	}
	if _, err := config.Parse("f", []byte("dir: "+fits+"d")); err == nil {
		t.Error("3073 bytes are accepted")
	}
}
