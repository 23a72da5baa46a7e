package main

import (
	"slices"
	"time"

	"github.com/spf13/pflag"

	"brokerd/client"
)

const (
	roleProducer = "producer"
	roleConsumer = "consumer"
)

// attachFlags are what attach can be told.
type attachFlags struct {
	as           choice
	name         string
	framing      choice
	from         startFlag
	policy       choice
	tags         tagsFlag
	waitStrategy choice
	waitFor      time.Duration
	count        uint64
	onFull       choice
	end          bool
	untilEnd     bool
}

func policyChoice() choice { return optionalChoice("block", "demote", "skip", "latest") }

func newAttachFlags() *attachFlags {
	return &attachFlags{
		as:           optionalChoice(roleProducer, roleConsumer),
		framing:      newChoice(string(framingLine), string(framingU32BE)),
		policy:       policyChoice(),
		waitStrategy: newChoice("auto", "spin", "yield", "park"),
		onFull:       newChoice("block", "drop", "fail"),
	}
}

func (f *attachFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.Var(&f.as, "as", f.as.list())
	flags.StringVar(&f.name, "name", "", "label that attachments are listed with, at most 64 of [a-zA-Z0-9._-]")
	flags.Var(&f.framing, "framing", "how records are told apart: "+f.framing.list())
	flags.Var(&f.waitStrategy, "wait-strategy", "how to wait for the other side: "+f.waitStrategy.list())
	flags.DurationVar(&f.waitFor, "wait-for", 0, "how long to wait for the daemon to answer and the ring to exist")
	flags.Uint64Var(&f.count, "count", 0, "end after so many records; gaps and missed ones do not count")
	flags.Var(&f.tags, "tag", "producer: tag of its records; consumer: tags of those wanted, such as 1,2 (default all)")
	flags.Var(&f.from, "from", "consumer: where to begin, oldest, latest, resume or a position in bytes")
	flags.Var(&f.policy, "policy", "consumer: "+f.policy.list()+" (default the ring's)")
	flags.BoolVar(&f.untilEnd, "until-end", false, "consumer: end at an end record")
	flags.Var(&f.onFull, "on-full", "producer: what to do when a reader holds it: "+f.onFull.list())
	flags.BoolVar(&f.end, "end", false, "producer: publish an end record before detaching")
}

// check refuses what does not go together.
func (f *attachFlags) check(flags *pflag.FlagSet, rings []string) error {
	if f.as.value == "" {
		return usagef("attach: say --as producer or --as consumer")
	}
	other, foreign := roleConsumer, []string{"from", "policy", "until-end"}
	if f.as.value == roleConsumer {
		other, foreign = roleProducer, []string{"on-full", "end"}
	}
	for _, name := range foreign {
		if flags.Changed(name) {
			return usagef("attach: --%s is for a %s", name, other)
		}
	}
	if flags.Changed("count") && f.count == 0 {
		return usagef("attach: --count 0: want 1 or more")
	}
	if f.waitFor < 0 {
		return usagef("attach: --wait-for %v: want 0 or more", f.waitFor)
	}
	if f.from.start.Resumes() && f.name == "" {
		return usagef("attach: --from resume needs the --name under which the earlier reader was attached")
	}
	if f.as.value == roleProducer {
		return f.checkProducer(rings)
	}
	return checkRings(rings)
}

func (f *attachFlags) checkProducer(rings []string) error {
	if len(rings) > 1 {
		return usagef("attach: a producer takes one ring, %q is too much", rings[1])
	}
	if len(f.tags) > 1 {
		return usagef("attach: --tag %s: a producer gives all its records one tag", f.tags.String())
	}
	return nil
}

func checkRings(rings []string) error {
	if len(rings) > client.PollerConsumersMax {
		return usagef("attach: %d rings: want at most %d", len(rings), client.PollerConsumersMax)
	}
	for i, ring := range rings {
		if slices.Contains(rings[:i], ring) {
			return usagef("attach: ring %s is named twice", ring)
		}
	}
	return nil
}

// producerOptions are for client.Producer.
func (f *attachFlags) producerOptions() client.ProducerOptions {
	onFull := map[string]client.OnFull{"block": client.OnFullBlock, "drop": client.OnFullDrop, "fail": client.OnFullFail}
	o := client.ProducerOptions{
		Name: f.name, WaitStrategy: client.WaitStrategy(f.waitStrategy.value), OnFull: onFull[f.onFull.value],
	}
	if len(f.tags) > 0 {
		o.Tag = f.tags[0]
	}
	return o
}

// consumerOptions are for client.Consumer.
func (f *attachFlags) consumerOptions() client.ConsumerOptions {
	return client.ConsumerOptions{
		Name: f.name, Policy: client.Policy(f.policy.value), From: f.from.start, Tags: f.tags,
		WaitStrategy: client.WaitStrategy(f.waitStrategy.value),
	}
}
