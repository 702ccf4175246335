#!/usr/bin/env bash
# Everything that is tested on Apache Kafka itself: starts a broker, runs the checks, stops it.
#
#   tests/kafka/run.sh [FILTER]
#
# FILTER is a part of a test's name; without it all of them run: the source and the sink, the audit
# log, plimsoll's own topics, and the whole daemon against what `plimsoll replay` says; then, by itself,
# the daemon that is killed at every request it makes (kafka_kill). Files are kept in
# target/kafka-broker/run-* where something failed, and removed otherwise.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
filter=${1:-}
mkdir -p "$root/target/kafka-broker"
dir=$(mktemp -d "$root/target/kafka-broker/run-XXXXXX")

finish() {
  local status=$?
  "$root/tests/kafka/broker.sh" stop "$dir"
  if [ "$status" = 0 ]; then
    rm -rf "$dir"
    echo "run.sh: $passed"
  else
    echo "run.sh: FAILED; the files of the broker and of the tests are in $dir" >&2
  fi
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
mkdir "$dir/tests"
export TMPDIR=$dir/tests
echo "run.sh: Apache Kafka on $PLIMSOLL_TEST_KAFKA and, with TLS and SCRAM, on $PLIMSOLL_TEST_KAFKA_TLS"

cd "$root"
# Every test that needs a broker is ignored otherwise, and has `real` in its name.
round() { cargo test --locked --test suite -- --ignored "$@" | tee -a "$dir/tests.log"; }
if [ -n "$filter" ]; then
  round --show-output "$filter"
else
  round audit_log::real kafka_exchange::real:: kafka_mock::real:: kafka_real:: kafka_reload::real:: \
    topics::real wire::reading::real
  # A dozen daemons at once would be in the way of what looks at the clock.
  round --show-output kafka_kill::real
fi
passed=$(sed -n 's/^test result: ok\. \([1-9][0-9]* passed\).*finished in \(.*\)$/\1 on Apache Kafka in \2/p' "$dir/tests.log" |
  paste -sd, | sed 's/,/, /g')
[ -n "$passed" ] || { echo "run.sh: no test ran" >&2; exit 1; }
