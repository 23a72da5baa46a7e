/*
 * The command line of the test client.
 *
 *   cclient --socket S --ring R produce --id N --count M [--end] [--hold-claim 1|2]
 *           [--note FILE] [--pause-us N] [--size-max B] [--seed N]
 *   cclient --socket S --ring R consume [--count N] [--until-end] [--from oldest|latest]
 *           [--policy block|skip] [--dump FILE] [--size-max B] [--seed N]
 *
 * Each prints "attached" once it is, and a JSON object when it is done. Exit
 * status: 0 done, 1 something was wrong, 2 usage, 4 refused by the daemon.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cclient.h"

/* IDS_MAX bounds --id: a reader counts each producer's records. RECORD_BYTES_MIN
   are the producer's id and the record's number, at the front of each record. */
enum { IDS_MAX = 4096, RECORD_BYTES_MIN = 16, EXIT_USAGE = 2 };

struct options {
	const char *socket, *ring, *policy, *dump, *note;
	uint64_t id, count, size_max, seed, hold_claim, pause_us;
	bool end, until_end, latest;
};

/* One step of the SplitMix64 generator. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

/* Sets the generator for a record and returns the record's size, which the
   first number decides. */
static uint32_t begin_record(const struct options *o, uint64_t *state, uint64_t id, uint64_t number)
{
	*state = o->seed ^ id << 40 ^ number;
	return (uint32_t)(RECORD_BYTES_MIN + next_random(state) % (o->size_max - RECORD_BYTES_MIN + 1));
}

/* Fills a record's payload: id, number, then the numbers of the generator. */
static void fill(unsigned char *payload, uint32_t bytes, uint64_t state, uint64_t id, uint64_t number)
{
	memcpy(payload, &id, 8);
	memcpy(payload + 8, &number, 8);
	for (uint32_t i = RECORD_BYTES_MIN; i < bytes; i += 8) {
		uint64_t random = next_random(&state);
		memcpy(payload + i, &random, bytes - i < 8 ? bytes - i : 8);
	}
}

/* Checks a payload, byte for byte, and returns its producer's id. */
static uint64_t check_payload(const struct options *o, const struct record *r, uint64_t *number)
{
	uint64_t id, state;

	if (r->bytes < RECORD_BYTES_MIN)
		fail("a record has %u bytes only", r->bytes);
	memcpy(&id, r->payload, 8);
	memcpy(number, r->payload + 8, 8);
	uint32_t bytes = begin_record(o, &state, id, *number);
	if (id >= IDS_MAX || r->bytes != bytes)
		fail("record %llu of producer %llu has %u bytes", (unsigned long long)*number, (unsigned long long)id, r->bytes);
	for (uint32_t i = RECORD_BYTES_MIN; i < bytes; i += 8) {
		uint64_t random = next_random(&state);
		if (memcmp(r->payload + i, &random, bytes - i < 8 ? bytes - i : 8))
			fail("record %llu of producer %llu differs at byte %u", (unsigned long long)*number, (unsigned long long)id, i);
	}
	return id;
}

/* Maps the file that keeps what was begun and what was published, 8 bytes each:
   a kill cannot take back what was stored there. */
