"""Compares the codec with the golden frames that docs/PROTOCOL.md shows."""

import pathlib

import frames
import records

SESSION = bytes.fromhex("4f1c07d29a5e3380b621ee487d90c50a")
EPOCH = 1795500115519509


def read(file):
    return b"".join(bytes.fromhex(line.split("  ")[1]) for line in file.read_text().splitlines())


def compare(folder):
    """How many frames were encoded and how many decoded; an AssertionError for one that differs."""
    golden = {file.stem: read(file) for file in sorted(pathlib.Path(folder).glob("*.hex"))}
    opened = frames.decode(golden["p04-opened"])
    record = records.Form(opened, plain=True).record(0, b"buy 10", 0)[1]
    ours = {
        "m01-hello": frames.hello("desk-1", "brokerd 1.0.0", SESSION, 3000),
        "m03-open": frames.open_stream(1, frames.MIRROR, "md", start=frames.FROM["oldest"]),
        "m05-ack": frames.ack(1, 0, 0, 16384),
        "m09-ack": frames.ack(1, 4112, 128, 20496),
        "m10-beat": frames.beat(5000000000, 0, 0),
        "m11-ack": frames.ack(1, 4144, 129, 20528),
        "m14-end": frames.end(1, 0, ""),
        "m15-close": frames.close(0, "desk-1 stops"),
        "p01-hello": frames.hello("quoter", "python", SESSION),
        "p03-open": frames.open_stream(1, frames.PRODUCE, "orders", "quoter"),
        "p06-data": frames.data(1, EPOCH, 0, 0, 1, record),
        "p07-open": frames.open_stream(1, frames.PRODUCE, "orders", "quoter", epoch=EPOCH),
    }
    for name, frame in ours.items():
        assert frame == golden.pop(name), f"{name} is encoded as {frame.hex()}"
    form = records.Form(frames.decode(golden["m04-opened"]))
    sequence, payloads = 0, []
    for name, frame in golden.items():
        f = frames.decode(frame)
        if f["kind"] == frames.DATA:
            assert f["sequence"] == sequence, name
            payloads += [payload for _, _, payload, _, _ in form.parts(f["position"], f["ring_bytes"])]
            sequence += f["records"]
        if f["kind"] == frames.GAP:
            sequence += f["lost"]
    assert payloads == [b"hello", b"from exch-1", b"and on"] and sequence == 129, payloads
    return len(ours), len(golden)
