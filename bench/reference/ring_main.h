/*
 * The program around a ring: options and the line of JSON.
 *
 *   --mode round_trip|one_way   two rings bounced | one ring at full speed
 *   --payload N  --header 16|24|32  --align 8|16   bytes; frame = both, aligned
 *   --batch N                   publish every N records (one_way)
 *   --lag free|near|far         free: as it comes; near: the producer stays
 *                               within 4 KiB; far: the reader stays half the
 *                               ring behind (one_way)
 *   --stores word|wide          8-byte stores | the widest there are
 *   --capacity N  --count N  --cores A,B  --fifo
 */
#ifndef RING_MAIN_H
#define RING_MAIN_H

#include "ring_loops.h"

#include <getopt.h>

enum {
	CAPACITY_BYTES_MIN = 1 << 14,
	CAPACITY_BYTES_MAX = 1 << 30,
	NEAR_BYTES = 4096,
	BATCH_RECORDS_MAX = 1024,
	COUNT_MIN = 1000,
	COUNT_MAX = 1 << 30,
};

static const char *const lag_names[] = {"free", "near", "far", NULL};
static const char *const mode_names[] = {"one_way", "round_trip", NULL};
static const char *const store_names[] = {"word", "wide", NULL};

static int choice(const char *name, const char *text, const char *const *names) {
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	fail("--%s %s: not one of the choices (see ring_main.h)", name, text);
}

static uint64_t words_only(const char *name, uint64_t bytes) {
	if (bytes % WORD_BYTES != 0)
		fail("--%s %llu: want a multiple of %d", name, (unsigned long long)bytes, WORD_BYTES);
	return bytes;
}

static void option_set(struct job *job, const char *name, const char *value) {
	struct shape *s = &job->shape;
	if (strcmp(name, "mode") == 0)
		job->round_trip = choice(name, value, mode_names) == 1;
	else if (strcmp(name, "lag") == 0)
		job->lag = (enum lag)choice(name, value, lag_names);
	else if (strcmp(name, "stores") == 0)
		s->wide = choice(name, value, store_names) == 1;
	else if (strcmp(name, "payload") == 0)
		s->payload = number(name, value, WORD_BYTES, CAPACITY_BYTES_MAX / 8);
	else if (strcmp(name, "header") == 0)
		s->header = words_only(name, number(name, value, 16, 32));
	else if (strcmp(name, "align") == 0)
		s->align = words_only(name, number(name, value, 8, 16));
	else if (strcmp(name, "batch") == 0)
		s->batch = number(name, value, 1, BATCH_RECORDS_MAX);
	else if (strcmp(name, "capacity") == 0)
		s->capacity = number(name, value, CAPACITY_BYTES_MIN, CAPACITY_BYTES_MAX);
	else if (strcmp(name, "count") == 0)
		job->count = number(name, value, COUNT_MIN, COUNT_MAX);
	else if (strcmp(name, "fifo") == 0)
		job->cores.fifo = true;
	else
		cores_parse(&job->cores, value);
}

static void shape_finish(struct job *job) {
	struct shape *s = &job->shape;
	if ((s->capacity & (s->capacity - 1)) != 0)
		fail("--capacity %llu: want a power of two", (unsigned long long)s->capacity);
	s->frame = round_up(s->header + s->payload, s->align);
	s->window = job->lag == LAG_NEAR ? NEAR_BYTES : s->capacity;
	s->far = job->lag == LAG_FAR ? s->capacity / 2 : 0;
	if (job->round_trip && (job->lag != LAG_FREE || s->batch != 1))
		fail("--lag and --batch belong to --mode one_way");
	if (s->frame * s->batch > s->window / 4)
		fail("%llu records of %llu bytes: want at most a quarter of the %llu bytes the producer may use",
		     (unsigned long long)s->batch, (unsigned long long)s->frame, (unsigned long long)s->window);
}

int main(int argc, char **argv) {
	static const char *const names[] = {"mode", "lag", "stores", "payload", "header",
	                                    "align", "batch", "capacity", "count", "cores", "fifo"};
	struct option options[sizeof names / sizeof *names + 1] = {0};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		options[i] = (struct option){.name = names[i], .has_arg = strcmp(names[i], "fifo") != 0};
	struct job *job = shared_memory(sizeof *job);
	job->cores = (struct cores){.a = 0, .b = 1};
	job->count = 4000000;
	job->shape = (struct shape){.capacity = 1 << 20, .payload = 48, .header = 16, .align = 16, .batch = 1};
	int option, index;
	while ((option = getopt_long(argc, argv, "", options, &index)) == 0)
		option_set(job, names[index], optarg);
	if (option != -1 || optind < argc)
		fail("%s: not an option (see ring_main.h)", argv[optind < argc ? optind : argc - 1]);
	/* whole samples behind a warm-up of whole samples */
	job->count = round_up(job->count, WARMUP_SHARE * SAMPLE_TRIPS);
	shape_finish(job);

	const struct shape *s = &job->shape;
	rings_make(job);
	long preemptions = run_pair(job->cores, job->round_trip ? trip_ping : one_way_produce,
	                            job->round_trip ? trip_pong : one_way_consume, job);

	printf("{\"program\":\"" PROGRAM "\",\"mode\":\"%s\",\"payload\":%llu,\"header\":%llu,\"align\":%llu,"
	       "\"frame\":%llu,\"batch\":%llu,\"lag\":\"%s\",\"stores\":\"%s\",\"capacity\":%llu,\"count\":%llu,",
	       mode_names[job->round_trip], (unsigned long long)s->payload, (unsigned long long)s->header,
	       (unsigned long long)s->align, (unsigned long long)s->frame, (unsigned long long)s->batch,
	       lag_names[job->lag], store_names[s->wide], (unsigned long long)s->capacity,
	       (unsigned long long)job->count);
	if (job->round_trip)
		printf("\"min_ns\":%.1f,\"p50_ns\":%.1f,\"p99_ns\":%.1f,", job->trip.min_ns, job->trip.p50_ns,
		       job->trip.p99_ns);
	else
		printf("\"million_per_s\":%.2f,", job->million_per_second);
	printf("\"probe_before_ns\":%.1f,\"probe_after_ns\":%.1f,\"preemptions\":%ld}\n", job->before.p50_ns,
	       job->after.p50_ns, preemptions);
	return 0;
}

#endif
