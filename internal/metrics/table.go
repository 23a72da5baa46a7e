package metrics

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// requestsName is the one metric whose values are counted here rather than
// read from a Snapshot.
const requestsName = "brokerd_control_requests_total"

// family is one row of the table. Its values are what read passes to emit:
// a value, then one label value for each name in labels.
type family struct {
	name   string
	kind   prometheus.ValueType
	help   string
	labels []string
	read   func(v view, emit emitter)
}

// view is what one scrape reads from.
type view struct {
	Snapshot
	version  string
	requests *Requests
}

type emitter func(value float64, labels ...string)

// table lists every metric of brokerd.
func table() []family {
	return slices.Concat(daemonFamilies(), userFamilies(), ringFamilies(), attachmentFamilies(),
		linkFamilies(), feedFamilies())
}

func daemonFamilies() []family {
	none := []string(nil)
	return []family{
		{"brokerd_build_info", gauge, "1, labelled with the version that runs.", []string{"version"},
			func(v view, emit emitter) { emit(1, v.version) }},
		{"brokerd_ready", gauge, "1 when adoption is done, every configured ring exists and the daemon is not stopping.", none,
			daemon(func(s Snapshot) float64 { return truth(s.Ready) })},
		{"brokerd_memory_bytes", gauge, "Memory that the files of all rings take, quarantined ones included.", none,
			daemon(func(s Snapshot) float64 { return float64(s.MemoryBytes) })},
		{"brokerd_memory_limit_bytes", gauge, "limits.memory.", none,
			daemon(func(s Snapshot) float64 { return float64(s.MemoryBytesMax) })},
		{"brokerd_rings", gauge, "Rings that exist.", none,
			daemon(func(s Snapshot) float64 { return float64(len(s.Rings)) })},
		{"brokerd_rings_limit", gauge, "limits.rings.", none,
			daemon(func(s Snapshot) float64 { return float64(s.RingsMax) })},
		{"brokerd_attachments", gauge, "Attachments of all rings, in every state.", none,
			daemon(func(s Snapshot) float64 { return float64(len(s.Attachments)) })},
		{"brokerd_attachments_limit", gauge, "limits.attachments.", none,
			daemon(func(s Snapshot) float64 { return float64(s.AttachmentsMax) })},
		{"brokerd_connections", gauge, "Open connections to the control socket.", none,
			daemon(func(s Snapshot) float64 { return float64(s.Connections) })},
		{"brokerd_connections_limit", gauge, "limits.connections.", none,
			daemon(func(s Snapshot) float64 { return float64(s.ConnectionsMax) })},
		{requestsName, counter, "Calls on the control socket by method and result (ok, or the name of the error).", []string{"method", "result"},
			func(v view, emit emitter) { v.requests.each(emit) }},
		{"brokerd_refusals_total", counter, "What was refused for want of something: by the limit of the configuration or of the ring, or by what the host had too little of.", []string{"limit"},
			func(v view, emit emitter) {
				for limit, n := range v.Refused {
					emit(float64(n), limit)
				}
			}},
		{"brokerd_adoptions_total", counter, "Rings that this daemon found at its start and adopted.", none,
			daemon(func(s Snapshot) float64 { return float64(s.Adoptions) })},
		{"brokerd_repairs_total", counter, "Times that a ring was put right after a producer, because it died or had begun a record, since this daemon started.", none,
			daemon(func(s Snapshot) float64 { return float64(s.Repairs) })},
		{"brokerd_quarantined_rings", gauge, "Rings that were set aside because they could not be used any more, and lie there.", none,
			daemon(func(s Snapshot) float64 { return float64(s.Quarantined) })},
		{"brokerd_quarantined_bytes", gauge, "Memory that quarantined rings take; a part of brokerd_memory_bytes.", none,
			daemon(func(s Snapshot) float64 { return float64(s.QuarantinedBytes) })},
		{"brokerd_rings_retired_total", counter, "Rings found to be of no use since this daemon started, at its start included; each is to have a successor.", none,
			daemon(func(s Snapshot) float64 { return float64(s.Retired) })},
		{"brokerd_problems", gauge, "Things an operator should look at; brokerctl status lists them.", none,
			daemon(func(s Snapshot) float64 { return float64(s.Problems) })},
		{"brokerd_config_reloads_total", counter, "Reloads of the configuration by result: ok, or failed, which changes nothing.", []string{"result"},
			func(v view, emit emitter) {
				emit(float64(v.ReloadsOK), "ok")
				emit(float64(v.ReloadsFailed), "failed")
			}},
		{"brokerd_config_last_reload_success_timestamp_seconds", gauge, "When a reload took effect last, since 1970; 0 when none has since the daemon started.", none,
			daemon(func(s Snapshot) float64 { return float64(s.LastReloadNanos) / float64(time.Second) })},
	}
}

