"""Reads, mirrors and writes rings of another host; and misbehaves, to see what it is told.

    main.py read|mirror ... --count N     one line a record: sequence, tag, payload in hex; or "lost SEQUENCE N MISSED"; or "end"
    main.py produce ...                   a record for each line of stdin; "published N" when all are acknowledged
    main.py hostile ... CASE              what the acceptor answers to it
    main.py golden --folder DIR           compares the codec with golden frames

Exit code 3: the acceptor refused, its words are on stderr.
"""

import argparse
import random
import sys

import golden
import hostile
import link


def read(address, o, mode):
    chance = random.Random(o.seed)
    reader = link.Reader(address, o.ring, mode, o.policy, o.start, o.label)
    reader.connect()
    print("attached", flush=True)
    seen, until = 0, cut_after(chance, o.cut_every)
    while seen < o.count:
        for event in reader.next():
            if event[0] == "record":
                _, sequence, tag, payload = event
                print(sequence, tag, payload.hex())
                seen += 1
            else:
                print(*event)
                seen += event[2] if event[0] == "lost" else 0
        sys.stdout.flush()
        if until <= seen < o.count:
            reader.link.cut()
            reader.connect()
            until = seen + cut_after(chance, o.cut_every)
    if o.image:
        with open(o.image, "wb") as f:
            f.write(reader.image)
        print("image", reader.first, reader.position)
    reader.link.goodbye()


def cut_after(chance, every):
    return chance.randint(1, 2 * every) if every else sys.maxsize


def produce(address, o):
    chance = random.Random(o.seed)
    producer = link.Producer(address, o.ring, o.label)
    producer.connect()
    print("attached", flush=True)
    records = sys.stdin.buffer.read().splitlines()
    for record in records:
        producer.put(record, o.tag)
    until = cut_after(chance, o.cut_every)
    while producer.outstanding():
        f = producer.sendable()
        if f is None:
            producer.wait()
            continue
        until -= 1
        if until:
            producer.link.send(f)
            continue
        producer.link.send(f[:chance.randint(0, len(f))])
        producer.link.cut()
        producer.connect()
        until = cut_after(chance, o.cut_every)
    print("published", len(records))
    producer.link.goodbye()


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("verb", choices=["read", "mirror", "produce", "hostile", "golden"])
    p.add_argument("case", nargs="?", choices=sorted(hostile.CASES))
    p.add_argument("--address", default="localhost:9465")
    p.add_argument("--folder", default="", help="of the golden frames")
    p.add_argument("--name", default="linkclient")
    p.add_argument("--ring", default="md")
    p.add_argument("--label", default="")
    p.add_argument("--cert", default="")
    p.add_argument("--key", default="")
    p.add_argument("--ca", default="")
    p.add_argument("--server-name", default="")
    p.add_argument("--policy", default="default", choices=link.frames.POLICIES)
    p.add_argument("--from", dest="start", default="oldest", choices=link.frames.FROM)
    p.add_argument("--count", type=int, default=sys.maxsize)
    p.add_argument("--image", default="", help="file that gets the memory of the mirror")
    p.add_argument("--tag", type=int, default=0)
    p.add_argument("--cut-every", type=int, default=0, help="break the connection after so many records, on average")
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def main():
    o = options()
    address = link.Address(o.address, o.name, o.cert, o.key, o.ca, o.server_name)
    try:
        if o.verb == "produce":
            produce(address, o)
        elif o.verb == "golden":
            print("%d encoded, %d decoded" % golden.compare(o.folder))
        elif o.verb == "hostile":
            print(hostile.answer(address, o.ring, o.case))
        else:
            read(address, o, link.frames.MIRROR if o.verb == "mirror" else link.frames.READ)
    except link.Refused as e:
        print(e, file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
