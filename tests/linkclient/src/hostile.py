"""What no correct dialer sends, and what the acceptor says to it."""

import ssl
import struct
import time

import frames
import link
import records

CASES = {}


def case(f):
    CASES[f.__name__.replace("_", "-")] = f
    return f


@case
def garbage(a, ring):
    return raw(a, b"GET / HTTP/1.1\r\nHost: brokerd\r\n\r\n")


@case
def huge_control(a, ring):
    return raw(a, struct.pack("<IBBHII", 1 << 31, frames.HELLO, 0, 0, 0, 0))


@case
def huge_data(a, ring):
    c = a.connect()
    c.send(struct.pack("<IBBHII", 0xFFFFFFF0, frames.DATA, 0, 1, 0, 0))
    return heard(c)


@case
def silence(a, ring):
    return raw(a, b"")


@case
def magic(a, ring):
    f = bytearray(frames.hello(a.name, "hostile"))
    f[16] ^= 1
    return raw(a, frames.frame(frames.HELLO, 0, bytes(f[16:])))


@case
def future(a, ring):
    return raw(a, frames.frame(frames.HELLO, 0, frames.hello(a.name, "of 2030", versions=(2, 3))[16:] + b"news"))


@case
def hello_twice(a, ring):
    c = a.connect()
    c.send(frames.hello(a.name, "again"))
    return heard(c)


@case
def early(a, ring):
    return raw(a, frames.hello(a.name, "hasty") + frames.open_stream(1, frames.READ, ring))


@case
def checksum(a, ring):
    f = bytearray(frames.hello(a.name, "damaged"))
    f[-1] ^= 1
    return raw(a, bytes(f))


@case
def unknown_stream(a, ring):
    c = a.connect()
    c.send(frames.ack(7, 0, 0, 65536))
    return heard(c)


@case
def data_checksum(a, ring):
    p = producer(a, ring)
    f = bytearray(p.sendable())
    f[-1] ^= 1
    p.link.send(bytes(f))
    return heard(p.link)


@case
def wrong_position(a, ring):
    p = producer(a, ring)
    position, sequence, count, part = p.unsent[0]
    p.link.send(frames.data(1, p.epoch, position + 16, sequence, count, part))
    return heard(p.link)


@case
def wrong_epoch(a, ring):
    p = producer(a, ring)
    position, sequence, count, part = p.unsent[0]
    p.link.send(frames.data(1, p.epoch + 1, position, sequence, count, part))
    return heard(p.link)


@case
def no_records(a, ring):
    p = producer(a, ring)
    p.link.send(frames.data(1, p.epoch, p.unsent[0][0], p.unsent[0][1], 1, bytes(64)))
    return heard(p.link)


@case
def miscounted(a, ring):
    p = producer(a, ring)
    position, sequence, _, part = p.unsent[0]
    p.link.send(frames.data(1, p.epoch, position, sequence, 2, part))
    return heard(p.link)


@case
def too_long_record(a, ring):
    p = producer(a, ring)
    position, sequence, *_ = p.unsent[0]
    size = p.form.record_max + 1
    part = struct.pack("<QII", (position | records.DATA) ^ p.form.key, size, 0) + bytes(records.align(size))
    p.link.send(frames.data(1, p.epoch, position, sequence, 1, part))
    return heard(p.link)


@case
def past_the_limit(a, ring):
    p = producer(a, ring)
    size = frames.DATA_HEADER_BYTES + p.limit + 32
    fields = struct.pack("<QQQQ", p.epoch, *p.unsent[0][:2], 1)
    p.link.send(struct.pack("<IBBHII", size, frames.DATA, 0, 1, 0, 0) + fields + p.unsent[0][3])
    return heard(p.link)


@case
def without_credit(a, ring):
    c = a.connect()
    opened = c.open(1, frames.READ, ring)
    c.send(frames.data(1, opened["epoch"], opened["position"], opened["sequence"], 0, bytes(16)))
    return heard(c)


@case
def ack_of_nothing(a, ring):
    c = a.connect()
    opened = c.open(1, frames.READ, ring, start=frames.FROM["latest"])
    c.send(frames.ack(1, opened["position"] + 32, opened["sequence"] + 1, opened["position"] + 65536))
    return heard(c)


@case
def gap_of_a_producer(a, ring):
    p = producer(a, ring)
    p.link.send(frames.frame(frames.GAP, 1, struct.pack("<IIQQQQQ", 0, 0, p.epoch, *p.unsent[0][:2], 4096, 1)))
    return heard(p.link)


@case
def no_session(a, ring):
    a.session = bytes(16)
    a.connect().open(1, frames.PRODUCE, ring)
    return "it was opened"


@case
def two_streams_of_a_session(a, ring):
    c = a.connect()
    c.open(1, frames.PRODUCE, ring, "algo")
    c.send(frames.open_stream(2, frames.PRODUCE, ring, "algo"))
    return heard(c)


@case
def too_many_streams(a, ring):
    c = a.connect()
    for stream in range(1, c.welcome["streams_max"] + 2):
        c.send(frames.open_stream(stream, frames.READ, "no-such-ring"))
    return heard(c)


@case
def drip(a, ring):
    c = link.Connection(a.dial())
    try:
        for b in frames.hello(a.name, "slow"):
            c.sock.sendall(bytes([b]))
            time.sleep(0.05)
    except OSError:
        pass
    return heard(c)


@case
def no_such_ring(a, ring):
    a.connect().open(1, frames.READ, "no-such-ring")
    return "it was opened"


@case
def not_allowed(a, ring):
    a.connect().open(1, frames.PRODUCE, ring)
    return "it was opened"


@case
def same_number(a, ring):
    c = a.connect()
    c.open(1, frames.READ, ring)
    c.send(frames.open_stream(1, frames.READ, ring))
    return heard(c)


@case
def plain(a, ring):
    a.tls = None
    return raw(a, frames.hello(a.name, "plain"))


@case
def plain_garbage(a, ring):
    a.tls = None
    return garbage(a, ring)


@case
def no_certificate(a, ring):
    a.tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=a.ca)
    return raw(a, frames.hello(a.name, "nobody"))


def producer(a, ring):
    """A producer with credit and one record to send."""
    p = link.Producer(a, ring)
    p.connect()
    p.put(b"0123456789abcdef")
    p.wait()
    return p


def raw(a, data):
    """What is answered to bytes instead of a dialer's first words."""
    c = link.Connection(a.dial())
    c.send(data)
    return heard(c)


def heard(c):
    """Reads until the acceptor ends the connection or the stream."""
    try:
        while True:
            c.of_stream()
    except link.Broken as e:
        return f"ended: {e}"
    except TimeoutError:
        return "nothing"


def answer(a, ring, name):
    return CASES[name](a, ring)
