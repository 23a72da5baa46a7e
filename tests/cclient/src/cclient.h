/*
 * cclient: a client of brokerd in C, written from docs/PROTOCOL.md and
 * docs/MEMORY_LAYOUT.md alone, to see that they are enough. It is a test
 * program, and short before it is quick: it polls (and yields) where it waits,
 * ends with a message where something is wrong, and does not attach again after
 * the daemon's death; the ring needs no daemon.
 *
 *   control.c   the socket: Attach and Detach
 *   ring.c      what producers and readers share: words, parts, boundaries
 *   producer.c  rules of a single producer and of many
 *   consumer.c  rules of a reader
 *   main.c      the command line, the contents of records, what is counted
 */
#ifndef CCLIENT_H
#define CCLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets and values of docs/MEMORY_LAYOUT.md, in its order. */
enum {
	CONFIGURATION_BYTES = 0x100, VERSION = 1, CRC_BEGIN = 0x008, CRC_END = 0x0FC,
	FLAG_MANY = 1, FLAG_TIMESTAMPS = 2, FLAG_CHECKSUM = 4, FLAG_MIRROR = 8,

	OFF_STATE = 0x100, OFF_CONSUMER_MASK = 0x108, OFF_PARK_MASK = 0x110, OFF_FENCE_MASK = 0x118,
	OFF_PRODUCER_MASK = 0x120, OFF_LENT_MASK = 0x128, STATE_LIVE = 1,

	OFF_TAIL = 0x180, OFF_ANNOUNCE = 0x200, OFF_USABLE = 0x280, OFF_SEQ_BASE = 0x288,
	OFF_SPACE_WAITERS = 0x380, OFF_WAKE_SEQ = 0x400,

	CONSUMERS_AT = 0x1000, CONSUMER_SLOT_BYTES = 64, PRODUCERS_AT = 0x2000, PRODUCER_SLOT_BYTES = 128,
	SYNC_AT = 0x4000, SYNC_ENTRY_BYTES = 16, CHUNKS = 16, DATA_AT = 0x5000, HINT_BYTES = 4096,
	OWNER_NONE = 63, SLOTS_MAX = 64,

	CS_GENERATION = 0x00, CS_POLICY = 0x04, CS_DEMOTE_AFTER = 0x08, CS_DEMOTED = 0x10,
	POLICY_BLOCK = 1, POLICY_DEMOTE = 2, POLICY_SKIP = 3,

	PS_INTENT = 0x00, PS_CLAIM_BYTES = 0x08, PS_CLAIM_RECORDS = 0x0C, PS_CLAIM_POSITION = 0x10,
	PS_CLAIM_SEQUENCE = 0x18, PS_HINT = 0x20, PS_HELD_NS = 0x48, PS_DEMOTIONS = 0x58,

	CURSOR_PAGE_BYTES = 4096, CU_GATE = 0x000, CU_SLEEP = 0x080, CU_POSITION = 0x100, CU_SEQUENCE = 0x108,
	CU_MISSED = 0x110, CU_MISSED_BYTES = 0x118, CU_GAPS = 0x120, CU_DELIVERED = 0x128, CU_CHECKSUM = 0x130,

	RECORD_ALIGN = 16, HEADER_BYTES = 16, LEN = 8, AUX = 12, JUMP_TARGET = 16, JUMP_LOST = 24, JUMP_BYTES = 32,
	KIND_DATA = 1, KIND_PAD = 2, KIND_GAP = 3, KIND_END = 4, KIND_JUMP = 5, JUMP_MISSED = 1,
};
#define MAGIC 0x31474E49524B5242u
#define ALL_ONES UINT64_MAX
#define POSITION_END (UINT64_C(1) << 60)

/* The configuration, as it lies at the front of the data file. */
struct configuration {
	uint64_t magic;
	uint32_t version, flags;
	uint64_t capacity;
	uint32_t record_max, chunk;
	uint64_t key, epoch;
	uint32_t consumers_off, producers_off, sync_off;
	uint16_t consumers_max, producers_max;
	uint64_t data_off;
	unsigned char zero[CRC_END - 0x048];
	uint32_t crc;
};
_Static_assert(sizeof(struct configuration) == CONFIGURATION_BYTES, "no padding");

/* What Attach lends. The descriptors belong to whoever asked, until mapped. */
struct lent {
	char id[128], policy[16];
	unsigned slot;
	uint32_t generation;
	uint64_t epoch;
	int data, cursors[SLOTS_MAX]; /* file descriptors */
	unsigned cursors_count;
};

/* control.c */
int control_dial(const char *path);
void control_attach(int conn, const char *parameters, struct lent *out);
void control_detach(int conn, const char *id);

