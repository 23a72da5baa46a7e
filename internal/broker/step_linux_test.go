//go:build ringstep

package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/stepping"
	"brokerd/internal/wire"
)

// A daemon that dies, or is stopped, between every two of its stores to the memory of
// its rings, within what it does for others; the next daemon puts right what it left.

// stepProcess runs this program as such a daemon, if it is to be one.
func stepProcess() bool {
	args := os.Getenv(stepping.Env)
	if args == "" {
		return false
	}
	if err := stepping.Main(strings.Fields(args), stepOps(nil), stepping.Hooks{Arm: shmring.ArmSteps, Disarm: shmring.DisarmSteps}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func TestSteps(t *testing.T) {
	ghost := startChild(t)
	_ = ghost.cmd.Process.Kill()
	_ = ghost.cmd.Wait()
	stepping.Test(t, stepOps(ghost.handle))
}

// stepDaemon is the daemon that is stopped.
type stepDaemon struct {
	dir    string
	b      *Broker
	parent *process.Handle
}

func (d *stepDaemon) open() (err error) {
	d.b, err = stepOpen(d.dir)
	return err
}

// daemonOp is what it does: open, the adoption, or run on what it has adopted.
func daemonOp(name string, part stepWorld, run func(d *stepDaemon) error) stepping.Op {
	return stepping.Op{
		Name: "brokerd: " + name,
		Part: func() stepping.Part { w := part; return &w },
		Child: func(c *stepping.Child) (func() error, error) {
			d := &stepDaemon{dir: c.Dir}
			c.After = func([]uint64) ([]uint64, error) { return nil, errors.Join(d.b.Close(), d.parent.Close()) }
			var err error
			if d.parent, err = process.Open(os.Getppid()); err != nil || run == nil {
				return d.open, err
			}
			return func() error { return run(d) }, d.open()
		},
	}
}

func stepOps(ghost *process.Handle) []stepping.Op {
	attach := func(q func(h *process.Handle) AttachRequest) func(*stepDaemon) error {
		return func(d *stepDaemon) error {
			l, err := d.b.Attach(q(d.parent))
			closeFiles(l.Files)
			return err
		}
	}
	detach := func(id string) func(*stepDaemon) error {
		return func(d *stepDaemon) error {
			return d.b.Detach(id, func(wire.Attachment, uint64) error { return nil })
		}
	}
	return []stepping.Op{
		daemonOp("adopts rings, of living and dead", stepWorld{ghost: ghost, setup: (*stepWorld).dying, after: (*stepWorld).adopted, cursor: true}, nil),
		daemonOp("adopts a ring of a dead gateway", stepWorld{setup: (*stepWorld).gateway, after: (*stepWorld).gatewayGone}, nil),
		daemonOp("attaches a producer", stepWorld{after: (*stepWorld).newProducer}, attach(stepProducing)),
		daemonOp("attaches a reader", stepWorld{after: (*stepWorld).newReader}, attach(stepReading)),
		daemonOp("lends a cursor", stepWorld{ghost: ghost, setup: (*stepWorld).leavesCursor, after: (*stepWorld).resumes, cursor: true}, attach(stepResuming)),
		daemonOp("detaches a reader", stepWorld{setup: (*stepWorld).secondReader, after: (*stepWorld).freed}, detach("md/c1.1")),
		daemonOp("detaches a producer with a claim", stepWorld{setup: (*stepWorld).secondProducer, after: (*stepWorld).repaired}, detach("md/p1.1")),
		daemonOp("evicts a reader", stepWorld{setup: (*stepWorld).secondReader, after: (*stepWorld).freed},
			func(d *stepDaemon) error { return d.b.Evict("md/c1.1", "because") }),
		daemonOp("buries a process", stepWorld{mortal: true, setup: (*stepWorld).dying, after: (*stepWorld).adopted, cursor: true},
			func(d *stepDaemon) error { d.b.sweep(); return nil }),
		daemonOp("removes a ring", stepWorld{after: (*stepWorld).removed}, func(d *stepDaemon) error { return d.b.RemoveRing("md", true) }),
	}
}

// What the daemon is asked for, always in the name of the test's own process.
func stepProducing(h *process.Handle) AttachRequest {
	q := producing(h)
	q.In.Token = "new"
	return q
}

func stepReading(h *process.Handle) AttachRequest {
	q := named(7, h, "")
	q.In.Token = "new"
	return q
}

func stepResuming(h *process.Handle) AttachRequest {
	q := resuming(7, h, "risk")
	q.In.Token = "new"
	return q
}
