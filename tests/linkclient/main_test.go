package linkclient

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &binaries)) }

const (
	host    = "exch-1" // what the daemon is called
	program = "quoter" // what the client is called

	ringBytes = 64 << 10
	rings     = `[{name: md, capacity: 64KiB, record_max: 1KiB, checksum: true}, {name: orders, capacity: 64KiB, record_max: 1KiB},
 {name: shared, capacity: 64KiB, record_max: 1KiB, producers: many}, {name: kept, capacity: 64KiB, record_max: 1KiB, resume_for: 30s}, {name: secret, capacity: 64KiB}]`
	// rightsFormat takes what is to be said of TLS.
	rightsFormat = `gateway:
  name: exch-1
  listen: 127.0.0.1:0
  tls: %s
  handshake_timeout: 1s
  export: [md, kept]
  peers:
    - {name: quoter, allow: {import: [orders, shared], gate: [md, kept]}}`
)

// stage is a daemon with a gateway, and how to reach it.
type stage struct {
	*harness.Daemon
	t       testing.TB
	address string
	pki     *harness.Authority // nil without TLS
	random  *rand.Rand
	seed    uint64
}

// newStage starts a daemon.
func newStage(t *testing.T, secure bool) stage {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skipf("needs python3 (make deps installs it from the Debian package python3): %v", err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := stage{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0))}
	p := harness.NewPlace(t, binaries, rings)
	tls := "off"
	if secure {
		s.pki = harness.NewAuthority(t, binaries)
		for _, name := range []string{host, program, "stranger"} {
			s.pki.Issue(name)
		}
		tls = s.pki.Keys(host)
	}
	p.Configure(rings, fmt.Sprintf(rightsFormat, tls))
	s.Daemon = p.Start()
	harness.Eventually(t, "the gateway listens", func() bool {
		s.address = s.links().Listen
		return s.address != ""
	})
	return s
}

// links is what the daemon tells of them.
func (s stage) links() (links client.Links) {
	s.t.Helper()
	s.Object(&links, "links")
	return links
}

// python prepares the client, called program, for one of its verbs.
func (s stage) python(args ...string) *exec.Cmd {
	cmd := exec.Command("python3", append([]string{"-B", "src/main.py"}, args...)...)
	cmd.Args = append(cmd.Args, "--address", s.address, "--name", program, "--seed", fmt.Sprint(s.seed%1_000_000))
	if s.pki != nil {
		cmd.Args = append(cmd.Args, s.as(program)...)
	}
	return cmd
}

// as are the arguments for whom a certificate was issued to.
func (s stage) as(name string) []string {
	return append(s.pki.Files(name).Flags(), "--server-name", host)
}

// lines are records as text, no two the same, of all lengths up to 200.
func (s stage) lines(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%06d %s", i, strings.Repeat("x", s.random.IntN(194)))
	}
	return list
}

// bothWays runs a test over plain TCP and over TLS.
func bothWays(t *testing.T, run func(t *testing.T, s stage)) {
	for _, secure := range []bool{false, true} {
		name := "plain"
		if secure {
			name = "tls"
		}
		t.Run(name, func(t *testing.T) { run(t, newStage(t, secure)) })
	}
}
