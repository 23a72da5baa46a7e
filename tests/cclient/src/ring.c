/* What producers and readers share (docs/MEMORY_LAYOUT.md). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cclient.h"

_Noreturn void fail(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("cclient: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

uint64_t clock_ns(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CRC32C, Castagnoli; crc is 0 or what the bytes before gave. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
	static uint32_t table[256];
	const unsigned char *p = bytes;

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		uint32_t entry = i;
		for (int bit = 0; bit < 8; bit++)
			entry = entry >> 1 ^ (entry & 1 ? 0x82F63B78u : 0);
		table[i] = entry;
	}
	for (crc = ~crc; n--; p++)
		crc = crc >> 8 ^ table[(crc ^ *p) & 0xFF];
	return ~crc;
}

static void *map(int fd, size_t bytes, int protection, const char *what)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0 || (size_t)st.st_size != bytes)
		fail("%s has %lld bytes, %zu expected", what, (long long)st.st_size, bytes);
	p = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fail("map %s: %s", what, strerror(errno));
	close(fd);
	return p;
}

static void check(bool right, const char *what)
{
	if (!right)
		fail("the ring's configuration: %s is not what the layout allows", what);
}

/* The configuration is copied before it is looked at. Returns the size that the
   file must have. */
static uint64_t read_configuration(struct ring *r, int fd, uint64_t epoch)
{
	struct configuration c;

	if (pread(fd, &c, sizeof c, 0) != sizeof c)
		fail("the data file is shorter than a configuration");
	check(c.magic == MAGIC, "magic");
	check(c.version == VERSION, "version");
	check(c.crc == crc32c(0, (unsigned char *)&c + CRC_BEGIN, CRC_END - CRC_BEGIN), "checksum");
	check(c.capacity >= 1 << 16 && c.capacity <= UINT64_C(1) << 31 && !(c.capacity & (c.capacity - 1)), "capacity");
	check(c.record_max >= 1 && c.record_max <= c.capacity / 8 - 64, "record_max");
	check(c.chunk == c.capacity / CHUNKS, "chunk");
	check(c.key >> 60 != 0, "key");
	check(c.epoch == epoch, "epoch");
	check(c.consumers_off == CONSUMERS_AT && c.producers_off == PRODUCERS_AT, "the place of the slots");
	check(c.sync_off == SYNC_AT && c.data_off == DATA_AT, "the place of sync table or records");
	check(c.consumers_max >= 1 && c.consumers_max <= SLOTS_MAX && c.producers_max == SLOTS_MAX, "the number of slots");
	for (size_t i = 0; i < sizeof c.zero; i++)
		check(!c.zero[i], "a reserved byte");
	check(!(c.flags & ~(uint32_t)(FLAG_MANY | FLAG_TIMESTAMPS | FLAG_CHECKSUM | FLAG_MIRROR)), "flags");
	r->capacity = c.capacity, r->chunk = c.chunk, r->key = c.key, r->record_max = c.record_max;
	r->consumers_max = c.consumers_max;
	r->many = c.flags & FLAG_MANY, r->timestamps = c.flags & FLAG_TIMESTAMPS, r->checksum = c.flags & FLAG_CHECKSUM;
	r->mirror = c.flags & FLAG_MIRROR;
	return DATA_AT + c.capacity;
}

/* Maps what was lent and lets go of its descriptors. */
void ring_map(struct ring *r, const struct lent *lent, bool producer)
{
	int data_access = producer ? PROT_READ | PROT_WRITE : PROT_READ;
	int page_access = producer ? PROT_READ : PROT_READ | PROT_WRITE;

	memset(r, 0, sizeof *r);
	r->producer = producer, r->slot = lent->slot, r->generation = lent->generation;
	r->data = map(lent->data, read_configuration(r, lent->data, lent->epoch), data_access, "the data file");
	if (lent->cursors_count != (producer ? r->consumers_max : 1))
		fail("%u cursor pages came, the ring has %u slots", lent->cursors_count, r->consumers_max);
	for (unsigned i = 0; i < lent->cursors_count; i++)
		r->cursor[producer ? i : r->slot] = map(lent->cursors[i], CURSOR_PAGE_BYTES, page_access, "a cursor page");
}

/* Tells whether the ring or this attachment is over. */
bool ring_ended(const struct ring *r)
{
	const unsigned char *slot = consumer_slot(r, r->slot);

	if (acquire32(r->data, OFF_STATE) != STATE_LIVE)
		return true;
	if (r->producer)
		return !(acquire64(r->data, OFF_PRODUCER_MASK) >> r->slot & 1);
	return acquire32(slot, CS_GENERATION) != r->generation || acquire32(slot, CS_POLICY) != r->policy;
}

