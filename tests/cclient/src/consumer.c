/* Rules of a reader (docs/MEMORY_LAYOUT.md). */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cclient.h"

/* Yields once the reader has polled so often in vain. */
enum { POLLS_MAX = 200 };

/* Publishes the gate, and wakes producers that sleep on it (rule 4). */
static void publish_gate(struct consumer *c, uint64_t gate)
{
	if (!c->gating || c->gate == gate)
		return;
	c->gate = gate;
	atomic_store(u64_at(c->page, CU_GATE), c->gate);
	if (atomic_load(u32_at(c->ring.data, OFF_SPACE_WAITERS)))
		syscall(SYS_futex, u32_at(c->page, CU_GATE), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Tells whether the bytes at a position may have been overwritten; what was read
   of them before is worth nothing then (rule 3). */
static bool lapped(const struct ring *r, uint64_t position)
{
	atomic_thread_fence(memory_order_acquire);
	return acquire64(r->data, OFF_ANNOUNCE) > position + r->capacity;
}

/* Shows people where the reader is. */
static void publish_counts(struct consumer *c)
{
	release64(c->page, CU_POSITION, c->position);
	release64(c->page, CU_SEQUENCE, c->sequence);
	release64(c->page, CU_DELIVERED, c->delivered);
}

/* Rule 1: starts at the oldest record that is whole, or behind the newest. */
void consumer_start(struct consumer *c, bool gating, bool oldest)
{
	struct ring *r = &c->ring;
	struct boundary b;
	struct part part;

	c->page = r->cursor[r->slot];
	c->gating = gating;
	c->copy = malloc(frame_bytes(r, r->record_max));
	for (;;) {
		while (!(oldest ? oldest_boundary(r, &b) : newest_boundary(r, &b)))
			if (ring_ended(r))
				fail("the ring was removed, or this attachment was ended");
		uint64_t from = b.position;
		if (gating) { /* from here on producers stop in time, unless they had announced more already */
			atomic_store(u64_at(c->page, CU_GATE), from);
			if (atomic_load(u64_at(r->data, OFF_ANNOUNCE)) > from + r->capacity)
				continue;
		}
		while (!oldest && part_at(r, b.position, &part) && part.kind)
			b.position += part.bytes, b.sequence += part.records;
		if (gating || !lapped(r, from))
			break;
	}
	c->position = c->after = c->gate = b.position, c->sequence = b.sequence;
	if (gating) { /* a producer may sleep on one that was stored before */
		atomic_store(u64_at(c->page, CU_GATE), c->gate);
		syscall(SYS_futex, u32_at(c->page, CU_GATE), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
	publish_counts(c);
}

/* Rule 3: goes on where the ring is surely whole. */
static void catch_up(struct consumer *c)
{
	struct ring *r = &c->ring;
	struct boundary b;

	for (;;) {
		uint64_t announce = acquire64(r->data, OFF_ANNOUNCE);
		for (uint64_t chunk = oldest_whole(r, announce) / r->chunk + 2; chunk <= announce / r->chunk; chunk++) {
			if (!sync_entry(r, chunk, &b) || b.position <= c->position)
				continue;
			c->missed += b.sequence - c->sequence;
			c->missed_bytes += b.position - c->position;
			c->position = c->after = b.position, c->sequence = b.sequence;
			release64(c->page, CU_MISSED, c->missed);
			release64(c->page, CU_MISSED_BYTES, c->missed_bytes);
			return;
		}
		if (ring_ended(r))
			fail("the ring was removed, or this attachment was ended");
	}
}

/* Waits for the next part; false if it was overwritten first. */
static bool wait_part(struct consumer *c, struct part *part)
{
	for (unsigned polls = 0;; polls++) {
		bool sane = part_at(&c->ring, c->position, part);
		if (part->kind || !sane) {
			if (!c->gating && lapped(&c->ring, c->position))
				return false;
			if (!sane)
				fail("the ring is corrupt at position %llu", (unsigned long long)c->position);
			return true;
		}
		if (!c->gating && lapped(&c->ring, c->position))
			return false;
		publish_gate(c, c->position);
		if (ring_ended(&c->ring))
			fail("the ring was removed, or this attachment was ended");
		if (polls >= POLLS_MAX)
			sched_yield();
	}
}

/* Takes the record at the own position. False if it was overwritten meanwhile. */
static bool take(struct consumer *c, const struct part *part, struct record *out)
{
	struct ring *r = &c->ring;
	const unsigned char *record = at(r, c->position);
	size_t before = HEADER_BYTES + (r->timestamps ? 8 : 0);
	uint32_t sum;

	if (!c->gating) {
		memcpy(c->copy, record, part->bytes);
		if (lapped(r, c->position))
			return false;
		record = c->copy;
	}
	memcpy(&sum, record + before + part->len, r->checksum ? sizeof sum : 0);
	if (r->checksum && sum != record_checksum(r, c->position, record, part->len)) {
		release64(c->page, CU_CHECKSUM, ++c->checksum_errors);
		fail("the record at position %llu has a wrong checksum", (unsigned long long)c->position);
	}
	out->payload = record + before;
	out->bytes = part->len;
	out->tag = (uint16_t)part->aux;
	memcpy(&out->time_ns, record + HEADER_BYTES, r->timestamps ? sizeof out->time_ns : 0);
	return true;
}

/* Waits for the next record or the end of the stream. */
void consumer_receive(struct consumer *c, struct record *out)
{
	struct part part;

	memset(out, 0, sizeof *out);
	for (;;) {
		c->position = c->after;
		publish_counts(c);
		if (c->gating && c->position - c->gate >= c->ring.chunk / 4)
			publish_gate(c, c->position);
		if (!wait_part(c, &part) || (part.kind == KIND_DATA && !take(c, &part, out))) {
			catch_up(c);
			continue;
		}
		c->after = c->position + part.bytes;
		c->sequence += part.records;
		if (part.missed) {
			release64(c->page, CU_MISSED, c->missed += part.records);
			release64(c->page, CU_MISSED_BYTES, c->missed_bytes += part.bytes);
		} else if (part.kind == KIND_GAP || part.kind == KIND_JUMP) {
			release64(c->page, CU_GAPS, c->gaps += part.records);
		}
		out->end = part.kind == KIND_END;
		if (part.kind == KIND_DATA || out->end) {
			c->delivered += part.kind == KIND_DATA;
			return;
		}
	}
}

/* Is done with all that was delivered, and holds nobody from here on. */
void consumer_end(struct consumer *c)
{
	c->position = c->after;
	publish_counts(c);
	publish_gate(c, ALL_ONES);
}