// userFamilies show a quota only for those whom it binds, so that use divided
// by quota is about them and nobody else.
func userFamilies() []family {
	uid := []string{"uid"}
	return []family{
		{"brokerd_uid_memory_bytes", gauge, "Memory that the files of this user's rings take.", uid,
			eachUser(func(u User) float64 { return float64(u.MemoryBytes) }, always)},
		{"brokerd_uid_memory_limit_bytes", gauge, "limits.per_uid.memory, for a user whom it binds.", uid,
			eachUser(func(u User) float64 { return float64(u.MemoryBytesMax) }, notZero)},
		{"brokerd_uid_attachments", gauge, "Attachments of this user in every state.", uid,
			eachUser(func(u User) float64 { return float64(u.Attachments) }, always)},
		{"brokerd_uid_attachments_limit", gauge, "limits.per_uid.attachments, for a user whom it binds.", uid,
			eachUser(func(u User) float64 { return float64(u.AttachmentsMax) }, notZero)},
		{"brokerd_uid_connections", gauge, "Open connections of this user to the control socket.", uid,
			eachUser(func(u User) float64 { return float64(u.Connections) }, always)},
		{"brokerd_uid_connections_limit", gauge, "limits.per_uid.connections, for a user whom it binds.", uid,
			eachUser(func(u User) float64 { return float64(u.ConnectionsMax) }, notZero)},
	}
}

func ringFamilies() []family {
	ring := []string{"ring"}
	return []family{
		{"brokerd_ring_live", gauge, "1 when the ring is usable, 0 when it was found corrupt.", ring,
			eachRing(func(r Ring) float64 { return truth(r.Live) })},
		{"brokerd_ring_published_records_total", counter, "Records published since the ring's epoch began.", ring,
			eachRing(func(r Ring) float64 { return float64(r.PublishedRecords) })},
		{"brokerd_ring_published_bytes_total", counter, "Bytes published since the ring's epoch began, headers and padding included.", ring,
			eachRing(func(r Ring) float64 { return float64(r.PublishedBytes) })},
		{"brokerd_ring_capacity_bytes", gauge, "Size of the ring.", ring,
			eachRing(func(r Ring) float64 { return float64(r.CapacityBytes) })},
		{"brokerd_ring_occupancy_bytes", gauge, "Bytes that the slowest reader able to hold producers has not read yet.", ring,
			eachRing(func(r Ring) float64 { return float64(r.OccupancyBytes) })},
		{"brokerd_ring_producers", gauge, "Producers attached.", ring,
			eachRing(func(r Ring) float64 { return float64(r.Producers) })},
		{"brokerd_ring_consumers", gauge, "Consumers attached, kept cursors included.", ring,
			eachRing(func(r Ring) float64 { return float64(r.Consumers) })},
		{"brokerd_ring_attachments", gauge, "Attachments by role and state: attached, detached (the process lives, its connection is gone or its hold was ended) or resumable (a cursor kept for a reader that may come back).", []string{"ring", "role", "state"},
			eachState},
		{"brokerd_ring_gap_records_total", counter, "Records lost because their producer died or gave up before publishing them.", ring,
			eachRing(func(r Ring) float64 { return float64(r.GapRecords) })},
		{"brokerd_ring_held_seconds_total", counter, "Time that producers waited for readers.", ring,
			eachRing(func(r Ring) float64 { return seconds(r.HeldNanos) })},
		{"brokerd_ring_dropped_records_total", counter, "Records that producers dropped rather than wait for readers.", ring,
			eachRing(func(r Ring) float64 { return float64(r.DroppedRecords) })},
		{"brokerd_ring_demotions_total", counter, "Readers that held producers for too long and became skip readers.", ring,
			eachRing(func(r Ring) float64 { return float64(r.Demotions) })},
	}
}

