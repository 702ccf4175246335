#!/usr/bin/env bash
# Exactly once under chaos, on three Apache Kafka brokers: daemons are killed, paused, added and removed
# and brokers restarted while numbered records are written; what the daemons tell is compared to the
# byte with what one undisturbed daemon tells of the same records.
#
#   tests/kafka/chaos.sh [OPTION...]
#
#   --records N           records (default 200000)
#   --kills K             times that an instance is ended by kill -9 (default 8)
#   --zombies Z           times that one is stopped for longer than its session (default K/10, at least 1)
#   --broker-restarts R   times that a broker is restarted (default 1)
#   --instances I         instances with all roles (default 3)
#   --seed S              decides the traffic and the schedule; printed (default: chosen at random)
#   --rate R              most records a second (default 12000)
#   --fencing             only the test of an instance that is paused beyond its session
#   --keep                keep the files of the brokers and daemons, also of a run that went well
#   --help
#
# The long run, about ten minutes:   tests/kafka/chaos.sh --records 2000000 --kills 50 --broker-restarts 6
# Run from the project's folder or elsewhere. Files are kept in target/kafka-broker/chaos-* where
# something failed.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
records=200000 kills=8 zombies='' restarts=1 instances=3 rate=12000 keep='' test=kafka_chaos::real_kills
seed=$(((RANDOM << 15) + RANDOM))

usage() {
  sed -n '/^#   tests/,/^# something/p' "$0" | sed 's/^# \{0,1\}//'
  exit "$1"
}
while [ $# -gt 0 ]; do
  option=$1
  shift
  case "$option" in
    --help | -h) usage 0 ;;
    --fencing) test=kafka_chaos::fencing::real_ && continue ;;
    --keep) keep=yes && continue ;;
    --records | --kills | --zombies | --broker-restarts | --instances | --seed | --rate) ;;
    *) echo "chaos.sh: there is no option '$option'" >&2 && usage 1 >&2 ;;
  esac
  case "${1:-}" in
    '' | *[!0-9]*) echo "chaos.sh: $option needs a number" >&2 && usage 1 >&2 ;;
  esac
  case "$option" in
    --records) records=$1 ;;
    --kills) kills=$1 ;;
    --zombies) zombies=$1 ;;
    --broker-restarts) restarts=$1 ;;
    --instances) instances=$1 ;;
    --seed) seed=$1 ;;
    --rate) rate=$1 ;;
  esac
  shift
done
zombies=${zombies:-$((kills < 10 ? 1 : kills / 10))}

mkdir -p "$root/target/kafka-broker"
dir=$(mktemp -d "$root/target/kafka-broker/chaos-XXXXXX")

# Daemons that a killed test has left behind, and only those.
end_daemons() {
  local pid
  [ -e "$dir/pids" ] || return 0
  while read -r pid; do
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "run --config $dir/"; then kill -9 "$pid" || true; fi
  done <"$dir/pids"
}

finish() {
  local status=$?
  trap - EXIT INT TERM
  end_daemons
  "$root/tests/kafka/cluster.sh" stop "$dir/cluster"
  if [ "$status" != 0 ]; then
    echo "chaos.sh: FAILED with --seed $seed; the files of the brokers and daemons are in $dir" >&2
  elif [ -n "$keep" ]; then
    echo "chaos.sh: the files are in $dir"
  else
    rm -rf "$dir"
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$root"
# Built before the brokers take the processors' time.
cargo build --locked --bin plimsoll
cargo test --locked --test suite --no-run
"$root/tests/kafka/cluster.sh" start "$dir/cluster"
set -a
# shellcheck disable=SC1091
. "$dir/cluster/client.env"
PLIMSOLL_CHAOS_RECORDS=$records PLIMSOLL_CHAOS_KILLS=$kills PLIMSOLL_CHAOS_ZOMBIES=$zombies
PLIMSOLL_CHAOS_BROKER_RESTARTS=$restarts PLIMSOLL_CHAOS_INSTANCES=$instances
PLIMSOLL_CHAOS_SEED=$seed PLIMSOLL_CHAOS_RATE=$rate PLIMSOLL_CHAOS_PIDS=$dir/pids
set +a
mkdir "$dir/tests"
export TMPDIR=$dir/tests
began=$SECONDS
cargo test --locked --test suite -- --ignored --nocapture --test-threads=1 "$test" 2>&1 | tee "$dir/tests.log"
grep -q '^test result: ok\. 1 passed' "$dir/tests.log" || { echo "chaos.sh: no test ran" >&2; exit 1; }
echo "chaos.sh: passed with --seed $seed in $((SECONDS - began)) s"
