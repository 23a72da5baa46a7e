/* Rules of a single producer and of many (docs/MEMORY_LAYOUT.md). */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cclient.h"

/* Who sets a limit below what was asked for: a consumer slot, or one of these. */
enum { NOBODY = -1, A_CLAIM = -2 };

static const uint64_t LOW38 = (UINT64_C(1) << 38) - 1, LOW20 = (UINT64_C(1) << 20) - 1;

/* The tail word of many producers. */
static uint64_t pack(uint64_t position, unsigned slot, uint64_t sequence)
{
	return (position / RECORD_ALIGN & LOW38) | (uint64_t)slot << 38 | (sequence & LOW20) << 44;
}

/* Rule 1 of a single producer; many need none of it. */
void producer_start(struct producer *p)
{
	struct ring *r = &p->ring;
	struct boundary b;
	struct part part;

	if (r->mirror)
		fail("the ring is a mirror: no producer may write it");
	p->slot = producer_slot(r, r->slot);
	p->barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
	if (r->many) {
		p->limit = acquire64(r->data, OFF_USABLE);
		return;
	}
	if (!newest_boundary(r, &b))
		fail("the ring has no boundary to start at");
	for (;;) {
		if (!part_at(r, b.position, &part))
			fail("the ring is corrupt at position %llu", (unsigned long long)b.position);
		if (!part.kind)
			break;
		b.position += part.bytes, b.sequence += part.records;
	}
	p->tail = p->limit = b.position, p->sequence = b.sequence;
	p->synced = ALL_ONES;
	if (sync_entry(r, p->tail / r->chunk, &b) && b.position <= p->tail)
		p->synced = p->tail / r->chunk;
}

/* Tells whether the claim at `position` was won: whether T, its intent, was
   exchanged for the tail word X (rule 5 of many). The order of the looks matters. */
static bool won(const struct producer *p, unsigned slot, uint64_t intent, uint64_t end, uint32_t records)
{
	const struct ring *r = &p->ring;
	uint64_t tail = acquire64(r->data, OFF_TAIL), x = pack(end, slot, (intent >> 44) + records);
	struct part next;

	if (tail == intent || tail == x)
		return tail == x;
	for (uint64_t s = 0, lent = acquire64(r->data, OFF_LENT_MASK); s < OWNER_NONE; s++)
		if (s != slot && lent >> s & 1 && acquire64(producer_slot(r, (unsigned)s), PS_INTENT) == x)
			return true;
	return part_at(r, end, &next) && next.kind && next.aux >> 24 == slot;
}

/* Tells whether a slot has a claim that must not be lapped yet (rule 5 of many). */
static bool open_claim(const struct producer *p, unsigned s, uint64_t limit, uint64_t announce, uint64_t *position)
{
	const struct ring *r = &p->ring;
	unsigned char *slot = producer_slot(r, s);
	uint64_t intent = acquire64(slot, PS_INTENT);
	uint32_t bytes = acquire32(slot, PS_CLAIM_BYTES), records = acquire32(slot, PS_CLAIM_RECORDS);
	struct part part;

	*position = acquire64(slot, PS_CLAIM_POSITION);
	atomic_thread_fence(memory_order_acquire);
	if (intent == ALL_ONES || acquire64(slot, PS_INTENT) != intent)
		return false;
	if (*position + r->capacity >= limit || *position + r->capacity < announce)
		return false;
	if (!won(p, s, intent, *position + bytes, records))
		return false;
	for (uint64_t q = *position; q < *position + bytes; q += part.bytes) {
		if (!part_at(r, q, &part))
			return false; /* overwritten: it was complete */
		if (!part.kind)
			return true;
	}
	return false;
}

/* Returns how far below `want` readers and open claims let producers go, whose
   tail is at `tail`. *holder is who sets that. */
static uint64_t scan(struct producer *p, uint64_t tail, uint64_t want, int *holder)
{
	struct ring *r = &p->ring;
	uint64_t mask = atomic_load(u64_at(r->data, OFF_CONSUMER_MASK)), limit = want, position;

	*holder = NOBODY;
	for (unsigned s = 0; s < r->consumers_max; s++) {
		const unsigned char *slot = consumer_slot(r, s);
		uint32_t generation = acquire32(slot, CS_GENERATION), policy = acquire32(slot, CS_POLICY);
		if (!(mask >> s & 1) || (policy != POLICY_BLOCK && policy != POLICY_DEMOTE))
			continue;
		if (acquire64(slot, CS_DEMOTED) == generation)
			continue;
		uint64_t gate = atomic_load(u64_at(r->cursor[s], CU_GATE)) & ~(uint64_t)(RECORD_ALIGN - 1);
		if (gate > tail || tail - gate < r->capacity / 2 || generation != p->held_generation[s])
			p->held_ns[s] = 0, p->held_generation[s] = generation;
		if (gate <= tail && gate + r->capacity < limit)
			limit = gate + r->capacity, *holder = (int)s;
	}
	if (!r->many)
		return limit;
	uint64_t lent = acquire64(r->data, OFF_LENT_MASK), announce = acquire64(r->data, OFF_ANNOUNCE);
	for (unsigned s = 0; s < OWNER_NONE; s++)
		if (s != r->slot && lent >> s & 1 && open_claim(p, s, limit, announce, &position))
			limit = position + r->capacity, *holder = A_CLAIM;
	return limit;
}

