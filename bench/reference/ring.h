/*
 * A ring of records between one producer and one reader: all that the ring
 * polling an index and the ring polling the record have in common. A program
 * includes this file, defines the hooks below, then includes ring_main.h.
 *
 * A position is a byte count that only grows; offset = position mod capacity.
 * Record: word 0 = commit, word 1 = payload bytes (low half), then header
 * words up to the header size, then the payload. A record never wraps: what is
 * left at the ring's end becomes a pad, and a pad always runs to that end.
 */
#ifndef RING_H
#define RING_H

#include "reference.h"

enum {
	KIND_DATA = 1,
	KIND_PAD = 2,
	HINT_BYTES = 4096, /* the record ring tells its progress this often */
	PAGE_BYTES = 4096,
	WORD_BYTES = 8,
	LINE_WORDS = 8, /* a record of one line, the commonest here, is handled without a loop */
};

typedef _Atomic uint64_t shared_word;
typedef uint64_t wide64 __attribute__((vector_size(64), aligned(8), may_alias));
typedef uint64_t wide32 __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t wide16 __attribute__((vector_size(16), aligned(8), may_alias));

/* The shared words, each alone on its pair of lines, then the data. */
struct ring_words {
	alignas(GROUP_BYTES) shared_word tail; /* index ring: all below is published */
	alignas(GROUP_BYTES) shared_word gate; /* reader: all below may be overwritten */
	alignas(GROUP_BYTES) shared_word hint; /* record ring: coarse tail */
	alignas(GROUP_BYTES) unsigned char data[];
};

struct shape {
	uint64_t capacity, payload, header, align, batch, frame, window, far;
	bool wide;
};

struct producer {
	struct ring_words *words;
	struct shape shape;
	uint64_t key, tail, usable, published, hint;
};

struct reader {
	struct ring_words *words;
	struct shape shape;
	uint64_t key, position, limit, far_limit, gate, gate_step, sum;
};

/* ---- hooks: what differs between the two rings ---- */

/* Word 0 as it is stored with the rest of the record, before it is published. */
static inline uint64_t word_unpublished(const struct producer *p, uint64_t position, uint64_t kind);
/* Whether narrow stores may leave word 0 as it is until publish stores it. */
static inline bool word_left_to_publish(void);
/* Makes all records and pads of [p->published, p->tail) visible, in order. */
static inline void publish(struct producer *p);
/* Kind of the record at r->position, 0 while there is none. */
static inline uint64_t record_kind(struct reader *r);
/* A position up to which records are surely published, without polling them. */
static inline uint64_t published_bound(struct reader *r);

/* ---- producer ---- */

static inline uint64_t round_up(uint64_t bytes, uint64_t unit) {
	return (bytes + unit - 1) & ~(unit - 1);
}

static inline shared_word *word_at(struct ring_words *words, const struct shape *s, uint64_t position) {
	return (shared_word *)(void *)(words->data + (position & (s->capacity - 1)));
}

/* Bytes from position to the end of the ring. */
static inline uint64_t room(const struct shape *s, uint64_t position) {
	return s->capacity - (position & (s->capacity - 1));
}

/* Waits until the reader has left bytes behind p->tail. What is filled but not
 * yet published must go out first, or both sides would wait. */
static inline void await_space(struct producer *p, uint64_t bytes) {
	if (__builtin_expect(p->tail + bytes <= p->usable, 1))
		return;
	publish(p);
	do
		p->usable = atomic_load_explicit(&p->words->gate, memory_order_acquire) + p->shape.window;
	while (p->tail + bytes > p->usable);
}

/* Plain 8-byte stores, one a word, as a program filling a struct in place makes
 * them (volatile keeps the compiler from widening them). */
static inline void fill_words(uint64_t *at, uint64_t first, uint64_t second, uint64_t rest, uint64_t count) {
	volatile uint64_t *to = at;
	if (!word_left_to_publish())
		to[0] = first;
	to[1] = second;
	if (count == LINE_WORDS) {
#pragma GCC unroll 8
		for (int i = 2; i < LINE_WORDS; i++)
			to[i] = rest;
		return;
	}
	for (uint64_t i = 2; i < count; i++)
		to[i] = rest;
}

