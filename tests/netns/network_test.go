package netns

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// network is a bridge with some hosts, each a network namespace.
type network struct {
	t      *testing.T
	prefix string // of names: those of interfaces have at most 15 bytes
	hosts  []string
}

// newNetwork makes hosts 10.77.0.1, 10.77.0.2 and so on, which die with the test.
func newNetwork(t *testing.T, hosts int) *network {
	t.Helper()
	harness.NeedRoot(t, "to make network namespaces")
	harness.Tool(t, "ip", "iproute2")
	harness.Tool(t, "nft", "nftables")
	n := &network{t: t, prefix: fmt.Sprintf("bt%x%s", os.Getpid()&0xFFFF, suffixes.take())}
	bridge := n.prefix + "br"
	t.Cleanup(func() {
		for _, ns := range append(n.hosts, bridge) {
			_ = exec.Command("ip", "netns", "del", ns).Run() // its interfaces go with it
		}
	})
	n.ip("netns", "add", bridge)
	n.ip("-n", bridge, "link", "add", "br0", "type", "bridge")
	n.ip("-n", bridge, "link", "set", "br0", "up")
	for i := range hosts {
		ns := fmt.Sprintf("%s%d", n.prefix, i+1)
		n.hosts = append(n.hosts, ns)
		n.ip("netns", "add", ns)
		n.ip("-n", ns, "link", "set", "lo", "up")
		n.ip("-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", fmt.Sprintf("v%d", i+1), "netns", bridge)
		n.ip("-n", bridge, "link", "set", fmt.Sprintf("v%d", i+1), "master", "br0", "up")
		n.ip("-n", ns, "address", "add", n.address(i)+"/24", "dev", "eth0")
		n.ip("-n", ns, "link", "set", "eth0", "up")
	}
	return n
}

func (n *network) address(host int) string { return fmt.Sprintf("10.77.0.%d", host+1) }

func (n *network) ip(args ...string) { n.run("ip", args...) }

func (n *network) run(program string, args ...string) {
	n.t.Helper()
	if text, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, text)
	}
}

// filter puts a rule for all TCP packets that arrive at a host; "" for none.
func (n *network) filter(host int, rule string) {
	n.t.Helper()
	rules := "add table inet faults\nflush table inet faults\n" +
		"add chain inet faults in { type filter hook input priority 0; }\n"
	if rule != "" {
		rules += "add rule inet faults in iifname eth0 meta l4proto tcp " + rule + "\n"
	}
	cmd := exec.Command("ip", "netns", "exec", n.hosts[host], "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if text, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nft at host %d: %v: %s", host, err, text)
	}
}

// partition drops everything to and from a host for a while.
func (n *network) partition(host int, d time.Duration) {
	for h := range n.hosts {
		rule := "drop"
		if h != host {
			rule = "ip saddr " + n.address(host) + " drop"
		}
		n.filter(h, rule)
	}
	time.Sleep(d)
	n.heal()
}

// reset answers what arrives at a host with RST, for a moment.
func (n *network) reset(host int) {
	n.filter(host, "reject with tcp reset")
	time.Sleep(15 * time.Millisecond)
	n.filter(host, "")
}

func (n *network) heal() {
	for h := range n.hosts {
		n.filter(h, "")
	}
}
