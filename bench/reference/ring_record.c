/*
 * The ring whose reader polls the record: word 0 of a record is
 * (position | kind) ^ key, stored last. It is right for one position only, so
 * bytes of an earlier lap never look valid, nothing has to be zeroed, and a
 * hand-off moves one cache line.
 */
#include "ring.h"

/* Any word that is valid nowhere will do: 0 is none, as no position reaches the key's high bits. */
static inline uint64_t word_unpublished(const struct producer *p, uint64_t position, uint64_t kind) {
	(void)p, (void)position, (void)kind;
	return 0;
}

static inline bool word_left_to_publish(void) {
	return true;
}

static inline void publish(struct producer *p) {
	const struct shape *s = &p->shape;
	while (p->published != p->tail) { /* front to back */
		uint64_t position = p->published, left = room(s, position);
		uint64_t kind = left < s->frame ? KIND_PAD : KIND_DATA;
		atomic_store_explicit(word_at(p->words, s, position), (position | kind) ^ p->key, memory_order_release);
		p->published += kind == KIND_PAD ? left : s->frame;
	}
	if (p->tail - p->hint >= HINT_BYTES) {
		p->hint = p->tail;
		atomic_store_explicit(&p->words->hint, p->tail, memory_order_release);
	}
}

static inline uint64_t record_kind(struct reader *r) {
	uint64_t word = atomic_load_explicit(word_at(r->words, &r->shape, r->position), memory_order_acquire);
	uint64_t kind = (word ^ r->key) - r->position;
	return kind == KIND_DATA || kind == KIND_PAD ? kind : 0;
}

static inline uint64_t published_bound(struct reader *r) {
	return atomic_load_explicit(&r->words->hint, memory_order_acquire);
}

#define PROGRAM "ring_record"
#include "ring_main.h"
