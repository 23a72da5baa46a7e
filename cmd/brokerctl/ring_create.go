package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brokerd/client"
)

// capacityDefault is that of ring create, bytes.
const capacityDefault = 16 << 20

// ringFlags are the words of a ring in the configuration file, as flags.
type ringFlags struct {
	capacity     size
	recordMax    size
	producers    choice
	consumersMax int
	timestamps   bool
	checksum     bool
	policy       choice
	demoteAfter  time.Duration
	resumeFor    time.Duration
	produce      principals
	consume      principals
	gate         principals
}

// principals are the users and groups of one right.
type principals struct{ users, groups []string }

const ringCreateLong = `Create a ring. The flags are the words of the configuration file; what is left
out takes the default given there, and what is refused is refused by the daemon,
which names the key and what it expected. The ring lives until ring rm: it
survives the daemon, but not the host.

Without an --allow flag only the daemon's user and root may attach.`

func (c *cli) ringCreateCommand() *cobra.Command {
	f := newRingFlags()
	cmd := &cobra.Command{
		Use:        "create NAME",
		Short:      "Create a ring",
		Long:       ringCreateLong,
		SuggestFor: []string{"add", "new", "make"},
		Example: `  brokerctl ring create md
  brokerctl ring create md --capacity 64MiB --record-max 1MiB --policy block
  brokerctl ring create fills --producers many --checksum --resume-for 30s
  brokerctl ring create md --allow-produce-users feed --allow-consume-groups trading,1002`,
		Args: args("NAME"),
		RunE: func(cmd *cobra.Command, given []string) error {
			spec := f.spec(given[0], cmd.Flags())
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				ring, err := conn.CreateRing(ctx, spec)
				if err != nil {
					return err
				}
				return c.print(map[string]client.Ring{"ring": ring}, func(t *table) {
					t.row(fmt.Sprintf("%s created: %s, records up to %d bytes, policy %s",
						ring.Name, formatSize(ring.Capacity), ring.RecordMax, ring.Policy))
				})
			})
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func newRingFlags() *ringFlags {
	return &ringFlags{capacity: capacityDefault, producers: optionalChoice("one", "many"), policy: policyChoice()}
}

func (f *ringFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.Var(&f.capacity, "capacity", "bytes of the ring, a power of two")
	flags.Var(&f.recordMax, "record-max", "bytes of the longest record (default capacity/16)")
	flags.Lookup("record-max").DefValue = "" // the daemon's, and not 0
	flags.Var(&f.producers, "producers", "how many processes may publish at a time: "+f.producers.list()+" (default one)")
	flags.IntVar(&f.consumersMax, "consumers-max", 0, "how many readers may be attached (default 16)")
	flags.BoolVar(&f.timestamps, "timestamps", true, "note when each record was published")
	flags.BoolVar(&f.checksum, "checksum", false, "give each record a CRC32C that readers check")
	flags.Var(&f.policy, "policy", "of readers that ask for none: "+f.policy.list()+" (default demote)")
	flags.DurationVar(&f.demoteAfter, "demote-after", 0, "how long a demote reader may hold the producer (default 1s)")
	flags.DurationVar(&f.resumeFor, "resume-for", 0, "how long the cursor of a named reader outlives it (default not at all)")
	f.produce.register(flags, "produce", "publish")
	f.consume.register(flags, "consume", "read")
	f.gate.register(flags, "gate", "hold the producer for ever (policy block)")
}

func (p *principals) register(flags *pflag.FlagSet, right, what string) {
	flags.StringSliceVar(&p.users, "allow-"+right+"-users", nil, "users who may "+what+", by name or number")
	flags.StringSliceVar(&p.groups, "allow-"+right+"-groups", nil, "groups that may "+what+", by name or number")
}

// spec leaves out whatever was not given.
func (f *ringFlags) spec(name string, flags *pflag.FlagSet) client.RingSpec {
	spec := client.RingSpec{
		Name:      name,
		Capacity:  uint64(f.capacity),
		Producers: client.Producers(f.producers.value),
		Checksum:  f.checksum,
		Policy:    client.Policy(f.policy.value),
	}
	if flags.Changed("record-max") {
		bytes := uint64(f.recordMax)
		spec.RecordMax = &bytes
	}
	if flags.Changed("consumers-max") {
		spec.ConsumersMax = &f.consumersMax
	}
	if flags.Changed("timestamps") {
		spec.Timestamps = &f.timestamps
	}
	if flags.Changed("demote-after") {
		ns := f.demoteAfter.Nanoseconds()
		spec.DemoteAfterNS = &ns
	}
	if flags.Changed("resume-for") {
		ns := f.resumeFor.Nanoseconds()
		spec.ResumeForNS = &ns
	}
	allow := client.Allow{Produce: f.produce.given(), Consume: f.consume.given(), Gate: f.gate.given()}
	if allow != (client.Allow{}) {
		spec.Allow = &allow
	}
	return spec
}

func (p principals) given() *client.Principals {
	if p.users == nil && p.groups == nil {
		return nil
	}
	return &client.Principals{Users: p.users, Groups: p.groups}
}
