package configs_test

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"brokerd/configs"
	"brokerd/internal/config"
)

// The text says what the code does: a default changed in one place only fails here.
func TestDefaultEqualsTheCode(t *testing.T) {
	got, err := config.Parse("brokerd.yaml", configs.Default())
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("brokerd.yaml means\n%+v\nconfig.Default is\n%+v", got, want)
	}
}

func TestDefaultIsTheFile(t *testing.T) {
	file, err := os.ReadFile("brokerd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(configs.Default(), file) {
		t.Error("the embedded text is not brokerd.yaml")
	}
	first := configs.Default()
	first[0] ^= 0xff
	if !bytes.Equal(configs.Default(), file) {
		t.Error("a caller can change the embedded text")
	}
}

// Whoever uncomments the examples gets a file that works.
func TestExamplesInTheCommentsWork(t *testing.T) {
	examples := []string{"# dir: /dev/shm/brokerd", "  # socket: /run/brokerd/control.sock", "    # record_max: 1MiB",
		"  # per_uid:", "  #   memory: 256MiB", "  #   attachments: 256", "  #   connections: 64",
		"    # allow:", "    #   produce:", "    #     users: [feedhandler]", "    #   consume:",
		"    #     groups: [trading, 2001]", "    #   gate:", "    #     users: [recorder]",
		"  # - name: orders", "  #   capacity: 4MiB", "  #   policy: block",
		"  # tls:", "  #   cert: /etc/brokerd/pki/a.example.pem", "  #   key: /etc/brokerd/pki/a.example-key.pem", "  #   ca: /etc/brokerd/pki/ca.pem",
		"  # peers:", "  #   - name: b.example", "  #     address: b.example:9465", "  #     mirror:", "  #       - fills",
		"  #       - ring: md", "  #         as: md-b", "  #         allow:", "  #           consume:", "  #             groups: [trading]",
		"  #     allow:", "  #       export: [md]", "  #       import: [orders]", "  #       gate: [md]",
		"# feeds:", "#   - name: exchange", "#     ring: md", "#     connect: feed.example:5001", "#     direction: in", "#     framing: line"}
	text := configs.Default()
	for _, line := range examples {
		plain := bytes.Replace([]byte(line), []byte("# "), nil, 1)
		if bytes.Count(text, []byte("\n"+line+"\n")) != 1 {
			t.Fatalf("brokerd.yaml does not have the line %q once", line)
		}
		text = bytes.Replace(text, []byte("\n"+line+"\n"), append(append([]byte("\n"), plain...), '\n'), 1)
	}
	c, err := config.Parse("brokerd.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Gateway.Peers) != 1 || len(c.Gateway.Peers[0].Mirror) != 2 || c.Gateway.Peers[0].Mirror[1].As != "md-b" ||
		!reflect.DeepEqual(c.Gateway.Peers[0].Allow.Import, []string{"orders"}) || c.Gateway.TLS.Key != "/etc/brokerd/pki/a.example-key.pem" ||
		len(c.Feeds) != 1 || c.Feeds[0].Ring != "md" {
		t.Errorf("the examples of the gateway mean %+v and %+v", c.Gateway, c.Feeds)
	}
	if len(c.Rings) != 2 || c.Rings[1].Policy != config.PolicyBlock || c.Dir != "/dev/shm/brokerd" ||
		c.Control.Socket != "/run/brokerd/control.sock" ||
		c.Limits.PerUID != (config.PerUID{Memory: 256 << 20, Attachments: 256, Connections: 64}) ||
		!reflect.DeepEqual(c.Rings[0].Allow.Consume.Groups, []string{"trading", "2001"}) {
		t.Errorf("the examples mean %+v", c)
	}
}
