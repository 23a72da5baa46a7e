"""A dialer's side of docs/PROTOCOL.md, "Between hosts"."""

import collections
import os
import socket
import ssl
import struct

import frames
import records


class Refused(Exception):
    """The acceptor closed the connection or ended the stream."""

    def __init__(self, what, code, message, name=""):
        word = frames.CODES[code] if code < len(frames.CODES) else str(code)
        super().__init__(f"{what} {word}{' ' + name if name else ''}: {message}")
        self.code = code


class Broken(Exception):
    """The connection ended without a word."""


class Address:
    """Where to connect, and with which certificates."""

    def __init__(self, address, name, cert="", key="", ca="", server_name=""):
        host, _, port = address.rpartition(":")
        self.where, self.name, self.server_name = (host.strip("[]"), int(port)), name, server_name
        self.session, self.tls, self.ca = os.urandom(16), None, ca
        if cert:
            self.tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
            self.tls.minimum_version = ssl.TLSVersion.TLSv1_3
            self.tls.load_cert_chain(cert, key)

    def dial(self):
        s = socket.create_connection(self.where, timeout=60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            s = self.tls.wrap_socket(s, server_hostname=self.server_name)
        return s

    def connect(self, dead_after_ms=0):
        link = Connection(self.dial())
        link.send(frames.hello(self.name, "linkclient.py", self.session, dead_after_ms))
        link.welcome = link.receive()
        if link.welcome["kind"] != frames.WELCOME or link.welcome["version"] != 1:
            raise frames.BadFrame(f"no welcome: {link.welcome}")
        link.sock.settimeout(None)  # a ring may be quiet for long
        return link


class Connection:
    """Frames over a socket."""

    def __init__(self, sock):
        self.sock, self.have = sock, b""

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            while True:  # a connection that breaks while we write may hold the reason
                self.receive()

    def _take(self, n):
        while len(self.have) < n:
            try:
                got = self.sock.recv(65536)
            except TimeoutError:
                raise
            except OSError as e:
                raise Broken(str(e)) from e
            if not got:
                raise Broken("the connection ended")
            self.have += got
        data, self.have = self.have[:n], self.have[n:]
        return data

    def receive(self):
        """The next frame but beats."""
        while True:
            head = self._take(frames.HEADER_BYTES)
            size, _, _ = frames.header(head)
            f = frames.decode(head + self._take(size - len(head)))
            if f["kind"] == frames.CLOSE:
                raise Refused("close", f["code"], f["message"])
            if f["kind"] != frames.BEAT:
                return f

    def of_stream(self):
        """The next frame of our one stream."""
        f = self.receive()
        if f["kind"] == frames.END:
            self.send(frames.end(f["stream"], 0, ""))
            raise Refused("end", f["code"], f["message"], f["name"])
        return f

    def open(self, *args, **kwargs):
        self.send(frames.open_stream(*args, **kwargs))
        f = self.of_stream()
        if f["kind"] != frames.OPENED:
            raise frames.BadFrame(f"no opened: {f}")
        return f

    def goodbye(self):
        """Ends the stream, then the connection."""
        self.send(frames.end(1, 0, "done"))
        while self.receive()["kind"] != frames.END:
            pass
        self.send(frames.close(0, "linkclient.py is done"))
        self.sock.close()

    def cut(self):
        """Breaks the connection as a lost one breaks: nothing more is read or sent."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Reader:
    """Reads or mirrors a ring, over as many connections as it takes. The image has the ring's bytes as they came."""

    def __init__(self, address, ring, mode, policy="default", start="oldest", label=""):
        self.address, self.ring, self.mode, self.label = address, ring, mode, label
        self.policy, self.start = frames.POLICIES[policy], frames.FROM[start]
        self.epoch = self.position = self.sequence = 0
        self.image, self.link, self.first = None, None, None

    def connect(self):
        self.link = self.address.connect()
        opened = self.link.open(1, self.mode, self.ring, self.label, self.policy, self.start, self.epoch, self.position, self.sequence)
        if self.epoch and opened["epoch"] != self.epoch:
            raise frames.BadFrame(f"epoch {opened['epoch']}, have {self.epoch}")
        if self.first is None:
            self.image, self.first = bytearray(opened["capacity"]), opened["position"]
            self.position, self.sequence = opened["position"], opened["sequence"]
        self.form, self.epoch, self.start = records.Form(opened), opened["epoch"], frames.FROM["held"]
        self.expected = opened["position"], opened["sequence"]
        if self.expected != (self.position, self.sequence):
            raise frames.BadFrame(f"the stream starts at {self.expected}, held is {self.position}, {self.sequence}")
        self.ack()

    def ack(self):
        self.limit = self.position + self.form.capacity
        self.link.send(frames.ack(1, self.position, self.sequence, self.limit))

    def next(self):
        """The events of the next frame: ("record", sequence, tag, payload), ("lost", sequence, n, missed), ("end",)."""
        f = self.link.of_stream()
        if (f["epoch"], f["position"], f["sequence"]) != (self.epoch, self.position, self.sequence):
            raise frames.BadFrame(f"{f} is not for {self.position}, {self.sequence} of {self.epoch}")
        events = []
        if f["kind"] == frames.GAP:
            events.append(("lost", self.sequence, f["lost"], f["flags"] & 1))
            self.position, self.sequence = f["to"], self.sequence + f["lost"]
        else:
            events = self.chunk(f)
        self.ack()
        return events

    def chunk(self, f):
        chunk, at = f["ring_bytes"], self.position % self.form.capacity
        if self.position + len(chunk) > self.limit or at + len(chunk) > self.form.capacity:
            raise frames.BadFrame(f"{len(chunk)} bytes at {self.position}, limit {self.limit}")
        events, sequence = [], self.sequence
        for kind, _, payload, tag, count in self.form.parts(self.position, chunk):
            if kind == records.DATA:
                events.append(("record", sequence, tag, payload))
            elif kind == records.GAP:
                events.append(("lost", sequence, count, 0))
            elif kind == records.END:
                events.append(("end",))
            sequence += count
        if sequence != self.sequence + f["records"]:
            raise frames.BadFrame(f"{f['records']} records said, {sequence - self.sequence} there")
        self.image[at:at + len(chunk)] = chunk
        self.position, self.sequence = self.position + len(chunk), sequence
        return events


class Producer:
    """Publishes into a ring, each record once, over as many connections as it takes."""

    def __init__(self, address, ring, label=""):
        self.address, self.ring, self.label = address, ring, label
        self.epoch, self.form, self.limit = 0, None, 0
        self.position = self.sequence = 0  # where the next record goes
        self.kept = 0, 0                   # acknowledged
        self.unsent = collections.deque()  # frames: position, sequence, records, ring bytes
        self.unacked = collections.deque()

    def connect(self):
        self.link = self.address.connect()
        opened = self.link.open(1, frames.PRODUCE, self.ring, self.label, 0, 0, self.epoch, *self.kept)
        if self.form is None:
            self.form, self.epoch = records.Form(opened, plain=True), opened["epoch"]
            self.position, self.sequence = opened["position"], opened["sequence"]
        self.limit = 0
        self.keep(opened["position"], opened["sequence"])
        self.unsent.extendleft(reversed(self.unacked))
        self.unacked.clear()

    def keep(self, position, sequence):
        self.kept = position, sequence
        while self.unacked and self.unacked[0][0] < position:
            self.unacked.popleft()

    def put(self, payload, tag=0):
        """Queues a record; pump sends it."""
        pad, part = self.form.record(self.position, payload, tag)
        if pad:
            self._queue(0, pad)
        self._queue(1, part)

    def _queue(self, count, part):
        self.unsent.append((self.position, self.sequence, count, part))
        self.position, self.sequence = self.position + len(part), self.sequence + count

    def outstanding(self):
        return len(self.unsent) + len(self.unacked)

    def sendable(self):
        """The next data frame that credit allows, or None."""
        if not self.unsent or self.unsent[0][0] + len(self.unsent[0][3]) > self.limit:
            return None
        self.unacked.append(self.unsent.popleft())
        position, sequence, count, part = self.unacked[-1]
        return frames.data(1, self.epoch, position, sequence, count, part)

    def pump(self):
        """Sends what credit allows."""
        while (f := self.sendable()) is not None:
            self.link.send(f)

    def wait(self):
        """Takes the next ack."""
        f = self.link.of_stream()
        if f["kind"] != frames.ACK:
            raise frames.BadFrame(f"no ack: {f}")
        self.limit = f["limit"]
        self.keep(f["position"], f["sequence"])
