#!/usr/bin/env python3
"""Turns bits of a log and demands that deploy/audit/verify.py refuses each time.

    flips.py thousand DIR VKEY      entries.ndjson, checkpoint, proofs/N.tlog-proof, tiles/...
    flips.py million DIR VKEY       cases.ndjson, entries.ndjson, checkpoint, and broken logs beside them
    flips.py order                  entries about an action, in orders that are right and that are wrong

The Rust test suite writes the files and reads the last line. All flips are made in this one process.
"""

import base64
import json
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../deploy/audit"))
import verify  # noqa: E402

ALL_BITS = "PLIMSOLL_ALL_BITS" in os.environ


def refused(check, *args):
    try:
        check(*args)
    except verify.Refused:
        return True
    return False


def turned(data, at, bit):
    other = bytearray(data)
    other[at] ^= 1 << bit
    return bytes(other)


def demand(count, check, *args):
    if not refused(check, *args):
        sys.exit(f"after {count} flips one was accepted: {[arg for arg in args if isinstance(arg, bytes)]}")
    return count + 1


def thousand(folder, key):
    read = lambda name: verify.read_file(os.path.join(folder, name))  # noqa: E731
    entries = read("entries.ndjson").splitlines()
    note = read("checkpoint")
    size, root = verify.check_checkpoint(note, key)
    assert size == len(entries) == 1000
    counts = dict.fromkeys(["entries", "proofs", "checkpoint", "tiles"], 0)
    for index, entry in enumerate(entries):
        proof = read(f"proofs/{index}.tlog-proof")
        assert verify.check_proof(proof, entry, key) == (index, size)
        at, path, _ = verify.parse_proof(proof)
        # Every bit of the entry; the checkpoint in the proof does not change meanwhile.
        for byte in range(len(entry)):
            for bit in range(8):
                leaf = verify.leaf(turned(entry, byte, bit))
                counts["entries"] = demand(counts["entries"], verify.check_inclusion, leaf, at, size, path, root)
        # A bit of every byte of the proof, another one from proof to proof; or all of them.
        for byte in range(len(proof)):
            for bit in range(8) if ALL_BITS else [(byte + index) % 8]:
                other = turned(proof, byte, bit)
                counts["proofs"] = demand(counts["proofs"], verify.check_proof, other, entry, key)
    for byte in range(len(note)):
        for bit in range(8):
            counts["checkpoint"] = demand(
                counts["checkpoint"], verify.check_checkpoint, turned(note, byte, bit), key
            )
    # Whole folders are checked each time, so a bit of every hash, of every length and of every entry.
    files = {}
    for base, _, names in os.walk(os.path.join(folder, "tiles")):
        for name in names:
            path = os.path.join(base, name)
            files[os.path.relpath(path, os.path.join(folder, "tiles"))] = verify.read_file(path)
    assert verify.check_tiles(files.__getitem__, key) == 1000
    stream = random.Random(7)
    for name, data in files.items():
        places = []
        if name.startswith("tile/entries/"):
            at = 0
            while at < len(data):
                length = int.from_bytes(data[at:at + 2], "big")
                places += [at, at + 1, at + 2 + stream.randrange(length)]
                at += 2 + length
        elif name.startswith("tile/"):
            places = [at + stream.randrange(32) for at in range(0, len(data), 32)]
        for place in places:
            other = {**files, name: turned(data, place, stream.randrange(8))}
            counts["tiles"] = demand(counts["tiles"], verify.check_tiles, other.__getitem__, key)
    print(" ".join(f"{name}={count}" for name, count in counts.items()))


def million(folder, key):
    path = lambda name: os.path.join(folder, name)  # noqa: E731
    count = 0
    with open(path("cases.ndjson"), "rb") as cases:
        for line in cases:
            case = json.loads(line)
            entry, proof = base64.b64decode(case["entry"]), case["proof"].encode()
            assert verify.check_proof(proof, entry, key)[0] == case["index"]
            other = turned(entry, case["bit"] // 8, case["bit"] % 8)
            count = demand(count, verify.check_proof, proof, other, key)
    saved = verify.saved_checkpoints([path("entries.ndjson.checkpoints")], key)
    with open(path("entries.ndjson"), "rb") as file:
        whole = verify.check_entries(file, saved)
    broken = 0
    for name in sorted(os.listdir(folder)):
        if name.startswith("broken-"):
            with open(path(name), "rb") as file:
                broken = demand(broken, verify.check_entries, file, saved)
    print(f"flips={count} entries={whole} broken={broken}")


def order():
    """The table of `src/app/auditing/order.rs`: what is right there is right here, and likewise what is wrong."""
    announced = {"kind": "decision", "actions": [{"action_id": "a"}]}
    sealed = {"kind": "evidence", "action_ids": ["a"]}
    other = {"kind": "evidence", "action_ids": ["b"]}
    intent, accepted, verified = ({"kind": kind, "action_id": "a"} for kind in ("intent", "accepted", "verified"))
    told = {"kind": "escalated", "action_id": "a", "actions": [{"action_id": "tell"}]}
    tells = {"kind": "intent", "action_id": "tell"}

    def ended(state):
        return {"kind": "outcome", "action_id": "a", "outcome": {"state": state}}

    begun = [announced, sealed, intent]
    right = [
        [*begun, accepted, ended("applied"), verified],
        [announced, sealed, ended("suppressed")],
        [announced, sealed, ended("failed")],
        [*begun, ended("suppressed")],
        begun,
        [announced],
        [announced, sealed, told, tells],
    ]
    wrong = [
        [announced, intent],
        [announced, ended("suppressed")],
        [announced, {"kind": "evidence", "decision": "d"}, intent],
        [announced, other, intent],
        [announced, intent, sealed],
        [sealed, announced, intent],
        [announced, sealed, ended("failed"), sealed],
        [announced, sealed, sealed, intent],
        [announced, announced, sealed],
        [*begun, announced],
        [*begun, intent],
        [announced, sealed, ended("failed"), intent],
        [*begun, ended("failed"), intent],
        [*begun, ended("failed"), ended("applied")],
        [*begun, ended("applied"), ended("applied")],
        [announced, sealed, ended("applied")],
        [announced, sealed, ended("needs_human")],
        [*begun, ended("expired")],
        [announced, sealed, accepted, intent],
        [*begun, ended("applied"), accepted],
        [*begun, verified],
        [*begun, ended("applied"), verified, verified],
        [intent],
        [ended("failed")],
        [sealed],
        [announced, sealed, tells],
        [announced, told, tells],
        [told],
    ]

    def taken(entries):
        log = verify.Log([])
        for index, entry in enumerate(entries):
            log.add(json.dumps({**entry, "seq": index}).encode())

    for entries in right:
        taken(entries)
    refusals = 0
    for entries in wrong:
        if not refused(taken, entries):
            sys.exit(f"accepted: {entries}")
        refusals += 1
    print(f"orders right={len(right)} wrong={refusals}")


if __name__ == "__main__":
    if sys.argv[1] == "order":
        order()
    else:
        {"thousand": thousand, "million": million}[sys.argv[1]](sys.argv[2], verify.Key(sys.argv[3]))