static _Atomic uint64_t *map_note(const char *path)
{
	static _Atomic uint64_t nowhere[2];
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = nowhere;

	if (path && (fd < 0 || (p = mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED))
		fail("--note %s: %s", path, strerror(errno));
	if (path)
		close(fd);
	return p;
}

/* Claims once more and keeps the claim until SIGUSR1 comes, or a kill: before the
   first commit, or between pad and record, for which claims without a pad are
   filled. */
static void hold(struct producer *p, const struct options *o, uint64_t number)
{
	sigset_t go_on;
	uint64_t state;
	int got;

	sigemptyset(&go_on);
	sigaddset(&go_on, SIGUSR1);
	sigprocmask(SIG_BLOCK, &go_on, NULL);
	for (bool kept = false; !kept; number++) {
		uint32_t bytes = begin_record(o, &state, o->id, number);
		struct claim c = producer_claim(p, bytes, false);
		kept = o->hold_claim == 1 || c.pad;
		if (o->hold_claim == 2)
			claim_commit_pad(p, &c);
		if (kept) {
			printf("holding %llu at %llu\n", (unsigned long long)number, (unsigned long long)c.position);
			fflush(stdout);
			sigwait(&go_on, &got);
		}
		if (o->hold_claim == 1)
			claim_commit_pad(p, &c);
		fill(claim_payload(p, &c), bytes, state, o->id, number);
		claim_commit(p, &c, KIND_DATA, bytes);
	}
}

static void produce(const struct lent *lent, const struct options *o)
{
	struct producer p = { .limit = 0 };
	_Atomic uint64_t *note = map_note(o->note);
	uint64_t state;

	ring_map(&p.ring, lent, true);
	producer_start(&p);
	if (o->size_max > p.ring.record_max)
		fail("--size-max %llu: the ring's records have %u bytes at most", (unsigned long long)o->size_max, p.ring.record_max);
	puts("attached");
	fflush(stdout);
	for (uint64_t number = 0; number < o->count; number++) {
		uint32_t bytes = begin_record(o, &state, o->id, number);
		atomic_store(&note[0], number + 1);
		struct claim c = producer_claim(&p, bytes, false);
		claim_commit_pad(&p, &c);
		fill(claim_payload(&p, &c), bytes, state, o->id, number);
		claim_commit(&p, &c, KIND_DATA, bytes);
		atomic_store(&note[1], number + 1);
		if (o->pause_us)
			usleep((useconds_t)o->pause_us);
	}
	if (o->hold_claim)
		hold(&p, o, o->count);
	if (o->end) {
		struct claim c = producer_claim(&p, 0, true);
		claim_commit_pad(&p, &c);
		claim_commit(&p, &c, KIND_END, 0);
	}
	printf("{\"records\":%llu}\n", (unsigned long long)o->count);
}

/* What a reader knows of a producer: the number of its next record, and what the
   reader had missed in all when the last one came. */
struct tally { uint64_t next, missed; };

/* Checks that a record is its producer's next: none doubled, and no more lost
   than the reader knows that it missed. any_first: it began in mid-stream. */
static void count(const struct consumer *c, const struct record *r, struct tally *t, bool any_first, uint64_t id,
	uint64_t number)
{
	uint64_t ahead = number - t->next, missed = c->missed - t->missed;

	if ((number < t->next || ahead > missed) && !(any_first && !t->next))
		fail("record %llu of producer %llu came, %llu expected, %llu missed", (unsigned long long)number,
			(unsigned long long)id, (unsigned long long)t->next, (unsigned long long)missed);
	if (c->ring.timestamps && (!r->time_ns || r->time_ns > clock_ns(CLOCK_REALTIME)))
		fail("record %llu of producer %llu was published at %llu, later than now", (unsigned long long)number,
			(unsigned long long)id, (unsigned long long)r->time_ns);
	t->next = number + 1, t->missed = c->missed;
}

static void dump(FILE *to, const struct record *r)
{
	if (to && (fwrite(&r->bytes, sizeof r->bytes, 1, to) != 1 || fwrite(r->payload, r->bytes, 1, to) != 1))
		fail("--dump: %s", strerror(errno));
}

/* Says what was received; counts are the records of each producer that had any. */
static void report(const struct consumer *c, const struct tally *of)
{
	const char *comma = "";

	printf("{\"records\":%llu,\"missed\":%llu,\"missed_bytes\":%llu,\"gaps\":%llu,\"position\":%llu,"
		"\"sequence\":%llu,\"counts\":{",
		(unsigned long long)c->delivered, (unsigned long long)c->missed, (unsigned long long)c->missed_bytes,
		(unsigned long long)c->gaps, (unsigned long long)c->after, (unsigned long long)c->sequence);
	for (unsigned id = 0; id < IDS_MAX; id++) {
		if (of[id].next)
			printf("%s\"%u\":%llu", comma, id, (unsigned long long)of[id].next), comma = ",";
	}
	puts("}}");
}

static void consume(const struct lent *lent, const struct options *o)
{
	static struct tally of[IDS_MAX];
	struct consumer c = { .position = 0 };
	struct record r = { .end = false };
	uint64_t number, id;
	FILE *to = o->dump ? fopen(o->dump, "w") : NULL;

	if (o->dump && !to)
		fail("--dump %s: %s", o->dump, strerror(errno));
	ring_map(&c.ring, lent, false);
	c.ring.policy = strcmp(lent->policy, "block") ? POLICY_SKIP : POLICY_BLOCK;
	consumer_start(&c, c.ring.policy == POLICY_BLOCK, !o->latest);
	puts("attached");
	fflush(stdout);
	while (!(o->until_end && r.end) && !(o->count && c.delivered == o->count)) {
		consumer_receive(&c, &r);
		if (r.end)
			continue;
		id = check_payload(o, &r, &number);
		count(&c, &r, &of[id], o->latest, id, number);
		dump(to, &r);
	}
	if (to && fclose(to))
		fail("--dump %s: %s", o->dump, strerror(errno));
	consumer_end(&c);
	report(&c, of);
}

static _Noreturn void usage(const char *why, const char *what)
{
	fprintf(stderr, "cclient: %s%s\nusage: cclient --socket S --ring R produce --id N --count M [--end]"
		" [--hold-claim 1|2] [--note FILE] [--pause-us N] [--size-max B] [--seed N]\n       cclient --socket S --ring R consume"
		" [--count N] [--until-end] [--from oldest|latest] [--policy block|skip] [--dump FILE] [--size-max B] [--seed N]\n", why, what);
	exit(EXIT_USAGE);
}

static uint64_t option_number(const char *name, const char *value, uint64_t max)
{
	char *end;
	unsigned long long n = strtoull(value, &end, 10);

	if (end == value || *end || *value == '-' || n > max)
		usage(name, ": not a number, or too large");
	return n;
}

static const char *one_of(const char *name, const char *value, const char *a, const char *b)
{
	if (strcmp(value, a) && strcmp(value, b))
		usage(name, ": no such choice");
	return value;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", 1, 0, 's'}, {"ring", 1, 0, 'r'}, {"id", 1, 0, 'i'}, {"count", 1, 0, 'c'}, {"seed", 1, 0, 'x'},
		{"size-max", 1, 0, 'b'}, {"end", 0, 0, 'e'}, {"hold-claim", 1, 0, 'h'}, {"note", 1, 0, 'n'}, {"until-end", 0, 0, 'u'},
		{"from", 1, 0, 'f'}, {"policy", 1, 0, 'p'}, {"dump", 1, 0, 'd'},
		{"pause-us", 1, 0, 'w'}, {0, 0, 0, 0}};
	struct options o = { .policy = "block", .size_max = 256 };
	char parameters[512];
	struct lent lent;

	for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (option) {
		case 's': o.socket = optarg; break;
		case 'r': o.ring = optarg; break;
		case 'i': o.id = option_number("--id", optarg, IDS_MAX - 1); break;
		case 'c': o.count = option_number("--count", optarg, INT64_MAX); break;
		case 'x': o.seed = option_number("--seed", optarg, UINT64_MAX); break;
		case 'b': o.size_max = option_number("--size-max", optarg, UINT32_MAX); break;
		case 'e': o.end = true; break;
		case 'h': o.hold_claim = option_number("--hold-claim", optarg, 2); break;
		case 'n': o.note = optarg; break;
		case 'u': o.until_end = true; break;
		case 'f': o.latest = !strcmp(one_of("--from", optarg, "oldest", "latest"), "latest"); break;
		case 'p': o.policy = one_of("--policy", optarg, "block", "skip"); break;
		case 'd': o.dump = optarg; break;
		case 'w': o.pause_us = option_number("--pause-us", optarg, 1000000); break;
		default: usage("what is meant?", "");
		}
	}
	bool producer = optind == argc - 1 && !strcmp(argv[optind], "produce");
	if (!producer && !(optind == argc - 1 && !strcmp(argv[optind], "consume")))
		usage("say produce or consume", "");
	if (!o.socket || !o.ring || o.size_max < RECORD_BYTES_MIN)
		usage("--socket and --ring are needed, and a --size-max of 16 at least", "");
	if (strspn(o.ring, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(o.ring) || strlen(o.ring) > 64)
		usage("--ring: no ring can be called ", o.ring);
	snprintf(parameters, sizeof parameters, producer ? "{\"ring\":\"%s\",\"role\":\"producer\",\"wait_strategy\":\"yield\"}"
		: "{\"ring\":\"%s\",\"role\":\"consumer\",\"wait_strategy\":\"yield\",\"policy\":\"%s\"}", o.ring, o.policy);
	int conn = control_dial(o.socket);
	control_attach(conn, parameters, &lent);
	if (producer)
		produce(&lent, &o);
	else
		consume(&lent, &o);
	control_detach(conn, lent.id); /* and nothing of the ring is used from here on */
	return 0;
}
