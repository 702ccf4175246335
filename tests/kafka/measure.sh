#!/usr/bin/env bash
# Figures of the daemon on Apache Kafka: starts a broker, measures, prints tables in Markdown, stops it.
#
#   tests/kafka/measure.sh [OPTION...] [WHAT...]
#
# WHAT is one of
#   scale      processor time for a million records with 1 to 4 observers, and bytes on the exchange
#   models     a thousand models of 20 features on one evaluator: memory, state, processor time
#   recovery   kill -9 to ready and to caught up, with the state of those models
#   away       the broker is away for a minute, stopped and killed: what /readyz says, how soon it goes on
#   latency    from a record to its finding and its decision, with two commit intervals
#   all        all of them, one after the other (default)
#
#   --records N   of scale (default 500000)
#   --partitions N  of scale (default 12)
#   --observers N  of scale: from one up to so many (default 4)
#   --queue KB    of scale: queued.max.messages.kbytes of the observers (default: plimsoll's)
#   --models N    of models and recovery (default 1000)
#   --kills N     of recovery, each role (default 5)
#   --away S      seconds without a broker (default 60)
#   --seconds S   of latency, each commit interval (default 90)
#   --keep        keep the files, also of a run that went well
#   --help
#
# PLIMSOLL_BIN names another binary than the development build, which is built and measured otherwise.
# Figures are in processor time where that makes sense; wall times need a machine that has nothing else to do.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
keep='' what=()

usage() {
  sed -n '/^#   tests/,/^# Figures/p' "$0" | sed 's/^# \{0,1\}//'
  exit "$1"
}
while [ $# -gt 0 ]; do
  option=$1
  shift
  case "$option" in
    --help | -h) usage 0 ;;
    --keep) keep=yes ;;
    scale | models | recovery | away | latency) what+=("kafka_measure::$option::real_") ;;
    all) what+=(kafka_measure::) ;;
    --records | --partitions | --observers | --queue | --models | --kills | --away | --seconds)
      case "${1:-}" in '' | *[!0-9]*) echo "measure.sh: $option needs a number" >&2 && usage 1 >&2 ;; esac
      name=${option#--}
      export "PLIMSOLL_MEASURE_${name^^}=$1"
      shift
      ;;
    *) echo "measure.sh: there is nothing called '$option'" >&2 && usage 1 >&2 ;;
  esac
done
[ "${#what[@]}" -gt 0 ] || what=(kafka_measure::)
# The models' recovery is in a module with them.
what=("${what[@]/kafka_measure::recovery::real_/kafka_measure::models::real_recovery}")
what=("${what[@]/%kafka_measure::models::real_/kafka_measure::models::real_models}")

mkdir -p "$root/target/kafka-broker"
dir=$(mktemp -d "$root/target/kafka-broker/measure-XXXXXX")

# Daemons that a killed test has left behind, and only those.
end_daemons() {
  local pid
  [ -e "$dir/pids" ] || return 0
  while read -r pid; do
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "--config $dir/"; then kill -9 "$pid" || true; fi
  done <"$dir/pids"
}

finish() {
  local status=$?
  trap - EXIT INT TERM
  end_daemons
  # A broker that a test has stopped hears nothing else.
  [ ! -e "$dir/broker/broker.pid" ] || kill -CONT "$(<"$dir/broker/broker.pid")" 2>/dev/null || true
  "$root/tests/kafka/broker.sh" stop "$dir/broker"
  if [ "$status" != 0 ]; then
    echo "measure.sh: FAILED; the files of the broker and of the daemons are in $dir" >&2
  elif [ -n "$keep" ]; then
    echo "measure.sh: the files are in $dir"
  else
    rm -rf "$dir"
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$root"
# Built before the broker takes the processors' time.
cargo build --locked --bin plimsoll
cargo test --locked --test suite --no-run
mkdir -p "$dir/broker" "$dir/tests"
"$root/tests/kafka/broker.sh" start "$dir/broker" >/dev/null
set -a
# shellcheck disable=SC1091
. "$dir/broker/client.env"
PLIMSOLL_MEASURE_BROKER=$dir/broker
PLIMSOLL_MEASURE_LIB=$(cd "${KAFKA_BROKER_LIB:-target/kafka-broker/lib}" && pwd)
PLIMSOLL_MEASURE_PIDS=$dir/pids
TMPDIR=$dir/tests
set +a
cargo test --locked --test suite -- --ignored --nocapture --test-threads=1 "${what[@]}" 2>&1 | tee "$dir/tests.log"
grep -q '^test result: ok\. [1-9]' "$dir/tests.log" || { echo "measure.sh: nothing was measured" >&2; exit 1; }
echo
echo "Measured with \`tests/kafka/measure.sh\` on $(nproc) processors; load average $(cut -d' ' -f1-3 /proc/loadavg)."
sed -n 's/^measure|//p' "$dir/tests.log"
