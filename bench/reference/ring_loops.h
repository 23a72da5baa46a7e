/*
 * What the two workers do: one ring at full speed, or two rings bounced, each
 * between a probe before and a probe after. Timing starts behind a warm-up.
 */
#ifndef RING_LOOPS_H
#define RING_LOOPS_H

enum { WARMUP_SHARE = 8 }; /* the first eighth of a run is not timed */

#define RING_KEY 0x9d3cf5b1a7e84260u /* a fixed key: runs are alike */

enum lag { LAG_FREE, LAG_NEAR, LAG_FAR };

struct job {
	struct cores cores;
	struct shape shape;
	enum lag lag;
	bool round_trip;
	uint64_t count;
	struct ring_words *rings[2];
	void *memory; /* of both rings */
	size_t memory_bytes;
	/* what the workers leave behind */
	struct latency before, after, trip;
	double million_per_second, ns_per_tick;
	struct probe_lines lines;
	struct histogram histogram;
};

static struct producer producer_open(struct job *job, int ring) {
	return (struct producer){
		.words = job->rings[ring], .shape = job->shape, .key = RING_KEY, .usable = job->shape.window};
}

static struct reader reader_open(struct job *job, int ring) {
	uint64_t step = job->lag == LAG_NEAR ? job->shape.window / 4 : job->shape.capacity / 64;
	return (struct reader){.words = job->rings[ring], .shape = job->shape, .key = RING_KEY, .gate_step = step};
}

/* Reserves the rings. The second starts half a page further, so that no load of
 * one ring has the page offset of a store to the other: cores that compare low
 * address bits first may take the two for the same address. */
static void rings_make(struct job *job) {
	size_t bytes = round_up(sizeof(struct ring_words) + job->shape.capacity, PAGE_BYTES) + PAGE_BYTES / 2;
	job->memory_bytes = 2 * bytes;
	job->memory = shared_memory(job->memory_bytes);
	for (int i = 0; i < 2; i++)
		job->rings[i] = (void *)((char *)job->memory + (size_t)i * bytes);
}

/* Pages of a shared mapping are not inherited by fork: fetch them before the clock runs. */
static void rings_touch(struct job *job) {
	(void)madvise(job->memory, job->memory_bytes, MADV_POPULATE_WRITE);
}

/* The loops are functions of their own, compiled once for narrow and once for
 * wide stores. Inlined into one function with the probe, the record ring ran at
 * 61 instead of 102 M records/s (far reader): compare rates only after a look at
 * how the loop was compiled. */
static inline __attribute__((always_inline)) void produce_loop(struct job *job, bool wide) {
	struct producer p = producer_open(job, 0);
	/* a far reader stops half a ring behind: those records have to exist */
	uint64_t extra = job->shape.far > 0 ? (job->shape.far + 2 * HINT_BYTES) / job->shape.frame : 0;
	uint64_t total = job->count + extra, batch = job->shape.batch, pending = 0;
	for (uint64_t n = 0; n < total; n++) {
		produce(&p, wide, n);
		if (++pending == batch) {
			publish(&p);
			pending = 0;
		}
	}
	publish(&p);
}

static __attribute__((noinline)) void produce_narrow(struct job *job) {
	produce_loop(job, false);
}

static __attribute__((noinline)) void produce_wide(struct job *job) {
	produce_loop(job, true);
}

static void one_way_produce(void *arg) {
	struct job *job = arg;
	rings_touch(job);
	job->before = probe_ping(&job->lines, &job->histogram, PROBE_MS);
	if (job->shape.wide)
		produce_wide(job);
	else
		produce_narrow(job);
	job->after = probe_ping(&job->lines, &job->histogram, PROBE_MS);
}

/* Every word after the second holds the record's number: their sum is known. */
static void sum_check(const struct job *job, uint64_t sum) {
	uint64_t words = (job->shape.header + job->shape.payload + WORD_BYTES - 1) / WORD_BYTES - 2;
	uint64_t want = words * (job->count * (job->count - 1) / 2);
	if (sum != want)
		fail("data read differs from data written: sum %llu, want %llu", (unsigned long long)sum,
		     (unsigned long long)want);
}

static inline __attribute__((always_inline)) void consume_loop(struct job *job, bool far) {
	struct reader r = reader_open(job, 0);
	uint64_t n = 0, warm = job->count / WARMUP_SHARE, start = 0;
	for (uint64_t until = warm; n < job->count; until = job->count) {
		for (; n < until; n++) {
			if (far)
				stay_far(&r);
			consume(&r);
		}
		if (until == warm)
			start = now_ns();
	}
	job->million_per_second = 1e3 * (double)(job->count - warm) / (double)(now_ns() - start);
	gate_store(&r);
	sum_check(job, r.sum);
}

static __attribute__((noinline)) void consume_all(struct job *job) {
	consume_loop(job, false);
}

static __attribute__((noinline)) void consume_far(struct job *job) {
	consume_loop(job, true);
}

static void one_way_consume(void *arg) {
	struct job *job = arg;
	rings_touch(job);
	probe_pong(&job->lines);
	if (job->shape.far > 0)
		consume_far(job);
	else
		consume_all(job);
	probe_pong(&job->lines);
}

static inline __attribute__((always_inline)) void ping_loop(struct job *job, bool wide) {
	struct producer p = producer_open(job, 0);
	struct reader r = reader_open(job, 1);
	uint64_t warm = job->count / WARMUP_SHARE, n = 0, last = 0;
	struct span start = {0};
	memset(&job->histogram, 0, sizeof job->histogram);
	for (uint64_t until = warm; n < job->count; until = n + SAMPLE_TRIPS) {
		for (; n < until; n++) {
			produce(&p, wide, n);
			publish(&p);
			if (consume(&r) != n)
				fail("round trip %llu brought another record back", (unsigned long long)n);
		}
		if (n == warm) {
			start = span_start();
			last = ticks();
			continue;
		}
		uint64_t now = ticks();
		histogram_add(&job->histogram, now - last);
		last = now;
	}
	job->ns_per_tick = span_ns_per_tick(start);
	sum_check(job, r.sum);
}

static inline __attribute__((always_inline)) void pong_loop(struct job *job, bool wide) {
	struct reader r = reader_open(job, 0);
	struct producer p = producer_open(job, 1);
	for (uint64_t n = 0; n < job->count; n++) {
		produce(&p, wide, consume(&r));
		publish(&p);
	}
}

static __attribute__((noinline)) void ping_narrow(struct job *job) {
	ping_loop(job, false);
}

static __attribute__((noinline)) void ping_wide(struct job *job) {
	ping_loop(job, true);
}

static __attribute__((noinline)) void pong_narrow(struct job *job) {
	pong_loop(job, false);
}

static __attribute__((noinline)) void pong_wide(struct job *job) {
	pong_loop(job, true);
}

static void trip_ping(void *arg) {
	struct job *job = arg;
	rings_touch(job);
	job->before = probe_ping(&job->lines, &job->histogram, PROBE_MS);
	if (job->shape.wide)
		ping_wide(job);
	else
		ping_narrow(job);
	job->trip = histogram_latency(&job->histogram, job->ns_per_tick);
	job->after = probe_ping(&job->lines, &job->histogram, PROBE_MS);
}

static void trip_pong(void *arg) {
	struct job *job = arg;
	rings_touch(job);
	probe_pong(&job->lines);
	if (job->shape.wide)
		pong_wide(job);
	else
		pong_narrow(job);
	probe_pong(&job->lines);
}

#endif