/* The widest stores that fit, header and payload together. */
static inline void fill_wide(uint64_t *at, uint64_t first, uint64_t second, uint64_t rest, uint64_t count) {
	const wide64 body = {rest, rest, rest, rest, rest, rest, rest, rest};
	wide64 head = body;
	head[0] = first;
	head[1] = second;
	if (count == LINE_WORDS) {
		*(wide64 *)at = head;
		return;
	}
	if (count < LINE_WORDS) {
		*(wide16 *)at = (wide16){first, second};
		at += 2, count -= 2;
	} else {
		*(wide64 *)at = head;
		at += 8, count -= 8;
	}
	for (; count >= 8; at += 8, count -= 8)
		*(wide64 *)at = body;
	if (count >= 4) {
		*(wide32 *)at = (wide32){rest, rest, rest, rest};
		at += 4, count -= 4;
	}
	if (count >= 2) {
		*(wide16 *)at = (wide16){rest, rest};
		at += 2, count -= 2;
	}
	if (count > 0)
		*at = rest;
}

/* Writes one record whose header and payload words all hold value. */
static inline void produce(struct producer *p, bool wide, uint64_t value) {
	const struct shape *s = &p->shape;
	uint64_t left = room(s, p->tail);
	if (__builtin_expect(left < s->frame, 0)) {
		await_space(p, left);
		uint64_t *pad = (uint64_t *)(void *)word_at(p->words, s, p->tail);
		*pad = word_unpublished(p, p->tail, KIND_PAD);
		p->tail += left;
	}
	await_space(p, s->frame);
	uint64_t *at = (uint64_t *)(void *)word_at(p->words, s, p->tail);
	uint64_t count = (s->header + s->payload + WORD_BYTES - 1) / WORD_BYTES;
	uint64_t first = word_unpublished(p, p->tail, KIND_DATA);
	if (wide)
		fill_wide(at, first, s->payload, value, count);
	else
		fill_words(at, first, s->payload, value, count);
	p->tail += s->frame;
}

/* ---- reader ---- */

/* Every gate_step, and not before a wait: the producer can do with gate_step less
 * room, so nobody waits for it. */
static inline void gate_store(struct reader *r) {
	r->gate = r->position;
	atomic_store_explicit(&r->words->gate, r->position, memory_order_release);
}

/* Keeps the reader at least shape.far behind the producer. */
static inline void stay_far(struct reader *r) {
	while (r->position + r->shape.far > r->far_limit)
		r->far_limit = published_bound(r);
}

/* Sum of a record's words behind the first two. */
static inline __attribute__((always_inline)) uint64_t sum_words(const uint64_t *at, uint64_t count) {
	uint64_t sum = 0;
	for (uint64_t i = 2; i < count; i++)
		sum += at[i];
	return sum;
}

/* Waits for the next record, reads all of it in place, returns its last word. */
static inline uint64_t consume(struct reader *r) {
	const struct shape *s = &r->shape;
	for (;;) {
		uint64_t kind = record_kind(r);
		if (__builtin_expect(kind == KIND_DATA, 1))
			break;
		if (kind == KIND_PAD)
			r->position += room(s, r->position);
		else
			spin_pause();
	}
	const uint64_t *at = (const uint64_t *)(const void *)word_at(r->words, s, r->position);
	uint64_t payload = at[1] & UINT32_MAX;
	if (__builtin_expect(s->header + payload > room(s, r->position), 0))
		fail("record at %llu: length %llu passes the end of the ring", (unsigned long long)r->position,
		     (unsigned long long)payload);
	uint64_t words = (s->header + payload + WORD_BYTES - 1) / WORD_BYTES;
	r->sum += words == LINE_WORDS ? sum_words(at, LINE_WORDS) : sum_words(at, words);
	uint64_t value = at[words - 1];
	r->position += round_up(s->header + payload, s->align);
	if (r->position - r->gate >= r->gate_step)
		gate_store(r);
	return value;
}

#endif
