/*
 * A bare cache line bounced between two pinned cores: the physical limit of
 * any hand-off through shared memory, and the 20 ms noise probe.
 *
 *   pingpong [--cores A,B] [--fifo] [--ms N]
 *
 * Prints one line of JSON; times are nanoseconds of one round trip.
 */
#include "reference.h"

#include <getopt.h>

struct job {
	struct probe_lines lines;
	struct histogram histogram;
	struct latency result;
	uint64_t ms;
};

static void ping(void *arg) {
	struct job *job = arg;
	job->result = probe_ping(&job->lines, &job->histogram, job->ms);
}

static void pong(void *arg) {
	struct job *job = arg;
	probe_pong(&job->lines);
}

int main(int argc, char **argv) {
	static const struct option options[] = {
		{"cores", required_argument, NULL, 'c'},
		{"fifo", no_argument, NULL, 'f'},
		{"ms", required_argument, NULL, 'm'},
		{0},
	};
	struct cores cores = {.a = 0, .b = 1};
	struct job *job = shared_memory(sizeof *job);
	job->ms = PROBE_MS;
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			cores_parse(&cores, optarg);
		else if (option == 'f')
			cores.fifo = true;
		else if (option == 'm')
			job->ms = number("ms", optarg, 1, PROBE_MS_MAX);
		else
			fail("usage: pingpong [--cores A,B] [--fifo] [--ms N]");
	}
	if (optind < argc)
		fail("%s: takes no arguments, only options", argv[optind]);
	long preemptions = run_pair(cores, ping, pong, job);
	printf("{\"program\":\"pingpong\",\"ms\":%llu,\"trips\":%llu,\"min_ns\":%.1f,\"p50_ns\":%.1f,\"p99_ns\":%.1f,"
	       "\"preemptions\":%ld}\n",
	       (unsigned long long)job->ms, (unsigned long long)job->result.trips, job->result.min_ns,
	       job->result.p50_ns, job->result.p99_ns, preemptions);
	return 0;
}
