/*
 * The ring whose reader polls a published index: the producer stores the
 * position below which all is complete into one shared word, and the reader
 * waits there. A hand-off moves two cache lines: the index and the record.
 */
#include "ring.h"

static inline uint64_t word_unpublished(const struct producer *p, uint64_t position, uint64_t kind) {
	return (position | kind) ^ p->key; /* nobody reads it below the index */
}

static inline bool word_left_to_publish(void) {
	return false;
}

static inline void publish(struct producer *p) {
	if (p->published == p->tail)
		return;
	p->published = p->tail;
	atomic_store_explicit(&p->words->tail, p->tail, memory_order_release);
}

static inline uint64_t record_kind(struct reader *r) {
	if (r->position == r->limit) {
		r->limit = atomic_load_explicit(&r->words->tail, memory_order_acquire);
		if (r->position == r->limit)
			return 0;
	}
	uint64_t word = atomic_load_explicit(word_at(r->words, &r->shape, r->position), memory_order_relaxed);
	uint64_t kind = (word ^ r->key) - r->position;
	if (__builtin_expect(kind != KIND_DATA && kind != KIND_PAD, 0))
		fail("record at %llu: word 0 belongs to another position", (unsigned long long)r->position);
	return kind;
}

static inline uint64_t published_bound(struct reader *r) {
	return atomic_load_explicit(&r->words->tail, memory_order_acquire);
}

#define PROGRAM "ring_index"
#include "ring_main.h"