/* Raises a shared position, never down. */
static void raise_to(_Atomic uint64_t *word, uint64_t to)
{
	uint64_t now = atomic_load(word);

	while (now < to && !atomic_compare_exchange_weak(word, &now, to))
		;
}

/* Rule 5: counts the time that a reader has held producers, and demotes it. */
static void held(struct producer *p, int holder)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), for_ns = p->waits_since ? now - p->waits_since : 0;

	p->waits_since = now;
	if (holder >= 0) {
		unsigned char *slot = consumer_slot(&p->ring, (unsigned)holder);
		uint64_t demoted = acquire64(slot, CS_DEMOTED);
		uint32_t generation = p->held_generation[holder];
		p->held_ns[holder] += for_ns;
		atomic_fetch_add(u64_at(p->slot, PS_HELD_NS), for_ns);
		if (acquire32(slot, CS_POLICY) == POLICY_DEMOTE && demoted < generation &&
		    p->held_ns[holder] > acquire64(slot, CS_DEMOTE_AFTER) &&
		    atomic_compare_exchange_strong(u64_at(slot, CS_DEMOTED), &demoted, generation))
			atomic_fetch_add(u64_at(p->slot, PS_DEMOTIONS), 1);
	}
	sched_yield();
}

/* Tries to get `need` bytes behind the tail (rule 2; of many, rule 4). False if
   somebody holds the producer. */
static bool raise_limit(struct producer *p, uint64_t tail, uint64_t need)
{
	struct ring *r = &p->ring;
	_Atomic uint64_t *announce = u64_at(r->data, OFF_ANNOUNCE);
	int holder;
	uint64_t limit = scan(p, tail, tail + (need > r->chunk ? need : r->chunk), &holder);

	if (limit >= tail + need) {
		raise_to(announce, limit);
		limit = scan(p, tail, limit, &holder);
	}
	if (limit < tail + need) {
		held(p, holder);
		return false;
	}
	p->waits_since = 0;
	p->limit = limit;
	if (r->many)
		raise_to(u64_at(r->data, OFF_USABLE), limit);
	return true;
}

static uint64_t pad_before(const struct ring *r, uint64_t position, uint64_t frame)
{
	uint64_t room = r->capacity - position % r->capacity;

	return frame > room ? room : 0;
}

static void write_pair(unsigned char *base, size_t offset, uint64_t position, uint64_t sequence)
{
	release64(base, offset, ALL_ONES);
	release64(base, offset + 8, sequence);
	release64(base, offset, position);
}

static void write_sync(struct ring *r, uint64_t position, uint64_t sequence)
{
	write_pair(r->data, SYNC_AT + position / r->chunk % CHUNKS * SYNC_ENTRY_BYTES, position, sequence);
}

/* One attempt of rules 1 and 2 of many producers. */
static bool claim_many(struct producer *p, struct claim *c)
{
	struct ring *r = &p->ring;
	uint64_t tail = acquire64(r->data, OFF_TAIL), expected = tail;
	uint64_t announce = acquire64(r->data, OFF_ANNOUNCE), base = acquire64(r->data, OFF_SEQ_BASE);

	if (atomic_load(u64_at(r->data, OFF_TAIL)) != tail)
		return false;
	c->position = announce - RECORD_ALIGN * ((announce / RECORD_ALIGN - (tail & LOW38)) & LOW38);
	c->sequence = base + (((tail >> 44) - base) & LOW20);
	c->owner = tail >> 38 & 63;
	c->pad = pad_before(r, c->position, c->frame);
	uint64_t end = c->position + c->pad + c->frame;
	if (end > p->limit)
		p->limit = acquire64(r->data, OFF_USABLE);
	if (end > p->limit) {
		release64(p->slot, PS_INTENT, ALL_ONES);
		raise_limit(p, c->position, c->pad + c->frame);
		return false; /* with or without: others may have claimed meanwhile */
	}
	release64(p->slot, PS_INTENT, ALL_ONES);
	release32(p->slot, PS_CLAIM_BYTES, (uint32_t)(c->pad + c->frame));
	release32(p->slot, PS_CLAIM_RECORDS, c->records);
	release64(p->slot, PS_CLAIM_POSITION, c->position);
	release64(p->slot, PS_CLAIM_SEQUENCE, c->sequence);
	release64(p->slot, PS_INTENT, tail);
	if (!atomic_compare_exchange_strong(u64_at(r->data, OFF_TAIL), &expected, pack(end, r->slot, c->sequence + c->records)))
		return false;
	if (c->position / r->chunk != end / r->chunk)
		write_sync(r, end, c->sequence + c->records);
	if (c->position / HINT_BYTES != end / HINT_BYTES)
		raise_to(u64_at(r->data, OFF_SEQ_BASE), c->sequence + c->records);
	return true;
}

