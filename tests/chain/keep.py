"""Keeps what it was given as one line of a file: keep.py FILE JSON. Run by webhook."""

import fcntl
import json
import sys


def keep(path, value):
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    keep(sys.argv[1], json.loads(sys.argv[2]))
