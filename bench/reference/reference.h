/*
 * What every reference program shares: two worker processes pinned to two
 * cores, memory mapped by both, a clock, a histogram and the noise probe.
 *
 * The parent only waits. A worker that fails or dies ends the run: the parent
 * kills the other and exits 1, so no run hangs on a dead partner.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	RUN_SECONDS_MAX = 20, /* a run that takes longer shares its cores with others */
	EXIT_GAVE_UP = 3,
	PROBE_MS = 20,        /* long enough to see the state, short enough to stay in it */
	PROBE_MS_MAX = 10000,
	GROUP_BYTES = 128, /* two lines: prefetchers fetch them in pairs */
	HISTOGRAM_TICKS = 1 << 17,
	/* A sample is the mean of this many round trips in a row. Timing each one
	 * would add the clock's own cost, a tenth of what is measured. */
	SAMPLE_TRIPS = 16,
};

static inline _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...) {
	va_list args;
	va_start(args, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	_exit(1);
}

/* Whole decimal number in [low, high]; anything else ends the program. */
static inline uint64_t number(const char *name, const char *text, uint64_t low, uint64_t high) {
	char *end = NULL;
	errno = 0;
	unsigned long long value = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
	if (end == NULL || *end != 0 || errno != 0 || value < low || value > high)
		fail("--%s %s: want a whole number from %llu to %llu", name, text,
		     (unsigned long long)low, (unsigned long long)high);
	return value;
}

/* ---- clock ---- */

static inline uint64_t now_ns(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* rdtscp waits for the loads before it: a plain rdtsc may run ahead of the load
 * that ends a round trip, which shortens one sample and stretches the next. */
static inline uint64_t ticks(void) {
#if defined(__x86_64__)
	unsigned core;
	return __builtin_ia32_rdtscp(&core);
#else
	return now_ns();
#endif
}

/* Between two polls. */
static inline void spin_pause(void) {
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

/* Both clocks at the start of a measurement; the tick's length comes from the
 * measurement itself. */
struct span {
	uint64_t ticks, ns;
};

static inline struct span span_start(void) {
	return (struct span){.ticks = ticks(), .ns = now_ns()};
}

static inline double span_ns_per_tick(struct span start) {
	uint64_t t = ticks(), ns = now_ns();
	return t > start.ticks ? (double)(ns - start.ns) / (double)(t - start.ticks) : 1;
}

/* ---- histogram of samples: ticks of SAMPLE_TRIPS round trips, the last bin holds the rest ---- */

struct histogram {
	uint64_t count;
	uint32_t bins[HISTOGRAM_TICKS];
};

static inline void histogram_add(struct histogram *h, uint64_t value) {
	h->bins[value < HISTOGRAM_TICKS ? value : HISTOGRAM_TICKS - 1]++;
	h->count++;
}

/* The value below which this share (0..1) of the samples lies. The counter may
 * advance in steps (10 ns on some hosts), so a sample stands for a step, not for
 * a point: between the middles of two neighbouring steps the value is interpolated. */
static inline double histogram_at(const struct histogram *h, double share) {
	double want = share * (double)h->count, below = 0, last_middle = 0, last_value = -1;
	for (uint64_t i = 0; i < HISTOGRAM_TICKS; i++) {
		if (h->bins[i] == 0)
			continue;
		double middle = below + h->bins[i] / 2.0, value = (double)i;
		if (middle >= want)
			return last_value < 0 ? value
			                      : last_value + (value - last_value) * (want - last_middle) / (middle - last_middle);
		below += h->bins[i];
		last_middle = middle;
		last_value = value;
	}
	return last_value < 0 ? 0 : last_value;
}

struct latency {
	double min_ns, p50_ns, p99_ns;
	uint64_t trips;
};

/* Nanoseconds of one round trip. */
static inline struct latency histogram_latency(const struct histogram *h, double ns_per_tick) {
	ns_per_tick /= SAMPLE_TRIPS;
	return (struct latency){
		.min_ns = ns_per_tick * histogram_at(h, 0),
		.p50_ns = ns_per_tick * histogram_at(h, 0.50),
		.p99_ns = ns_per_tick * histogram_at(h, 0.99),
		.trips = h->count * SAMPLE_TRIPS,
	};
}

/* ---- the probe: one line per direction, bounced until the time is over ---- */

struct probe_lines {
	alignas(GROUP_BYTES) _Atomic uint64_t ping;
	alignas(GROUP_BYTES) _Atomic uint64_t pong;
};

#define PROBE_END UINT64_MAX

static inline void probe_trip(struct probe_lines *lines, uint64_t value) {
	atomic_store_explicit(&lines->ping, value, memory_order_release);
	while (atomic_load_explicit(&lines->pong, memory_order_acquire) != value)
		;
}

/* The side that measures. Each sample ends where the next one starts. */
static inline struct latency probe_ping(struct probe_lines *lines, struct histogram *h, uint64_t ms) {
	memset(h, 0, sizeof *h);
	uint64_t trip = 0;
	while (trip < 1000) /* waits for the partner, too */
		probe_trip(lines, ++trip);
	struct span start = span_start();
	uint64_t last = ticks();
	do { /* the clock call adds some nanoseconds to one sample in a hundred */
		for (int i = 0; i < 100; i++) {
			for (int j = 0; j < SAMPLE_TRIPS; j++)
				probe_trip(lines, ++trip);
			uint64_t now = ticks();
			histogram_add(h, now - last);
			last = now;
		}
	} while (now_ns() - start.ns < ms * 1000000u);
	struct latency result = histogram_latency(h, span_ns_per_tick(start));
	probe_trip(lines, PROBE_END);
	return result;
}

/* The side that answers, until the other says it is over. */
static inline void probe_pong(struct probe_lines *lines) {
	uint64_t seen = PROBE_END, value;
	do {
		while ((value = atomic_load_explicit(&lines->ping, memory_order_acquire)) == seen)
			;
		seen = value;
		atomic_store_explicit(&lines->pong, value, memory_order_release);
	} while (value != PROBE_END);
}

/* ---- memory and processes ---- */

/* Zeroed memory that forked workers share, on tmpfs (a memfd) and reserved:
 * a full tmpfs is a refusal here, not a fault later. */
static inline void *shared_memory(size_t bytes) {
	int fd = memfd_create("brokerd-reference", MFD_CLOEXEC);
	if (fd < 0)
		fail("memfd_create: %s", strerror(errno));
	int err = posix_fallocate(fd, 0, (off_t)bytes);
	if (err != 0)
		fail("reserve %zu bytes of shared memory: %s", bytes, strerror(err));
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		fail("map %zu bytes: %s", bytes, strerror(errno));
	close(fd); /* the mapping keeps the memory */
	return memory;
}

struct cores {
	int a, b;
	bool fifo; /* real-time priority: other programs wait while the workers run */
};

static inline void worker_enter(int core, bool fifo) {
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(RUN_SECONDS_MAX);
	struct sched_param priority = {.sched_priority = 1};
	if (fifo && sched_setscheduler(0, SCHED_FIFO, &priority) != 0)
		fail("--fifo: %s: it needs root or CAP_SYS_NICE", strerror(errno));
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		fail("pin to core %d: %s", core, strerror(errno));
}

static inline pid_t worker_start(int core, bool fifo, void (*work)(void *), void *arg) {
	pid_t pid = fork();
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	worker_enter(core, fifo);
	work(arg);
	_exit(0);
}

/* Runs a and b in two processes on two cores; returns when both ended well, with
 * how often the kernel took a core from them: a quiet machine shows about none. */
static inline long run_pair(struct cores cores, void (*a)(void *), void (*b)(void *), void *arg) {
	if (cores.a == cores.b)
		fail("--cores %d,%d: want two different cores", cores.a, cores.b);
	pid_t pids[2] = {worker_start(cores.a, cores.fifo, a, arg), worker_start(cores.b, cores.fifo, b, arg)};
	long preemptions = 0;
	for (int left = 2; left > 0; left--) {
		int status;
		struct rusage usage;
		pid_t done = wait4(-1, &status, 0, &usage);
		if (done < 0)
			fail("wait4: %s", strerror(errno));
		preemptions += usage.ru_nivcsw;
		if (status == 0)
			continue;
		kill(pids[done == pids[0]], SIGKILL);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
			fprintf(stderr, "%s: gave up after %d s: is another program busy on these two cores?\n",
			        program_invocation_short_name, RUN_SECONDS_MAX);
			_exit(EXIT_GAVE_UP);
		}
		fail("a worker process failed (wait status 0x%x)", status);
	}
	return preemptions;
}

/* "A,B" -> two core numbers. */
static inline void cores_parse(struct cores *cores, const char *text) {
	char first[8];
	const char *comma = strchr(text, ',');
	if (comma == NULL || (size_t)(comma - text) >= sizeof first)
		fail("--cores %s: want two core numbers, like 0,1", text);
	memcpy(first, text, (size_t)(comma - text));
	first[comma - text] = 0;
	cores->a = (int)number("cores", first, 0, CPU_SETSIZE - 1);
	cores->b = (int)number("cores", comma + 1, 0, CPU_SETSIZE - 1);
}

#endif