static bool claim_single(struct producer *p, struct claim *c)
{
	c->position = p->tail, c->sequence = p->sequence;
	c->pad = pad_before(&p->ring, p->tail, c->frame);
	return c->position + c->pad + c->frame <= p->limit || raise_limit(p, p->tail, c->pad + c->frame);
}

/* Waits until a record, or the end of the stream, may be written. */
struct claim producer_claim(struct producer *p, uint32_t payload, bool end)
{
	struct claim c = { .frame = frame_bytes(&p->ring, payload), .records = end ? 0 : 1 };

	if (payload > p->ring.record_max)
		fail("a record has %u bytes, the ring takes %u", payload, p->ring.record_max);
	do {
		if (ring_ended(&p->ring))
			fail("the ring was removed, or this attachment was ended");
	} while (!(p->ring.many ? claim_many(p, &c) : claim_single(p, &c)));
	return c;
}

unsigned char *claim_payload(const struct producer *p, const struct claim *c)
{
	return at(&p->ring, c->position + c->pad) + HEADER_BYTES + (p->ring.timestamps ? 8 : 0);
}

/* Writes a part but for its payload and commits it (rule 3 of a single producer). */
static void commit_part(struct producer *p, uint64_t position, uint64_t sequence, unsigned kind, uint32_t len, uint32_t aux)
{
	struct ring *r = &p->ring;
	unsigned char *record = at(r, position);
	bool fence = !p->barrier || atomic_load_explicit(u64_at(r->data, OFF_FENCE_MASK), memory_order_relaxed);
	uint64_t word = (position | kind) ^ r->key;

	if (!r->many && position / r->chunk != p->synced) {
		write_sync(r, position, sequence);
		p->synced = position / r->chunk;
	}
	atomic_store_explicit(u32_at(record, LEN), len, memory_order_relaxed);
	atomic_store_explicit(u32_at(record, AUX), aux, memory_order_relaxed);
	if (kind == KIND_DATA || kind == KIND_END) {
		uint64_t now = clock_ns(CLOCK_REALTIME);
		uint32_t payload = kind == KIND_DATA ? len : 0;
		if (r->timestamps)
			memcpy(record + HEADER_BYTES, &now, sizeof now);
		uint32_t sum = r->checksum ? record_checksum(r, position, record, payload) : 0;
		if (r->checksum)
			memcpy(record + HEADER_BYTES + (r->timestamps ? 8 : 0) + payload, &sum, sizeof sum);
	}
	if (fence)
		atomic_store(u64_at(record, 0), word);
	else
		release64(record, 0, word);
}

/* Rule 4: wakes readers that sleep. */
static void wake(struct producer *p)
{
	struct ring *r = &p->ring;
	uint64_t park = atomic_load(u64_at(r->data, OFF_PARK_MASK));
	bool any = false;

	for (unsigned s = 0; park >> s; s++) {
		if (!(park >> s & 1) || s >= r->consumers_max)
			continue;
		uint32_t word = atomic_load(u32_at(r->cursor[s], CU_SLEEP));
		if (word & 1 && word != p->woken[s])
			p->woken[s] = word, any = true;
	}
	if (any) {
		atomic_fetch_add(u32_at(r->data, OFF_WAKE_SEQ), 1);
		syscall(SYS_futex, u32_at(r->data, OFF_WAKE_SEQ), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
}

/* Commits the pad of a claim that has one. */
void claim_commit_pad(struct producer *p, const struct claim *c)
{
	if (c->pad)
		commit_part(p, c->position, c->sequence, KIND_PAD, (uint32_t)c->pad, c->owner << 24);
}

/* Commits the record of a claim, whose pad was committed before. */
void claim_commit(struct producer *p, const struct claim *c, unsigned kind, uint32_t payload)
{
	struct ring *r = &p->ring;
	uint64_t position = c->position + c->pad;
	uint32_t owner = !r->many ? 0 : c->pad ? OWNER_NONE : c->owner;

	commit_part(p, position, c->sequence, kind, kind == KIND_DATA ? payload : (uint32_t)c->frame, owner << 24);
	if (r->many)
		release64(p->slot, PS_INTENT, ALL_ONES);
	else
		p->tail = position + c->frame, p->sequence += c->records;
	if (kind == KIND_DATA && position >= p->hint + HINT_BYTES) {
		write_pair(p->slot, PS_HINT, position, c->sequence);
		p->hint = position;
	}
	wake(p);
}
