package config_test

import (
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"brokerd/internal/config"
)

// The reference has one row for each key that the daemon prints, and a row for
// no other, with the default that the code has.
func TestReferenceHasEveryKey(t *testing.T) {
	c := config.Default()
	c.Limits.PerUID = config.PerUID{Memory: config.MemoryBytesMin, Attachments: 1, Connections: 1}
	someone := &config.Principals{Users: []string{"a"}}
	c.Rings[0].Allow = config.Allow{Produce: someone, Consume: someone, Gate: someone}
	peer := mustParse(t, "gateway: {tls: off, peers: [{name: b, address: \"b:1\", mirror: [md]}]}").Gateway.Peers[0]
	files := config.TLS{Cert: "/c", Key: "/k", CA: "/a"}
	peer.TLS = files
	peer.Mirror[0].Allow = config.Allow{Consume: someone, Gate: someone}
	c.Gateway.TLS, c.Gateway.Peers = files, []config.Peer{peer}
	c.Feeds = mustParse(t, "rings: [{name: md}]\nfeeds: [{name: f, ring: md, connect: \"b:1\", direction: in, framing: fix}]").Feeds
	c.Feeds[0].Listen = ":1" // printed, though a file may not have both
	out, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(out, &root); err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	leaves(root.Content[0], "", keys)

	page, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, " | "); len(cells) == 4 && strings.HasPrefix(line, "| `") {
			rows[strings.Trim(cells[0], "| `")] = cells
		}
	}
	given := []string{"gateway.peers[].name", "gateway.peers[].address", "gateway.peers[].mirror[].ring", "gateway.peers[].mirror[].as",
		"feeds[].name", "feeds[].ring", "feeds[].connect", "feeds[].listen", "feeds[].direction", "feeds[].framing"}
	for _, at := range []string{"gateway.tls.", "gateway.peers[].tls."} {
		given = append(given, at+"cert", at+"key", at+"ca")
	}
	prose := map[string]bool{"dir": true, "control.socket": true, "rings[].name": true, "rings[].record_max": true,
		"limits.per_uid.memory": true, "limits.per_uid.attachments": true, "limits.per_uid.connections": true}
	for _, key := range given {
		prose[key] = true
	}
	for key, value := range keys {
		cells, ok := rows[key]
		if !ok {
			t.Errorf("docs/CONFIGURATION.md has no row for %s", key)
			continue
		}
		shown := strings.Trim(cells[2], "`\"")
		if value != "(section)" && !prose[key] && shown != value {
			t.Errorf("docs/CONFIGURATION.md gives %s the default %s, the code has %q", key, cells[2], value)
		}
		delete(rows, key)
	}
	for _, section := range []string{"rings[].allow", "gateway.tls", "gateway.peers", "gateway.peers[].tls", "gateway.peers[].mirror"} {
		delete(rows, section) // its parts have rows of their own
	}
	for key := range rows {
		t.Errorf("docs/CONFIGURATION.md has a row for %s, which is no key", key)
	}
}

// leaves gathers the keys below n with their values; lists of words, and the
// rights of a ring, whose values are such lists, count as leaves.
func leaves(n *yaml.Node, path string, out map[string]string) {
	switch {
	case n.Kind == yaml.SequenceNode && (len(n.Content) == 0 || n.Content[0].Kind == yaml.ScalarNode):
		out[path] = "[]"
	case n.Kind == yaml.SequenceNode:
		leaves(n.Content[0], path+"[]", out)
	case strings.HasPrefix(path, "rings[].allow."), strings.HasPrefix(path, "gateway.peers[].mirror[].allow."):
		out[path] = "(section)"
	case n.Kind == yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			leaves(n.Content[i+1], strings.TrimPrefix(path+"."+n.Content[i].Value, "."), out)
		}
	default:
		out[path] = n.Value
	}
}

// The example of an error is one that the daemon really gives.
func TestReferenceShowsRealErrors(t *testing.T) {
	page, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("\n", 9) + "rings:\n- name: md\n  capcity: 1\n\n  record_max: 4MiB\n"
	_, err = config.Parse("/etc/brokerd/brokerd.yaml", []byte(text))
	if err == nil {
		t.Fatal("the example is accepted")
	}
	for line := range strings.Lines(err.Error() + "\n") {
		if !strings.Contains(string(page), "      "+line) {
			t.Errorf("docs/CONFIGURATION.md does not show the error %s", line)
		}
	}
}
