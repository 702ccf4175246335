#!/usr/bin/env python3
"""Verifies plimsoll's audit log without plimsoll: for auditors.

It needs Python 3.9 or later and the package `cryptography`, and was written from the public
specifications (RFC 6962, RFC 9162, and signed-note, tlog-checkpoint, tlog-tiles, tlog-proof and
tlog-cosignature of c2sp.org), not from plimsoll's code. Everything is read in one spelling only: what
could be written in two ways could be changed without being noticed.

    verify.py proof   --key VKEY FILE.tlog-proof ENTRY.json
    verify.py tiles   --key VKEY DIR [--checkpoint FILE ...]
    verify.py entries --key VKEY audit.ndjson --checkpoint FILE [FILE ...]

VKEY is the public key of the log, got by a way that the keepers of the log do not control. `--checkpoint`
names files of checkpoints that you, or somebody whom you trust, kept. Exit code 0: it verifies. 1: it
cannot be read. 2: it does not verify.
"""

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ENTRY_BYTES = 65535
NOTE_BYTES = 1 << 20
DASH = "\u2014 "
DECIMAL = re.compile(r"(?:0|[1-9][0-9]*)\Z", re.ASCII)


class Refused(Exception):
    """It does not verify."""


# Spelling ---------------------------------------------------------------------------------------------


