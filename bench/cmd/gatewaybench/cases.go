package main

import "context"

// cases is everything that is measured. Bars and floors are ratios ours/reference, or, for the cost of
// idle connections, what one may cost.
func (b *bench) cases() []Case {
	plain, secret := &mirroring{b: b}, &mirroring{b: b, tls: true}
	parked, busy := &between{b: b, timestamps: true}, &between{b: b, timestamps: true, busy: true}
	bare := &between{b: b} // what it is compared with knows no timestamps
	many := &links{b: b}
	clear, closed := &idle{b: b}, &idle{b: b, tls: true}
	return []Case{
		{Name: "mirror-plain", Question: "mirrored ring bytes, against a bare TCP stream of 256 KiB writes", Unit: "GB/s", Bar: 0.8, Floor: 0.6,
			reference: plain.bare, ours: plain.figure, done: plain.done},
		{Name: "mirror-tls", Question: "the same with TLS, against crypto/tls on a blocking stream", Unit: "GB/s", Bar: 0.7, Floor: 0.5,
			reference: secret.bare, ours: secret.figure, done: secret.done},
		{Name: "latency", Question: "publish on A to receive on B, parked, p50, against bare TCP one way", Unit: "ns", Bar: 2.5, Floor: 4, Less: true,
			reference: b.tcpLatency, ours: parked.latency, done: parked.done},
		{Name: "latency-busy-poll", Question: "the same with busy_poll", Unit: "ns", Bar: 1.5, Floor: 2.5, Less: true,
			reference: b.tcpLatency, ours: busy.latency, done: busy.done},
		{Name: "rate-nats", Question: "64-byte records one by one, lossless, against NATS core", Unit: "M/s", Bar: 5, Floor: 3,
			reference: b.natsRate, ours: bare.rate, done: bare.done},
		{Name: "rate-zeromq", Question: "the same against ZeroMQ PUSH/PULL on tcp", Unit: "M/s", Bar: 5, Floor: 3,
			reference: b.zmqRate, ours: bare.rate, done: bare.done},
		{Name: "wake", Question: "the door: publish to the gateway awake, against a bare eventfd and epoll wake-up", Unit: "ns", Bar: 1.5, Floor: 2, Less: true,
			reference: b.bareWake, ours: b.doorWake},
		{Name: "idle-plain", Question: "memory of an idle remote client", Unit: "bytes", Bar: 8 << 10, Floor: 8 << 10, Less: true, ours: clear.bytesEach},
		{Name: "idle-tls", Question: "the same with TLS", Unit: "bytes", Bar: 40 << 10, Floor: 40 << 10, Less: true, ours: closed.bytesEach},
		{Name: "idle-wakes", Question: "wake-ups of the daemon with all of them idle, against those without any", Unit: "/s", Bar: 1.2, Floor: 1.5, Less: true,
			reference: clear.wakesAlone, ours: clear.wakes},
		{Name: "links-memory", Question: "memory of an idle link of a daemon with 100 mirrors, each of which moves a record then", Unit: "bytes", Bar: 128 << 10, Floor: 256 << 10, Less: true, ours: many.bytesEach},
		{Name: "links-cpu", Question: "CPU time of that daemon with all of them idle", Unit: "ms/s", Bar: 20, Floor: 50, Less: true, ours: many.cpu},
	}
}

// bareWake and doorWake run at the rate of the latency cases.
func (b *bench) bareWake(ctx context.Context) (float64, error) { return b.wakeBy(ctx, "wake") }

func (b *bench) doorWake(ctx context.Context) (float64, error) { return b.wakeBy(ctx, "door") }

func (b *bench) wakeBy(ctx context.Context, role string) (float64, error) {
	count, gap := b.pacing()
	p, _, err := start(ctx, "0,1", role, count, gap)
	if err != nil {
		return 0, err
	}
	return p.figure()
}
