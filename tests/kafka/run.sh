#!/usr/bin/env bash
# Everything that is tested on Apache Kafka itself: starts a broker, runs the checks, stops it.
#
#   tests/kafka/run.sh [BINARY]
#
# BINARY is plimsoll's own binary, for the checks that run the whole daemon. The broker's files are
# kept in target/kafka-broker/run-* where something failed, and removed otherwise.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-$root/target/debug/plimsoll}
mkdir -p "$root/target/kafka-broker"
dir=$(mktemp -d "$root/target/kafka-broker/run-XXXXXX")

finish() {
  local status=$?
  "$root/tests/kafka/broker.sh" stop "$dir"
  if [ "$status" = 0 ]; then rm -rf "$dir"; else echo "run.sh: failed; the broker's files are in $dir" >&2; fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$root/tests/kafka/broker.sh" start "$dir" >/dev/null
set -a
# shellcheck disable=SC1091
. "$dir/client.env"
set +a
export PLIMSOLL_TEST_BINARY=$binary
echo "run.sh: Apache Kafka on $PLIMSOLL_TEST_KAFKA and, with TLS and SCRAM, on $PLIMSOLL_TEST_KAFKA_TLS"

cd "$root"
cargo test --locked --test suite -- --ignored kafka_mock::real::

# Checks of the whole daemon, each a script of its own that gets the variables above.
for check in "$root"/tests/kafka/check-*.sh; do
  [ -e "$check" ] || continue
  echo "run.sh: $(basename "$check")"
  "$check"
done