def from_base64(text):
    """Standard base64 with padding, of which each value has one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise Refused("not base64") from wrong
    if base64.b64encode(data).decode("ascii") != text:
        raise Refused("base64 in another spelling")
    return data


def from_hash(text):
    data = from_base64(text)
    if len(data) != 32:
        raise Refused("not a hash")
    return data


def decimal(text):
    if len(text) > 20 or not DECIMAL.match(text) or int(text) >= 1 << 64:
        raise Refused("not a decimal number")
    return int(text)


def is_name(text):
    return bool(text) and not any(c.isspace() or c == "+" or ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


def utf8(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise Refused("not UTF-8") from wrong


# The tree ---------------------------------------------------------------------------------------------


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves):
    """Root over a list of leaf hashes."""
    edge = Edge()
    for one in leaves:
        edge.push(one)
    return edge.root()


class Edge:
    """The right edge of a tree: the roots of its full subtrees, largest first."""

    def __init__(self):
        self.size = 0
        self.roots = []

    def push(self, one):
        rest = self.size
        while rest & 1:
            one = node(self.roots.pop(), one)
            rest >>= 1
        self.roots.append(one)
        self.size += 1

    def root(self):
        if not self.roots:
            return hashlib.sha256(b"").digest()
        whole = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            whole = node(left, whole)
        return whole


def check_inclusion(one, index, size, path, root):
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        raise Refused("the number is beyond the tree")
    at, last = index, size - 1
    for sibling in path:
        if last == 0:
            raise Refused("the path is too long")
        if at & 1 or at == last:
            one = node(sibling, one)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            one = node(one, sibling)
        at >>= 1
        last >>= 1
    if last or one != root:
        raise Refused("the entry is not where the proof says")


# Keys, notes, checkpoints -----------------------------------------------------------------------------


class Key:
    """A public key, `name+id+base64(algorithm, key)`; algorithm 1 is Ed25519, 4 a timed cosignature."""

    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        if len(parts) != 3 or not is_name(parts[0]):
            raise Refused("not a key")
        self.name, stated, data = parts[0], parts[1], from_base64(parts[2])
        if len(data) != 33 or data[0] not in (1, 4):
            raise Refused("not an Ed25519 key")
        self.algorithm = data[0]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        if self.id.hex() != stated:
            raise Refused("the id of the key does not follow from it")
        try:
            self.public = Ed25519PublicKey.from_public_bytes(data[1:])
        except ValueError as wrong:
            raise Refused("the public key is no point") from wrong

    def check(self, text, signature):
        message = text.encode()
        if self.algorithm == 4:
            if len(signature) != 72:
                raise Refused("a cosignature has another length")
            time = int.from_bytes(signature[:8], "big")
            message = b"cosignature/v1\ntime %d\n" % time + message
            signature = signature[8:]
        try:
            self.public.verify(signature, message)
        except InvalidSignature as wrong:
            raise Refused(f"the signature by {self.name} is wrong") from wrong


def check_note(data, keys):
    """The text of a signed note and the keys of `keys` that signed it. Others say nothing."""
    if len(data) > NOTE_BYTES:
        raise Refused("a note is too long")
    whole = utf8(data)
    if any(c < " " and c != "\n" for c in whole):
        raise Refused("a note holds a control character")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise Refused("not a signed note")
    text += "\n"
    lines = lines[:-1].split("\n")
    if len(lines) > 100:
        raise Refused("a note has too many signatures")
    by = []
    for line in lines:
        if not line.startswith(DASH):
            raise Refused("a signature does not begin with an em dash")
        name, space, value = line[len(DASH):].partition(" ")
        if not space or not is_name(name):
            raise Refused("a signature has no name or no value")
        value = from_base64(value)
        if len(value) < 5:
            raise Refused("a signature is too short")
        for key in keys:
            if key.name == name and key.id == value[:4]:
                key.check(text, value[4:])
                by.append(key)
    return text, by


def check_checkpoint(data, key, witnesses=()):
    """Size and root that the log with `key` signed; each of `witnesses` must have signed too."""
    text, by = check_note(data, [key, *witnesses])
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise Refused("a checkpoint does not have three lines")
    if key not in by:
        raise Refused("the key of the log did not sign the checkpoint")
    if lines[0] != key.name:
        raise Refused("the checkpoint is of another log")
    for witness in witnesses:
        if witness not in by:
            raise Refused(f"the witness {witness.name} did not sign the checkpoint")
    return decimal(lines[1]), from_hash(lines[2])


def split_notes(data):
    """The signed notes that stand one after the other in a file."""
    notes, begin, at, signed = [], 0, 0, False
    for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", data):
        is_signature = line.startswith(DASH.encode())
        if signed and not is_signature:
            notes.append(data[begin:at])
            begin = at
        at += len(line)
        signed = is_signature and line.endswith(b"\n")
    if signed:
        notes.append(data[begin:at])
        begin = at
    if begin != len(data) or not notes:
        raise Refused("a file of checkpoints holds something else")
    return notes


# Proofs -----------------------------------------------------------------------------------------------


def parse_proof(data):
    """Number, path and checkpoint of a `c2sp.org/tlog-proof@v1`; nothing is checked but the form."""
    head, blank, note = utf8(data).partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Refused("not a proof")
    if lines and lines[0].startswith("extra "):
        # Not authenticated, so it says nothing.
        from_base64(lines.pop(0)[len("extra "):])
    if not lines or not lines[0].startswith("index "):
        raise Refused("the proof has no number")
    index = decimal(lines.pop(0)[len("index "):])
    if len(lines) > 64:
        raise Refused("the path is too long")
    return index, [from_hash(line) for line in lines], note.encode()


def check_proof(data, entry, key, witnesses=()):
    """The number of `entry` in the log, and the size of the log, when the proof holds."""
    index, path, note = parse_proof(data)
    size, root = check_checkpoint(note, key, witnesses)
    check_inclusion(leaf(entry), index, size, path, root)
    return index, size


# Entries ----------------------------------------------------------------------------------------------


def check_entry(index, entry):
    """That an entry is a JSON object with its number; a key that is there twice is refused."""
    if len(entry) > ENTRY_BYTES:
        raise Refused(f"entry {index} is too long")

    def once(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Refused(f"entry {index} has a key twice")
        return found

    try:
        value = json.loads(utf8(entry), object_pairs_hook=once)
    except (ValueError, RecursionError) as wrong:
        raise Refused(f"entry {index} is not JSON") from wrong
    seq = value.get("seq") if isinstance(value, dict) else None
    if type(seq) is not int or seq != index:
        raise Refused(f"entry {index} has the number {seq}: entries are missing, repeated or out of order")
    return value


class Order:
    """For every action: its evidence is sealed, its one intent follows, and then its one outcome."""

    # Outcomes that a call must have come before, and those of what was never begun.
    CALLED = ("applied", "needs_human")
    UNBEGUN = ("denied", "expired")

    def __init__(self):
        self.actions = {}

    def take(self, index, entry):
        def rule(broken, says):
            if broken:
                raise Refused(f"entry {index}: {says}")

        def texts(values):
            return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []

        def planned():
            values = entry.get("actions")
            values = values if isinstance(values, list) else []
            return texts([value.get("action_id") for value in values if isinstance(value, dict)])

        kind = entry.get("kind")
        if kind == "decision":
            for action in planned():
                rule(action in self.actions, f"announces action {action} a second time")
                self.actions[action] = set()
        elif kind == "evidence":
            for action in texts(entry.get("action_ids")):
                rule(action not in self.actions, f"evidence for action {action}, which was not announced")
                rule(self.actions[action], f"evidence for action {action} is late or repeated")
                self.actions[action].add("sealed")
        elif kind == "escalated":
            about = self.actions.get(str(entry.get("action_id")))
            rule(about is None, "about an action that was not announced")
            # A notification stands on the evidence of what it is about.
            for action in planned():
                self.actions.setdefault(action, set()).update(about & {"sealed"})
        elif kind in ("intent", "accepted", "outcome", "verified"):
            action = entry.get("action_id")
            done = self.actions.get(str(action))
            rule(done is None, f"{kind} of action {action}, which was not announced")
            outcome = entry.get("outcome")
            state = outcome.get("state") if isinstance(outcome, dict) else None
            rule("sealed" not in done, f"{kind} of action {action}, whose evidence was not sealed before")
            rule(kind != "accepted" and kind in done, f"a second {kind} of action {action}")
            rule(kind in ("intent", "accepted") and "outcome" in done, f"{kind} of action {action} after its outcome")
            rule(kind == "verified" and "outcome" not in done, f"{kind} of action {action} without an outcome before")
            needs = kind == "accepted" or kind == "outcome" and state in self.CALLED
            rule(needs and "intent" not in done, f"{kind} of action {action} without an intent before")
            never = kind == "outcome" and state in self.UNBEGUN
            rule(never and "intent" in done, f"action {action} ended as {state} after its intent")
            done.add(kind)


class Log:
    """A log that is read from its beginning, held against checkpoints as it grows."""

    def __init__(self, checkpoints):
        self.edge = Edge()
        self.order = Order()
        self.expected = {}
        for size, root in checkpoints:
            if self.expected.setdefault(size, root) != root:
                raise Refused(f"two checkpoints over {size} entries differ: the log was shown in two versions")
        self.agreed = 0
        self.compare()

    def compare(self):
        root = self.expected.get(self.edge.size)
        if root is None:
            return
        if root != self.edge.root():
            raise Refused(
                f"the first {self.edge.size} entries are not those that were signed: "
                f"something from entry {self.agreed} on was changed"
            )
        self.agreed = self.edge.size

    def add(self, entry):
        index = self.edge.size
        self.order.take(index, check_entry(index, entry))
        self.edge.push(leaf(entry))
        self.compare()

    def end(self):
        largest = max(self.expected, default=0)
        if largest > self.edge.size:
            raise Refused(f"{largest} entries were signed, and there are {self.edge.size}: the log was cut short")


def check_entries(lines, checkpoints):
    """Entries, each with its line end, against (size, root) pairs. Says how many there are."""
    if not checkpoints:
        raise Refused("there is no checkpoint")
    log = Log(checkpoints)
    for line in lines:
        if not line.endswith(b"\n"):
            break  # Unfinished, so it never was in the log.
        log.add(line[:-1])
    log.end()
    return log.edge.size


# Tiles ------------------------------------------------------------------------------------------------


def tile_path(kind, index, width):
    name = f"{index % 1000:03}"
    index //= 1000
    while index:
        name = f"x{index % 1000:03}/{name}"
        index //= 1000
    return f"tile/{kind}/{name}" + (f".p/{width}" if width < 256 else "")


def check_bundle(data, width):
    """The entries of a bundle."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at:at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise Refused("an entry bundle is cut off")
        entries.append(data[at + 2:end])
        at = end
    if len(entries) != width:
        raise Refused("an entry bundle has not as many entries as its name says")
    return entries


