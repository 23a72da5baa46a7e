package limits

import (
	"fmt"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// configured are the limits of the configuration, and of a ring.
func configured() []limit {
	return append([]limit{
		{name: "limits.rings", more: "limits: {rings: 3}", is: client.ErrLimitExceeded,
			says:  []string{"limits.rings: 3 rings in use, 1 more wanted, at most 3 allowed", "raise limits.rings"},
			reach: func(s *scene) { s.must(s.create("third")); s.undo = func() { s.remove("third") } },
			past:  func(s *scene) error { return s.create("fourth") }},
		{name: "limits.memory", is: client.ErrLimitExceeded,
			says: []string{"limits.memory: ", "bytes in use, 217088 more wanted, at most ", "raise limits.memory"},
			reach: func(s *scene) { // to the byte: what is there, one ring more, and one less a byte
				s.must(s.create("third"))
				used := s.status().MemoryBytes
				one := s.describe("third").MemoryBytes
				s.limitMemory(used + one - 1)
				s.undo = func() { s.limitMemory(used + one) }
			},
			past: func(s *scene) error { return s.create("fourth") }},
		{name: "limits.attachments", more: "limits: {attachments: 4}", is: client.ErrLimitExceeded,
			says:  []string{"limits.attachments: 4 attachments in use, 1 more wanted, at most 4 allowed", "raise limits.attachments"},
			reach: (*scene).attachTwo, past: (*scene).attachOneMore},
		{name: "consumers_max", rings: "{name: md, capacity: 64KiB, consumers_max: 2}", is: client.ErrSlotsExhausted,
			says:  []string{"ring md has no consumer slot left for uid 0: of 2, 2 are held by living processes", "end readers, or create the ring again with a larger consumers_max"},
			reach: (*scene).attachTwo, past: (*scene).attachOneMore},
		{name: "producers", rings: "{name: md, capacity: 64KiB, producers: many}", is: client.ErrSlotsExhausted,
			says: []string{"ring md has no producer slot left: of ", "end some of them, or let them detach"},
			reach: func(s *scene) {
				var err error
				var first, next *client.Producer
				for err == nil {
					if next, err = s.produce(); first == nil {
						first = next
					}
				}
				s.undo = func() { s.must(first.Close()) }
			},
			past: func(s *scene) error { _, err := s.produce(); return err }},
		{name: "limits.connections", more: "limits: {connections: 3}", is: client.ErrLimitExceeded,
			says: []string{"all 3 connections are taken", "raise limits.connections"},
			reach: func(s *scene) { // all are attached: who is silent would have to go
				var some []*client.Client
				for range 2 {
					c := s.Place.Dial()
					_, err := c.Consumer(harness.Bounded(s.t), "md", client.ConsumerOptions{})
					s.must(err)
					some = append(some, c)
				}
				s.undo = func() { s.must(some[0].Close()) }
			},
			past: func(s *scene) error { return s.connect() }},
	}, quotas()...)
}

// attachTwo attaches two readers, of which the first may go.
func (s *scene) attachTwo() {
	first, err := s.attach()
	s.must(err)
	s.must(s.attachOneMore())
	s.undo = func() { s.must(first.Close()) }
}

func (s *scene) attachOneMore() error {
	_, err := s.attach()
	return err
}

// quotas are those of one user.
func quotas() []limit {
	create := func(s *scene, name string) error { return s.asGuest("ring", "create", name, "--capacity", "64KiB") }
	return []limit{
		{name: "limits.per_uid.memory", more: "limits: {per_uid: {memory: 434175}}",
			says: []string{"limits.per_uid.memory: uid 65534 has 217088 bytes of rings, 217088 more wanted, at most 434175 allowed", "raise limits.per_uid.memory"},
			reach: func(s *scene) {
				s.must(create(s, "mine"))
				s.undo = func() { s.must(s.asGuest("ring", "rm", "mine")) }
			},
			past: func(s *scene) error { return create(s, "more") }},
		{name: "limits.per_uid.attachments", more: "limits: {per_uid: {attachments: 1}}",
			says: []string{"limits.per_uid.attachments: uid 65534 has 1 attachments, 1 more wanted, at most 1 allowed", "raise limits.per_uid.attachments"},
			reach: func(s *scene) {
				s.Publish("md", "one\n", "--end")
				r := s.guestReads(1)
				s.undo = r.Kill
			},
			past: func(s *scene) error {
				return s.asGuest("attach", "md", "--as", "consumer", "--from", "oldest", "--until-end")
			}},
		{name: "limits.per_uid.connections", more: "limits: {per_uid: {connections: 1}}",
			says: []string{"limits.per_uid.connections: uid 65534 has 1 connections, 1 more wanted, at most 1 allowed", "raise limits.per_uid.connections"},
			reach: func(s *scene) {
				r := s.guestReads(1)
				s.undo = r.Kill
			},
			past: func(s *scene) error { return s.asGuest("ring", "list") }},
	}
}

func (s *scene) status() client.Status {
	s.t.Helper()
	status, err := s.c.Status(harness.Bounded(s.t))
	s.must(err)
	return status
}

func (s *scene) describe(ring string) client.Ring {
	s.t.Helper()
	details, err := s.c.DescribeRing(harness.Bounded(s.t), ring)
	s.must(err)
	return details.Ring
}

func (s *scene) limitMemory(bytes uint64) {
	s.t.Helper()
	s.configure(mdRing, fmt.Sprintf("limits: {memory: %d}", bytes))
	s.must(s.reload())
}

func (s *scene) produce() (*client.Producer, error) {
	return s.c.Producer(harness.Bounded(s.t), "md", client.ProducerOptions{})
}

// connect makes a connection, and a call on it.
func (s *scene) connect() error {
	c, err := client.Dial(harness.Bounded(s.t), client.Options{Socket: s.Socket})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Rings(harness.Bounded(s.t))
	return err
}
