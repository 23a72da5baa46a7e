package broker

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"brokerd/internal/wire"
)

// difference is one key that two rings do not have in common.
type difference struct {
	key        string
	have, want any
}

func differing(keys []difference) (list []difference) {
	for _, d := range keys {
		if !reflect.DeepEqual(d.have, d.want) {
			list = append(list, d)
		}
	}
	return list
}

// drift names what a ring has otherwise than the configuration asks, "" when
// nothing: geometry cannot change under the processes that have it mapped.
func drift(have, want wire.Ring) string {
	var list []string
	for _, d := range differing([]difference{
		{"capacity", have.Capacity, want.Capacity},
		{"record_max", have.RecordMax, want.RecordMax},
		{"producers", have.Producers, want.Producers},
		{"consumers_max", have.ConsumersMax, want.ConsumersMax},
		{"timestamps", have.Timestamps, want.Timestamps},
		{"checksum", have.Checksum, want.Checksum},
	}) {
		list = append(list, fmt.Sprintf("%s is %v and not %v", d.key, d.have, d.want))
	}
	if list == nil {
		return ""
	}
	wayOut := fmt.Sprintf("(brokerctl ring rm %s), then brokerctl reload", have.Name)
	if have.Mirror != nil {
		wayOut = fmt.Sprintf("(brokerctl ring rm --force %s): the gateway makes it anew", have.Name)
	}
	return fmt.Sprintf("ring %s keeps what it was created with, %s; to change it remove the ring %s",
		have.Name, strings.Join(list, ", "), wayOut)
}

// mirrorClash says that the configuration asks for a ring in the place of a mirror.
func mirrorClash(have wire.Ring) string {
	return fmt.Sprintf("ring %s: rings of the configuration names it, but it mirrors ring %s of %s and stays a mirror; "+
		"give one of the two another name (as in gateway.peers), or remove the mirror from gateway.peers and then the ring (brokerctl ring rm %s)",
		have.Name, have.Mirror.Ring, have.Mirror.Peer, have.Name)
}

// liveChanges says what becomes of a ring when it gets the live keys of another.
func liveChanges(have, want wire.Ring) (list []string) {
	for _, d := range differing([]difference{
		{"policy", have.Policy, want.Policy},
		{"demote_after", time.Duration(have.DemoteAfterNS), time.Duration(want.DemoteAfterNS)},
		{"resume_for", time.Duration(have.ResumeForNS), time.Duration(want.ResumeForNS)},
	}) {
		list = append(list, fmt.Sprintf("%s is %v now and was %v", d.key, d.want, d.have))
	}
	for _, d := range differing([]difference{
		{"allow.produce", have.Allow.Produce, want.Allow.Produce},
		{"allow.consume", have.Allow.Consume, want.Allow.Consume},
		{"allow.gate", have.Allow.Gate, want.Allow.Gate},
	}) {
		list = append(list, d.key+" changed")
	}
	return list
}