def check_tiles(read, key, saved=(), witnesses=()):
    """A folder of tiles, read by `read(path)`: the signed root over its hashes, and its entries under them."""
    size, root = check_checkpoint(read("checkpoint"), key, witnesses)
    level, count, hashes = 0, size, None
    below = None
    while count:
        row = []
        for index in range((count + 255) // 256):
            width = min(256, count - 256 * index)
            data = read(tile_path(level, index, width))
            if len(data) != 32 * width:
                raise Refused("a tile has another length")
            row.extend(data[at:at + 32] for at in range(0, len(data), 32))
        if below is not None:
            for index, one in enumerate(row):
                if one != root_of(below[256 * index:256 * (index + 1)]):
                    raise Refused(f"hash {index} of level {level} is not that of the tile below it")
        else:
            hashes = row
        below, count, level = row, count // 256, level + 1
    hashes = hashes or []
    if root_of(hashes) != root:
        raise Refused("the tiles do not have the signed root")
    log = Log([*saved, (size, root)])
    for index in range((size + 255) // 256):
        width = min(256, size - 256 * index)
        entries = check_bundle(read(tile_path("entries", index, width)), width)
        for at, entry in enumerate(entries):
            if leaf(entry) != hashes[256 * index + at]:
                raise Refused(f"entry {256 * index + at} is not the one in the tree")
            log.add(entry)
    log.end()
    return size


# Commands ---------------------------------------------------------------------------------------------


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def saved_checkpoints(files, key):
    # What a witness added says nothing here: the log signed, and that is enough to hold it to its word.
    return [check_checkpoint(note, key) for name in files for note in split_notes(read_file(name))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--key", required=True, metavar="VKEY", help="public key of the log")
    common.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="witness that must have signed too"
    )
    proof = commands.add_parser("proof", parents=[common], help="one entry with its proof")
    proof.add_argument("proof")
    proof.add_argument("entry")
    tiles = commands.add_parser("tiles", parents=[common], help="a folder of tiles")
    tiles.add_argument("folder")
    tiles.add_argument("--checkpoint", nargs="+", default=[], metavar="FILE")
    entries = commands.add_parser("entries", parents=[common], help="a file with an entry a line")
    entries.add_argument("file")
    entries.add_argument("--checkpoint", nargs="+", required=True, metavar="FILE")
    args = parser.parse_args()
    try:
        key = Key(args.key)
        witnesses = [Key(one) for one in args.witness]
        if args.command == "proof":
            index, size = check_proof(read_file(args.proof), read_file(args.entry), key, witnesses)
            print(f"good: the entry is number {index} of the first {size} of {key.name}")
        elif args.command == "tiles":
            saved = saved_checkpoints(args.checkpoint, key)
            size = check_tiles(
                lambda path: read_file(os.path.join(args.folder, path)), key, saved, witnesses
            )
            print(f"good: {size} entries of {key.name}")
        else:
            checkpoints = saved_checkpoints(args.checkpoint, key)
            with open(args.file, "rb") as file:
                count = check_entries(file, checkpoints)
            covered = max(size for size, _ in checkpoints)
            print(f"good: {count} entries of {key.name}, {covered} of them signed")
    except Refused as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 2
    except OSError as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
