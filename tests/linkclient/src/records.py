"""The parts of a ring, docs/MEMORY_LAYOUT.md, section "Record"."""

import struct

from frames import BadFrame, crc32c

DATA, PAD, GAP, END = 1, 2, 3, 4
TIMESTAMPS, CHECKSUMS = 2, 4


def align(n):
    return (n + 15) // 16 * 16


class Form:
    """How the parts of a stream look: what its opened frame says."""

    def __init__(self, opened, plain=False):
        self.key, self.capacity, self.record_max = opened["key"], opened["capacity"], opened["record_max"]
        flags = 0 if plain else opened["flags"]
        self.before = 8 if flags & TIMESTAMPS else 0
        self.behind = 4 if flags & CHECKSUMS else 0

    def parts(self, position, ring_bytes):
        """Each part of a chunk as (kind, position, payload, tag, records)."""
        at = 0
        while at < len(ring_bytes):
            word, size, aux = struct.unpack_from("<QII", ring_bytes, at)
            here = position + at
            kind = (word ^ self.key) & 15
            if (word ^ self.key) & ~15 != here or not DATA <= kind <= END:
                raise BadFrame(f"no part at position {here}")
            total = align(16 + self.before + size + self.behind) if kind == DATA else size
            if total < 16 or total % 16 or total > len(ring_bytes) - at or kind == DATA and size > self.record_max:
                raise BadFrame(f"a part of kind {kind} at position {here} says {size} bytes")
            payload, records = b"", 0
            if kind == DATA:
                payload, records = self.payload(here, ring_bytes[at:at + total], size), 1
            elif kind == GAP:
                records = aux & 0xFFFFFF
            yield kind, here, payload, aux & 0xFFFF, records
            at += total

    def payload(self, position, part, size):
        begin = 16 + self.before
        if self.behind:
            said = struct.unpack_from("<I", part, begin + size)[0]
            if said != crc32c(struct.pack("<Q", position) + part[8:begin + size]):
                raise BadFrame(f"wrong checksum of the record at position {position}")
        return part[begin:begin + size]

    def record(self, position, payload, tag):
        """A record without timestamp and checksum, and the pad before it."""
        total = align(16 + len(payload))
        room = self.capacity - position % self.capacity
        pad = b""
        if total > room:
            pad = struct.pack("<QII", (position | PAD) ^ self.key, room, 0) + bytes(room - 16)
            position += room
        part = struct.pack("<QII", (position | DATA) ^ self.key, len(payload), tag) + payload
        return pad, part + bytes(total - len(part))