/* A mapped ring. A reader has its own cursor page only, at its slot. */
struct ring {
	unsigned char *data, *cursor[SLOTS_MAX];
	uint64_t capacity, chunk, key;
	uint32_t record_max, generation;
	unsigned slot, consumers_max, policy; /* policy: of a reader, POLICY_... */
	bool many, timestamps, checksum, mirror, producer;
};

/* A place where a part begins, and the sequence number there. */
struct boundary { uint64_t position, sequence; };

/* A committed part as it was found; the next one is bytes further on. missed: its
   records were missed, and are no gap. */
struct part { unsigned kind; uint32_t len, aux; uint64_t bytes, records; bool missed; };

/* ring.c */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);
void ring_map(struct ring *r, const struct lent *lent, bool producer);
bool ring_ended(const struct ring *r);
uint64_t frame_bytes(const struct ring *r, uint64_t payload);
unsigned char *at(const struct ring *r, uint64_t position);
unsigned kind_at(const struct ring *r, uint64_t position);
bool part_at(const struct ring *r, uint64_t position, struct part *out);
uint32_t record_checksum(const struct ring *r, uint64_t position, const unsigned char *record, uint32_t payload);
uint64_t oldest_whole(const struct ring *r, uint64_t announce);
bool sync_entry(const struct ring *r, uint64_t chunk, struct boundary *out);
bool newest_boundary(const struct ring *r, struct boundary *out);
bool oldest_boundary(const struct ring *r, struct boundary *out);
uint64_t clock_ns(int clock);

/* Words of a file; base is data, a slot in it, or a cursor page. */
static inline _Atomic uint64_t *u64_at(const unsigned char *base, size_t offset)
{
	return (_Atomic uint64_t *)(uintptr_t)(base + offset);
}

static inline _Atomic uint32_t *u32_at(const unsigned char *base, size_t offset)
{
	return (_Atomic uint32_t *)(uintptr_t)(base + offset);
}

static inline uint64_t acquire64(const unsigned char *base, size_t offset)
{
	return atomic_load_explicit(u64_at(base, offset), memory_order_acquire);
}

static inline uint32_t acquire32(const unsigned char *base, size_t offset)
{
	return atomic_load_explicit(u32_at(base, offset), memory_order_acquire);
}

static inline void release64(unsigned char *base, size_t offset, uint64_t value)
{
	atomic_store_explicit(u64_at(base, offset), value, memory_order_release);
}

static inline void release32(unsigned char *base, size_t offset, uint32_t value)
{
	atomic_store_explicit(u32_at(base, offset), value, memory_order_release);
}

static inline unsigned char *consumer_slot(const struct ring *r, unsigned slot)
{
	return r->data + CONSUMERS_AT + slot * CONSUMER_SLOT_BYTES;
}

static inline unsigned char *producer_slot(const struct ring *r, unsigned slot)
{
	return r->data + PRODUCERS_AT + slot * PRODUCER_SLOT_BYTES;
}

/* A producer. What is said to be of one is not used in a ring of many. */
struct producer {
	struct ring ring;
	unsigned char *slot;
	uint64_t tail, sequence; /* of one */
	uint64_t synced;         /* of one: the chunk of the last part */
	uint64_t limit;          /* positions below it may be claimed; of many: a copy of usable */
	uint64_t hint;           /* position of the own hint */
	bool barrier;            /* registered for membarrier */
	uint32_t woken[SLOTS_MAX];      /* sleep word last woken */
	uint64_t held_ns[SLOTS_MAX];    /* by a demote reader; see rule 5 */
	uint32_t held_generation[SLOTS_MAX];
	uint64_t waits_since;    /* CLOCK_MONOTONIC, 0 while nothing holds */
};

/* Bytes that a producer may write: a pad if it is not 0 bytes, then one record. */
struct claim {
	uint64_t position, sequence, pad, frame;
	uint32_t records, owner; /* owner: prev_owner of the first part */
};

/* producer.c */
void producer_start(struct producer *p);
struct claim producer_claim(struct producer *p, uint32_t payload, bool end);
unsigned char *claim_payload(const struct producer *p, const struct claim *c);
void claim_commit_pad(struct producer *p, const struct claim *c);
void claim_commit(struct producer *p, const struct claim *c, unsigned kind, uint32_t payload);

/* A reader and what it has counted. */
struct consumer {
	struct ring ring;
	unsigned char *page, *copy;
	bool gating;
	uint64_t position, sequence, gate, after; /* after: where the next part begins */
	uint64_t delivered, missed, missed_bytes, gaps, checksum_errors;
};

/* A record as delivered: payload is good until the next call. */
struct record {
	bool end;
	const unsigned char *payload;
	uint32_t bytes;
	uint16_t tag;
	uint64_t time_ns; /* publish time; 0 without timestamps */
};

/* consumer.c */
void consumer_start(struct consumer *c, bool gating, bool oldest);
void consumer_receive(struct consumer *c, struct record *out);
void consumer_end(struct consumer *c);

#endif
