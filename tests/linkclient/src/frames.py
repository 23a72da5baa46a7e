"""The frames of docs/PROTOCOL.md, "Between hosts", to bytes and back."""

import struct

HELLO, WELCOME, CLOSE, OPEN, OPENED, END, DATA, GAP, ACK, BEAT = range(1, 11)
MIRROR, READ, PRODUCE = 1, 2, 3
POLICIES = {"default": 0, "block": 1, "demote": 2, "skip": 3, "latest": 4}
FROM = {"latest": 0, "oldest": 1, "position": 2, "resume": 3, "held": 4}
CODES = ["goodbye", "protocol", "version", "identity", "busy", "silent", "checksum", "refused", "position", "removed",
         "detached", "corrupt", "mirror_of_mirror", "denied", "internal"]

MAGIC = 0x4B4E494C444B5242
HEADER_BYTES = 16
DATA_HEADER_BYTES = 48
CONTROL_BYTES_MAX = 4096
CHUNK_BYTES_MAX = 1 << 28


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CASTAGNOLI = _table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = _CASTAGNOLI[(crc ^ b) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class BadFrame(Exception):
    """The peer sent what the page does not allow."""


def frame(kind, stream, body):
    """A whole frame with its checksum."""
    parts = [HEADER_BYTES + len(body), kind, 0, stream, 0, 0]
    parts[4] = crc32c(struct.pack("<IBBHII", *parts) + body)
    return struct.pack("<IBBHII", *parts) + body


def header(data):
    """(bytes, kind, stream) of the first 16 bytes of a frame."""
    size, kind, zero, stream, _, zeros = struct.unpack("<IBBHII", data)
    if not HELLO <= kind <= BEAT or zero or zeros:
        raise BadFrame(f"no frame: {data.hex()}")
    least, most = HEADER_BYTES, CONTROL_BYTES_MAX
    if kind == DATA:
        least, most = DATA_HEADER_BYTES + 16, DATA_HEADER_BYTES + CHUNK_BYTES_MAX
    if not least <= size <= most:
        raise BadFrame(f"a frame of kind {kind} has {size} bytes")
    if (stream == 0) != (kind in (HELLO, WELCOME, CLOSE, BEAT)):
        raise BadFrame(f"a frame of kind {kind} for stream {stream}")
    return size, kind, stream


def check(data):
    """Compares the checksum of a whole frame."""
    said = struct.unpack_from("<I", data, 8)[0]
    if said != crc32c(data[:8] + bytes(4) + data[12:]):
        raise BadFrame("wrong checksum")


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<H", len(b)) + b


def hello(name, agent, session=bytes(16), dead_after_ms=0, versions=(1, 1)):
    body = struct.pack("<QHHI16s", MAGIC, *versions, dead_after_ms, session)
    return frame(HELLO, 0, body + text(name) + text(agent))


def close(code, message):
    return frame(CLOSE, 0, struct.pack("<H", code) + text(message))


def open_stream(stream, mode, ring, label="", policy=0, start=0, epoch=0, position=0, sequence=0):
    body = struct.pack("<BBBBIQQQ", mode, policy, start, 0, 0, epoch, position, sequence)
    return frame(OPEN, stream, body + text(ring) + text(label))


def end(stream, code, message):
    return frame(END, stream, struct.pack("<H", code) + text("") + text(message) + text(""))


def data(stream, epoch, position, sequence, records, ring_bytes):
    return frame(DATA, stream, struct.pack("<QQQQ", epoch, position, sequence, records) + ring_bytes)


def ack(stream, position, sequence, limit):
    return frame(ACK, stream, struct.pack("<QQQ", position, sequence, limit))


def beat(time, echo, echo_delay):
    return frame(BEAT, 0, struct.pack("<QQQ", time, echo, echo_delay))


class Fields:
    """Reads the fields behind a header, front to back."""

    def __init__(self, data):
        self.data, self.at = data, HEADER_BYTES

    def take(self, form):
        try:
            values = struct.unpack_from("<" + form, self.data, self.at)
        except struct.error as e:
            raise BadFrame(f"a frame ends early: {e}") from e
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text(self):
        size = self.take("H")
        return self.take(f"{size}s").decode()

    def rest(self):
        rest, self.at = self.data[self.at:], len(self.data)
        return rest

    def end(self):
        if self.at != len(self.data):
            raise BadFrame(f"{len(self.data) - self.at} bytes too many")


def decode(data):
    """The fields of a frame that an acceptor sends, as a dict."""
    check(data)
    _, kind, stream = header(data[:HEADER_BYTES])
    f, out = Fields(data), {"kind": kind, "stream": stream}
    if kind == WELCOME:
        out["version"], out["streams_max"], out["dead_after_ms"] = f.take("HHI")
        out["name"], out["agent"] = f.text(), f.text()
    elif kind == CLOSE:
        out["code"], out["message"] = f.take("H"), f.text()
    elif kind == OPENED:
        out["flags"], out["record_max"], out["policy"], *_ = f.take("IIBBHI")
        for key in ("capacity", "key", "epoch", "position", "sequence"):
            out[key] = f.take("Q")
        out["id"], out["ring"] = f.text(), f.text()
    elif kind == END:
        out["code"] = f.take("H")
        out["name"], out["message"], out["parameters"] = f.text(), f.text(), f.text()
    elif kind == DATA:
        for key in ("epoch", "position", "sequence", "records"):
            out[key] = f.take("Q")
        out["ring_bytes"] = f.rest()
    elif kind == GAP:
        out["flags"], _ = f.take("II")
        for key in ("epoch", "position", "sequence", "to", "lost"):
            out[key] = f.take("Q")
    elif kind == ACK:
        for key in ("position", "sequence", "limit"):
            out[key] = f.take("Q")
    elif kind == BEAT:
        out["time"], out["echo"], out["echo_delay"] = f.take("QQQ")
        out["sent"] = f.rest()
    else:
        raise BadFrame(f"an acceptor does not send frames of kind {kind}")
    f.end()
    return out
