#!/usr/bin/env bash
# The audit log at full size: a million entries, and bits of a log turned one after the other, each of which
# the verifier in Rust and the one in Python (deploy/audit/verify.py) must refuse; and the commands from
# end to end against the Python verifier.
#
#   tests/audit/run.sh
#   PLIMSOLL_ALL_BITS=1 tests/audit/run.sh    every bit of the proofs too, and not one of each byte
#
# The Python package `cryptography` is installed from PyPI into target/audit/venv. Where that is
# impossible the script prints SKIPPED and succeeds, except with CI set.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "SKIPPED: $1"
    [[ -z ${CI:-} ]] && exit 0
    echo "CI is set, so that is a failure" >&2
    exit 1
}

command -v python3 >/dev/null || skip "there is no python3"
venv=target/audit/venv
if ! "$venv/bin/python" -c 'import cryptography' 2>/dev/null; then
    mkdir -p target/audit
    python3 -m venv "$venv" || skip "no virtual environment can be made"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'cryptography>=42,<50' \
        || skip "the Python package cryptography cannot be installed"
fi

"$venv/bin/python" tests/audit/flips.py order
export PLIMSOLL_TEST_PYTHON=$PWD/$venv/bin/python
cargo test --locked --test suite -- --ignored --nocapture --test-threads 2 tlog_big::
