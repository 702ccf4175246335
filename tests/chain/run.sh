#!/usr/bin/env bash
# The whole chain with nothing stubbed: Apache Kafka, the daemon, MLflow, Airflow, Alertmanager and webhook.
#
#   tests/chain/run.sh [OPTION...] [FILTER]
#
# FILTER is a part of a test's name; without it everything runs but the measurement.
#
#   --latency [N]   measure instead: from the breach to the applied rollback and its parts, over N incidents (20)
#   --keep          keep the files, also of a run that went well
#   --help
#
# It installs what is missing (tests/chain/install.sh) and stops what it started. Where the servers cannot
# be had it prints SKIPPED and succeeds, except with CI set. Files are kept in target/chain/run-* where
# something failed. After the tests it searches every file of the run for the secrets of the run.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
keep='' filter='' latency=''

usage() {
    sed -n '/^#   tests/,/^#   --help/p' "$0" | sed 's/^# \{0,1\}//'
    exit "$1"
}
while [[ $# -gt 0 ]]; do
    case "$1" in
        --help | -h) usage 0 ;;
        --keep) keep=yes ;;
        --latency)
            latency=20
            case "${2:-}" in '' | *[!0-9]*) ;; *) latency=$2; shift ;; esac
            filter=kafka_chain::latency::measured_
            ;;
        -*) echo "run.sh: there is no option '$1'" >&2; usage 1 >&2 ;;
        *) filter=$1 ;;
    esac
    shift
done
# Each story has `real` in its name; the measurement has not.
if [[ $filter ]]; then filters=("$filter"); else filters=(kafka_chain::story::real_ kafka_chain::faults::real_); fi

installed=0
"$root/tests/chain/install.sh" || installed=$?
# 75: install.sh has said SKIPPED, and why.
[[ $installed != 75 ]] || exit 0
[[ $installed == 0 ]] || exit "$installed"

dir=$(mktemp -d "$root/target/chain/run-XXXXXX")

# Daemons that a killed test has left behind, and only those.
end_daemons() {
    local pid
    [[ -e $dir/pids ]] || return 0
    while read -r pid; do
        if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "run --config $dir/"; then kill -9 "$pid" || true; fi
    done <"$dir/pids"
}

finish() {
    local status=$?
    trap - EXIT INT TERM
    end_daemons
    "$root/tests/chain/chain.sh" stop "$dir/chain"
    "$root/tests/kafka/broker.sh" stop "$dir/broker"
    if [[ $status != 0 ]]; then
        echo "run.sh: FAILED; the files of the servers and of the daemons are in $dir" >&2
    elif [[ $keep ]]; then
        echo "run.sh: the files are in $dir"
    else
        rm -rf "$dir"
    fi
    exit "$status"
}

# What is secret of each secret, one a line: of a key that signs, name and id are not.
secrets() {
    local file
    for file in "$dir"/chain/secrets/*; do
        sed -E 's/^PRIVATE\+KEY\+[^+]*\+[^+]*\+//; s/^(whsec|plimsoll)_//' "$file"
        echo
    done | sed '/^$/d'
}

# Searches every file that is left of the run, the broker's and the servers' too, for secrets as they stand;
# by other means than the tests do. The stores of the servers themselves are passed over.
search() {
    local stores=("$dir/chain/secrets" "$dir/chain/airflow/passwords.json" "$dir/broker/server.properties" "$dir/broker/client.env")
    local patterns=$dir/chain/patterns store found files
    local skip=(-path "$patterns" -prune -o)
    (umask 077 && secrets >"$patterns")
    for store in "${stores[@]}"; do
        grep -rqaFf "$patterns" "$store" || { echo "run.sh: the search does not find what is in $store" >&2; exit 1; }
        skip+=(-path "$store" -prune -o)
    done
    files=$(find "$dir" "${skip[@]}" -type f -print | wc -l)
    found=$(find "$dir" "${skip[@]}" -type f -print0 | xargs -0 grep -laFf "$patterns" || true)
    if [[ $found ]]; then
        printf 'run.sh: a secret is in %s\n' "$found" >&2
        exit 1
    fi
    echo "run.sh: none of $(wc -l <"$patterns") secrets is in the $files files of the run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$root"
# Built before the servers take the processors' time.
cargo build --locked --bin plimsoll
cargo test --locked --test suite --no-run
mkdir -p "$dir/broker" "$dir/chain/secrets" "$dir/tests"
began=$SECONDS
(umask 077 && printf 'planted-kafka-%s' "$(openssl rand -hex 16)" >"$dir/chain/secrets/kafka")
KAFKA_BROKER_PASSWORD=$(<"$dir/chain/secrets/kafka") "$root/tests/kafka/broker.sh" start "$dir/broker" >/dev/null
"$root/tests/chain/chain.sh" start "$dir/chain"
echo "run.sh: the servers are ready after $((SECONDS - began)) s"
set -a
# shellcheck disable=SC1091
. "$dir/broker/client.env"
# shellcheck disable=SC1091
. "$dir/chain/chain.env"
PLIMSOLL_CHAIN_PIDS=$dir/pids
PLIMSOLL_CHAIN_INCIDENTS=${latency:-20}
TMPDIR=$dir/tests
set +a
began=$SECONDS
cargo test --locked --test suite -- --ignored --nocapture --test-threads=1 "${filters[@]}" 2>&1 | tee "$dir/tests.log"
grep -q '^test result: ok\. [1-9]' "$dir/tests.log" || { echo "run.sh: no test ran" >&2; exit 1; }
sed -En 's/^(test .* \.\.\. )?chain\|//p' "$dir/tests.log"
search
echo "run.sh: passed in $((SECONDS - began)) s"
