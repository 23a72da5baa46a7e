package linkclient

import (
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// misbehaviour is what the client does, and what both sides have to be told.
type misbehaviour struct {
	name string
	args []string
	told string // on the client's side: exit code 3 and these words, or just these words
	// reason and words are what the daemon counts and logs.
	reason, words string
}

// hostile are for plain connections and for those with TLS.
var hostile = []misbehaviour{
	{"future", nil, "close version", "version", "speaks versions 2 to 3"},
	{"magic", nil, "close protocol", "protocol", "BRKDLINK"},
	{"huge-control", nil, "close protocol", "protocol", "hello of 2147483648 bytes"},
	{"huge-data", nil, "close protocol", "protocol", "data of 4294967280 bytes"},
	{"early", nil, "close protocol", "protocol", "open before this side said welcome"},
	{"hello-twice", nil, "close protocol", "protocol", "comes once"},
	{"checksum", nil, "close checksum", "checksum", "hello frame of stream 0"},
	{"unknown-stream", nil, "close protocol", "protocol", "stream 7"},
	{"same-number", []string{"--ring", "md"}, "close protocol", "protocol", "stream 1, which is in use"},
	{"no-such-ring", nil, "end denied", "denied", "no-such-ring"},
	{"not-allowed", []string{"--ring", "md"}, "end denied", "denied", "allow.import"},
	{"data-checksum", []string{"--ring", "shared"}, "close checksum", "checksum", "data frame of stream 1"},
	{"wrong-position", []string{"--ring", "shared"}, "close position", "position", "at position 16, record 0"},
	{"wrong-epoch", []string{"--ring", "shared"}, "close position", "position", "of epoch"},
	{"past-the-limit", []string{"--ring", "shared"}, "close protocol", "protocol", "beyond the limit"},
	{"no-records", []string{"--ring", "shared"}, "end corrupt", "corrupt", "not where a part starts"},
	{"miscounted", []string{"--ring", "shared"}, "end corrupt", "corrupt", "holds 1 records, not 2"},
	{"too-long-record", []string{"--ring", "shared"}, "end corrupt", "corrupt", "record of 1025 bytes"},
	{"without-credit", []string{"--ring", "md"}, "close protocol", "protocol", "which this side does not receive"},
	{"ack-of-nothing", []string{"--ring", "md"}, "close position", "position", "ack of stream 1"},
	{"gap-of-a-producer", []string{"--ring", "shared"}, "end corrupt", "corrupt", "a producer has none"},
	{"no-session", []string{"--ring", "shared"}, "end protocol", "protocol", "without a session"},
	{"two-streams-of-a-session", []string{"--ring", "shared"}, "end busy", "busy", "algo"},
	{"drip", nil, "ended", "timeout", "in time: 1s"},
	{"silence", nil, "ended", "timeout", "in time: 1s"},
}

// hostileTLS are for a port with TLS.
var hostileTLS = []misbehaviour{
	{"plain", nil, "close protocol", "not_tls", "TLS"},
	{"plain-garbage", nil, "close protocol", "not_tls", "TLS"},
	{"no-certificate", nil, "ended", "no_certificate", "certificate"},
}

// TestHostile has the client misbehave in each way. Both sides learn why they
// parted, and whoever behaves is not disturbed.
func TestHostile(t *testing.T) {
	bothWays(t, func(t *testing.T, s stage) {
		bystander := harness.Launch(t, s.python("read", "--ring", "md", "--from", "latest", "--count", "1"))
		bystander.WaitSaid("attached\n")
		for _, m := range hostile {
			s.misbehave(t, m, s.python(append([]string{"hostile", m.name}, m.args...)...))
		}
		t.Run("too-many-streams", func(t *testing.T) {
			p := harness.Launch(t, s.python("hostile", "too-many-streams"))
			if p.Expect(3); !strings.Contains(p.Stderr.String(), "end denied") {
				t.Errorf("it said %q", p.Stderr)
			}
		})
		if s.pki == nil {
			s.misbehave(t, misbehaviour{"garbage", nil, "close protocol", "protocol", "kind 47"}, s.python("hostile", "garbage"))
		}
		if s.pki != nil {
			for _, m := range hostileTLS {
				s.misbehave(t, m, s.python("hostile", m.name))
			}
			stranger := s.python("hostile", "hello-twice")
			stranger.Args = append(stranger.Args, s.as("stranger")...)
			s.misbehave(t, misbehaviour{"stranger", nil, "close identity", "identity", "(stranger)"}, stranger)
		}
		s.Publish("md", "all is well\n")
		bystander.Expect(0)
	})
}

// misbehave runs cmd and looks at what both sides say.
func (s stage) misbehave(t *testing.T, m misbehaviour, cmd *exec.Cmd) {
	t.Run(m.name, func(t *testing.T) {
		before := refused(s.links(), m.reason)
		p := harness.Launch(t, cmd)
		code := p.Wait()
		said := p.Stdout.String() + p.Stderr.String()
		if !strings.Contains(said, m.told) || strings.HasPrefix(m.told, "close") != (code == 3) && !strings.HasPrefix(m.told, "end") {
			t.Errorf("exit code %d, and it said %q; want %q", code, said, m.told)
		}
		var now client.LinkRefusal
		harness.Eventually(t, "the refusal is counted for "+m.reason, func() bool {
			now = refused(s.links(), m.reason)
			return now.Count > before.Count
		})
		if now.Count != before.Count+1 || !strings.Contains(now.Last, m.words) || !strings.Contains(now.Last, "127.0.0.1:") {
			t.Errorf("brokerctl links: %+v, before %+v; want %q", now, before, m.words)
		}
		if log := s.Stderr.String(); before.Count == 0 && !strings.Contains(log, m.words) {
			t.Errorf("the log does not say %q", m.words)
		}
	})
}

// refused is the count of one reason.
func refused(links client.Links, reason string) client.LinkRefusal {
	for _, r := range links.Refusals {
		if r.Reason == reason {
			return r
		}
	}
	return client.LinkRefusal{}
}