/* The bytes of a record with its header, timestamp, checksum and alignment. */
uint64_t frame_bytes(const struct ring *r, uint64_t payload)
{
	uint64_t n = HEADER_BYTES + (r->timestamps ? 8 : 0) + payload + (r->checksum ? 4 : 0);

	return (n + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

unsigned char *at(const struct ring *r, uint64_t position)
{
	return r->data + DATA_AT + position % r->capacity;
}

/* The kind of the part that is committed at a position, 0 for none. */
unsigned kind_at(const struct ring *r, uint64_t position)
{
	uint64_t word = acquire64(at(r, position), 0) ^ r->key;
	unsigned kind = word & 15;

	return (word & ~UINT64_C(15)) == position && kind >= KIND_DATA && kind <= (r->mirror ? KIND_JUMP : KIND_END) ? kind : 0;
}

/* Completes a jump at a position, whose header was read. */
static bool jump_at(const struct ring *r, uint64_t position, struct part *out)
{
	uint64_t target;

	out->missed = out->aux & JUMP_MISSED;
	out->records = (out->aux & 0xFFFFFF) >> 1;
	if (out->len == RECORD_ALIGN)
		return true;
	target = acquire64(at(r, position), JUMP_TARGET);
	out->records = acquire64(at(r, position), JUMP_LOST);
	out->bytes = target - position;
	return out->len == JUMP_BYTES && target % RECORD_ALIGN == 0 && target >= position + JUMP_BYTES && target < POSITION_END;
}

/* Reads the header of the part at a position; kind 0 if none is committed. False
   if it cannot be: then the ring is corrupt, or it was overwritten meanwhile. */
bool part_at(const struct ring *r, uint64_t position, struct part *out)
{
	memset(out, 0, sizeof *out);
	out->kind = kind_at(r, position);
	if (!out->kind)
		return true;
	out->len = atomic_load_explicit(u32_at(at(r, position), LEN), memory_order_relaxed);
	out->aux = atomic_load_explicit(u32_at(at(r, position), AUX), memory_order_relaxed);
	out->bytes = out->kind == KIND_DATA ? frame_bytes(r, out->len) : out->len;
	out->records = out->kind == KIND_DATA ? 1 : out->kind == KIND_GAP ? out->aux & 0xFFFFFF : 0;
	if (out->bytes < HEADER_BYTES || out->bytes % RECORD_ALIGN || out->bytes > r->capacity - position % r->capacity)
		return false;
	if (out->kind == KIND_JUMP)
		return jump_at(r, position, out);
	return out->kind != KIND_DATA || out->len <= r->record_max;
}

/* The checksum of a record that is, or was, at a position. */
uint32_t record_checksum(const struct ring *r, uint64_t position, const unsigned char *record, uint32_t payload)
{
	size_t header = HEADER_BYTES - LEN + (r->timestamps ? 8 : 0);

	return crc32c(crc32c(0, &position, sizeof position), record + LEN, header + payload);
}

/* The lowest position that is certainly not overwritten. */
uint64_t oldest_whole(const struct ring *r, uint64_t announce)
{
	return announce > r->capacity ? announce - r->capacity : 0;
}

/* Reads a pair of position and sequence number that may be changing. */
static bool pair(const unsigned char *base, size_t offset, struct boundary *out)
{
	out->position = acquire64(base, offset);
	out->sequence = acquire64(base, offset + 8);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(u64_at(base, offset), memory_order_relaxed) == out->position && out->position < POSITION_END;
}

/* Reads the sync entry of a chunk; false if it is of another lap. */
bool sync_entry(const struct ring *r, uint64_t chunk, struct boundary *out)
{
	return pair(r->data, SYNC_AT + chunk % CHUNKS * SYNC_ENTRY_BYTES, out) && out->position / r->chunk == chunk;
}

/* Looks at the boundary in an entry of the sync table. */
static bool known(const struct ring *r, unsigned entry, struct boundary *out)
{
	return pair(r->data, SYNC_AT + entry * SYNC_ENTRY_BYTES, out) && out->position / r->chunk % CHUNKS == entry;
}

/* The newest boundary that is known, of sync entries and hints. */
bool newest_boundary(const struct ring *r, struct boundary *out)
{
	uint64_t announce = acquire64(r->data, OFF_ANNOUNCE), lent = acquire64(r->data, OFF_LENT_MASK);
	bool found = false;
	struct boundary b;

	for (unsigned i = 0; i < CHUNKS + SLOTS_MAX; i++) {
		bool good = i < CHUNKS ? known(r, i, &b)
			: lent >> (i - CHUNKS) & 1 && pair(producer_slot(r, i - CHUNKS), PS_HINT, &b);
		if (!good || b.position < oldest_whole(r, announce) || b.position % RECORD_ALIGN)
			continue;
		if (b.position > announce && !(r->mirror && i < CHUNKS)) /* a mirror has jumped there */
			continue;
		if (!found || b.position > out->position)
			*out = b;
		found = true;
	}
	return found;
}

/* The first sync entry that is not overwritten. */
bool oldest_boundary(const struct ring *r, struct boundary *out)
{
	uint64_t announce = acquire64(r->data, OFF_ANNOUNCE);
	bool found = false;
	struct boundary b;

	for (unsigned i = 0; i < CHUNKS; i++) {
		if (!known(r, i, &b) || b.position < oldest_whole(r, announce) || b.position % RECORD_ALIGN)
			continue;
		if (b.position > announce && !r->mirror)
			continue;
		if (!found || b.position < out->position)
			*out = b;
		found = true;
	}
	return found;
}
