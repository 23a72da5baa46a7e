package hostile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"brokerd/client"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// Users and groups of the table of rights.
const (
	nobodyUID   = 912020 // no rule names it
	readerUID   = 912021 // allow.consume
	gaterUID    = 912022 // allow.consume and allow.gate
	writerUID   = 912023 // allow.produce
	memberUID   = 912024 // in a group that allow.consume names
	adminUID    = 912025 // in control.admin_group
	memberGroup = 912030
	adminGroup  = 912031
)

const tableRing = `{name: md, capacity: 64KiB, producers: many, consumers_max: 32, allow: {
  consume: {users: [912021, 912022], groups: ["912030"]}, gate: {users: [912022]}, produce: {users: [912023]}}}`

// question is one thing to ask for.
type question struct {
	name   string
	method string
	in     any
}

// questions are every method of the interface, with what its rights hang on.
// OTHER stands for the attachment of root.
var questions = []question{
	{"status", wire.MethodGetStatus, struct{}{}},
	{"rings", wire.MethodListRings, struct{}{}},
	{"ring", wire.MethodDescribeRing, wire.DescribeRingIn{Name: "md"}},
	{"stats", wire.MethodStats, wire.StatsIn{}},
	{"attachments", wire.MethodListAttachments, wire.ListAttachmentsIn{}},
	{"links", wire.MethodListLinks, struct{}{}},
	{"consume", wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Policy: wire.PolicySkip}},
	{"gate", wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Policy: wire.PolicyBlock}},
	{"produce", wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleProducer}},
	{"detach another", wire.MethodDetach, wire.DetachIn{ID: "OTHER"}},
	{"create", wire.MethodCreateRing, wire.CreateRingIn{Ring: wire.RingSpec{Name: "new", Capacity: 65536}}},
	{"remove", wire.MethodRemoveRing, wire.RemoveRingIn{Name: "gone", Force: true}},
	{"collect garbage", wire.MethodCollectGarbage, wire.CollectGarbageIn{DryRun: true}},
	{"reload", wire.MethodReload, struct{}{}},
}

// askers are who asks, and what of questions they may have besides what everybody
// may.
var askers = []struct {
	name   string
	uid    uint32
	groups []uint32
	may    []string
}{
	{"uid that no rule names", nobodyUID, nil, nil},
	{"allow.consume", readerUID, nil, []string{"consume"}},
	{"allow.consume and allow.gate", gaterUID, nil, []string{"consume", "gate"}},
	{"allow.produce", writerUID, nil, []string{"produce"}},
	{"group in allow.consume", memberUID, []uint32{memberGroup}, []string{"consume"}},
	{"control.admin_group", adminUID, []uint32{adminGroup}, []string{"detach another", "create", "remove", "collect garbage", "reload"}},
	{"root", 0, nil, []string{"consume", "gate", "produce", "detach another", "create", "remove", "collect garbage", "reload"}},
}

// everybody may ask these.
var everybody = []string{"status", "rings", "ring", "stats", "attachments", "links"}

// askAll is a role. Arguments: socket, id of another's attachment. It asks every
// question, and prints the answers: "" or the name of the error.
func askAll(args []string) error {
	answers := map[string]string{}
	for _, q := range questions {
		raw, err := harness.DialRaw(args[0])
		if err != nil {
			return err
		}
		if q.name == "detach another" {
			q.in = wire.DetachIn{ID: args[1]}
		}
		files, err := raw.Call(q.method, q.in, nil)
		unixconn.CloseFiles(files)
		var refusal *wire.Error
		switch {
		case errors.As(err, &refusal):
			answers[q.name] = string(refusal.Name)
		case err != nil:
			return fmt.Errorf("%s: %w", q.name, err)
		default:
			answers[q.name] = ""
		}
		if err := raw.Close(); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// TestTableOfRights has every kind of user ask for everything.
func TestTableOfRights(t *testing.T) {
	harness.NeedRoot(t, "to ask as other users")
	p := harness.NewPlace(t, binaries, "["+tableRing+"]")
	text, err := os.ReadFile(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	p.Write(strings.Replace(string(text), "control:\n", fmt.Sprintf("control:\n  admin_group: %q\n", fmt.Sprint(adminGroup)), 1))
	p.Start()
	c := p.Dial()
	var described []string
	for _, q := range questions {
		described = append(described, q.method)
	}
	for _, method := range methods(t, p) {
		if !slices.Contains(described, method) {
			t.Errorf("nobody asks for %s", method)
		}
	}
	asked := 0
	for _, who := range askers {
		if _, err := c.CreateRing(harness.Bounded(t), client.RingSpec{Name: "gone", Capacity: 65536}); err != nil && !errors.Is(err, client.ErrRingExists) {
			t.Fatal(err)
		}
		other, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		asker := harness.Launch(t, inGroups(role(p, "asker", other.ID()), who.uid, who.groups))
		asker.Expect(0)
		var answers map[string]string
		lastLine(t, asker, &answers)
		for _, q := range questions {
			asked++
			want := ""
			if !slices.Contains(who.may, q.name) && !slices.Contains(everybody, q.name) {
				want = string(wire.ErrAccessDenied)
			}
			if got := answers[q.name]; got != want {
				t.Errorf("%s (uid %d), %s: %q, want %q", who.name, who.uid, q.name, got, want)
			}
		}
		_ = other.Close() // some have ended it
		if slices.Contains(who.may, "create") {
			if err := c.RemoveRing(harness.Bounded(t), "new", true); err != nil {
				t.Error(err)
			}
		}
	}
	fmt.Printf("counts: hostile: rights: %d kinds of users, %d questions, %d answers as the table says\n", len(askers), len(questions), asked)
}

// methods are those of the interface as the daemon describes it.
func methods(t *testing.T, p harness.Place) (list []string) {
	t.Helper()
	raw, err := harness.DialRaw(p.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var out struct{ Description string }
	if _, err := raw.Call(wire.MethodGetInterfaceDescription, map[string]string{"interface": wire.Interface}, &out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.Description) {
		if rest, ok := strings.CutPrefix(line, "method "); ok {
			name, _, _ := strings.Cut(rest, "(")
			list = append(list, wire.Interface+"."+strings.TrimSpace(name))
		}
	}
	if len(list) == 0 {
		t.Fatalf("no methods in %q", out.Description)
	}
	return list
}

// inGroups makes a program run as somebody else with supplementary groups; root
// stays who it is.
func inGroups(cmd *exec.Cmd, uid uint32, groups []uint32) *exec.Cmd {
	cmd.Dir = "/"
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
	}
	return cmd
}