func attachmentFamilies() []family {
	attachment := []string{"ring", "name", "slot", "role"}
	return []family{
		{"brokerd_attachment_position_bytes", gauge, "Position in the ring: of the next byte to write or read.", attachment,
			eachAttachment(func(a Attachment) float64 { return float64(a.PositionBytes) })},
		{"brokerd_attachment_lag_bytes", gauge, "Bytes published that this reader has not read yet.", attachment,
			eachAttachment(func(a Attachment) float64 { return float64(a.LagBytes) })},
		{"brokerd_attachment_missed_records_total", counter, "Records this reader never saw because it was overrun.", attachment,
			eachAttachment(func(a Attachment) float64 { return float64(a.MissedRecords) })},
		{"brokerd_attachment_missed_bytes_total", counter, "Bytes this reader never saw because it was overrun.", attachment,
			eachAttachment(func(a Attachment) float64 { return float64(a.MissedBytes) })},
		{"brokerd_attachment_checksum_errors_total", counter, "Records whose checksum this reader found wrong.", attachment,
			eachAttachment(func(a Attachment) float64 { return float64(a.ChecksumErrors) })},
		{"brokerd_attachment_demotions_total", counter, "1 once this reader was demoted to a skip reader.", attachment,
			eachAttachment(func(a Attachment) float64 { return truth(a.Demoted) })},
	}
}

func daemon(value func(Snapshot) float64) func(view, emitter) {
	return func(v view, emit emitter) { emit(value(v.Snapshot)) }
}

// eachState counts each ring's attachments. Roles and states that go together
// are always there, so that a query finds a zero and not nothing.
func eachState(v view, emit emitter) {
	type key struct{ ring, role, state string }
	counts := map[key]int{}
	for _, r := range v.Rings {
		for _, state := range []string{"attached", "detached"} {
			counts[key{r.Name, "producer", state}] = 0
			counts[key{r.Name, "consumer", state}] = 0
		}
		counts[key{r.Name, "consumer", "resumable"}] = 0
	}
	for _, a := range v.Attachments {
		counts[key{a.Ring, a.Role, a.State}]++
	}
	for k, n := range counts {
		emit(float64(n), k.ring, k.role, k.state)
	}
}

func always(float64) bool { return true }

func notZero(value float64) bool { return value != 0 }

func eachUser(value func(User) float64, shown func(float64) bool) func(view, emitter) {
	return func(v view, emit emitter) {
		for _, u := range v.Users {
			if n := value(u); shown(n) {
				emit(n, strconv.FormatUint(uint64(u.UID), 10))
			}
		}
	}
}

func eachRing(value func(Ring) float64) func(view, emitter) {
	return func(v view, emit emitter) {
		for _, r := range v.Rings {
			emit(value(r), r.Name)
		}
	}
}

func eachAttachment(value func(Attachment) float64) func(view, emitter) {
	return func(v view, emit emitter) {
		for _, a := range v.Attachments {
			emit(value(a), a.Ring, a.Name, strconv.Itoa(a.Slot), a.Role)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(nanos uint64) float64 { return float64(nanos) / float64(time.Second) }
