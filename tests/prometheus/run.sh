#!/usr/bin/env bash
# Checks what plimsoll hands to Prometheus with Prometheus itself: configuration, alert rules and
# their tests by promtool; then a live server scrapes the demo and every query of the dashboards is
# asked of it.
#
#   tests/prometheus/run.sh PATH/TO/plimsoll
#
# Where promtool and prometheus are missing, Debian's package is installed. Where that is impossible
# the script prints SKIPPED and succeeds, except with CI set. It stops what it started.
set -euo pipefail

binary=$(realpath "${1:?usage: tests/prometheus/run.sh PATH/TO/plimsoll}")
cd "$(dirname "$0")/../.."

skip() {
    echo "SKIPPED: $1"
    [[ -z ${CI:-} ]] && exit 0
    echo "CI is set, so that is a failure" >&2
    exit 1
}

if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then
    command -v apt-get >/dev/null || skip "prometheus is not installed, and there is no apt-get"
    [[ $(id -u) == 0 ]] || skip "prometheus is not installed, and only root may install it"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -y --no-install-recommends prometheus \
        || { apt-get update && apt-get install -y --no-install-recommends prometheus; }; } >/dev/null \
        || skip "prometheus cannot be installed"
fi

echo "== promtool: configuration, rules, tests of the rules"
promtool check config deploy/prometheus/prometheus.yml
promtool check rules --lint=all --lint-fatal deploy/prometheus/alerts.yaml
promtool test rules deploy/prometheus/tests/alerts_test.yaml

work=$(mktemp -d)
started=()
finish() {
    status=$?
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    if [[ $status != 0 ]]; then
        for log in "$work"/*.log; do
            [[ -e $log ]] && { echo "---- end of $(basename "$log")"; tail -n 30 "$log"; } >&2
        done
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A port that nobody listens on now.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

# get PORT PATH: the body of an answer, whatever its status; fails where nobody listens.
get() {
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
        sed '1,/^\r$/d' <&3
        exec 3>&-
    } 2>/dev/null
}

# until_found SECONDS PORT PATH PATTERN: waits for an answer that holds the pattern.
until_found() {
    local end=$((SECONDS + $1)) page
    while ((SECONDS < end)); do
        page=$(get "$2" "$3" || true)
        [[ $page =~ $4 ]] && return 0
        for pid in "${started[@]}"; do
            kill -0 "$pid" 2>/dev/null || { echo "a process has ended early" >&2; return 1; }
        done
        sleep 0.5
    done
    echo "no $4 at port $2 $3 within $1 s; the last answer was:" >&2
    head -c 600 <<<"$page" >&2
    return 1
}

echo "== a live Prometheus scrapes the demo"
daemon=$(free_port)
server=$(free_port)
while [[ $server == "$daemon" ]]; do server=$(free_port); done

"$binary" demo --for 90s --listen "127.0.0.1:$daemon" --plain >"$work/demo.log" 2>&1 &
started+=($!)

sed -e "s/127\.0\.0\.1:9464/127.0.0.1:$daemon/" -e 's/_interval: 15s/_interval: 1s/' \
    deploy/prometheus/prometheus.yml >"$work/prometheus.yml"
cp deploy/prometheus/alerts.yaml "$work/"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$server" --log.level=warn >"$work/prometheus.log" 2>&1 &
started+=($!)

until_found 30 "$daemon" /readyz '"ready":true'
until_found 30 "$server" /api/v1/targets '"health":"up"'
# The planted incident has to be through before the queries can find it.
until_found 80 "$daemon" /api/v1/actions '"state":"'
sleep 5

targets=$(get "$server" /api/v1/targets)
[[ $targets == *'"health":"up"'* && $targets == *'"lastError":""'* ]] \
    || { echo "the target is not healthy: $targets" >&2; exit 1; }
echo "target is up, without an error"

echo "== promtool: the page in text format 0.0.4"
get "$daemon" /metrics >"$work/page.txt"
promtool check metrics <"$work/page.txt"
echo "$(grep -vc '^#' "$work/page.txt") samples"

echo "== alerts"
# count_over_time(ALERTS{alertname="PlimsollPolicyViolated",alertstate="firing"}[5m])
fired='count_over_time(ALERTS%7Balertname%3D%22PlimsollPolicyViolated%22%2Calertstate%3D%22firing%22%7D%5B5m%5D)'
until_found 20 "$server" "/api/v1/query?query=$fired" '"value":'
echo "PlimsollPolicyViolated has fired"
rules=$(get "$server" "/api/v1/rules?type=alert")
[[ $rules == *PlimsollPolicyViolated* && $rules != *'"health":"err"'* ]] \
    || { echo "a rule cannot be evaluated: $rules" >&2; exit 1; }
echo "all rules are evaluated without an error"

walk=../shared/tools/dashboard_walk.py
if [[ ! -e $walk ]] || ! command -v python3 >/dev/null; then
    echo "SKIPPED: the queries of the dashboards; there is no $walk beside this checkout, or no python3"
    exit 0
fi
echo "== every query of the dashboards"
# Empty without harm: checks that the demo does not configure, what may be over again, and what joins
# instances and is committed, because the demo is one process without an exchange and commits nothing.
# Nobody is asked for anything in it and nobody orders anything.
python3 "$walk" dashboards "http://127.0.0.1:$server" --rate-interval 30s --range 15m --no-empty \
    --allow-empty '/tenant$' \
    --allow-empty 'plimsoll-exchange/' \
    --allow-empty 'plimsoll-actions/(Next expires|For a person|Approvals|Orders of people) ' \
    --allow-empty 'plimsoll-actions/(Open actions|Wanted and not done|Applied to verified) ' \
    --allow-empty 'plimsoll-actions/(Frozen since|Models held) ' \
    --allow-empty 'plimsoll-fleet/Age of state ' \
    --allow-empty 'Open incidents' \
    --allow-empty 'plimsoll-model/Evidence in shadow, never acting ' \
    --allow-empty '/(Rejected by reason|Metric series) ' \
    --allow-empty 'plimsoll-model/(Kolmogorov-Smirnov|Jensen-Shannon|Wasserstein|Other distances) ' \
    --allow-empty 'plimsoll-model/(Prediction drift|Other prediction distances) ' \
    --allow-empty 'plimsoll-model/(Quality of predictions) ' \
    --allow-empty 'plimsoll-model/Anomalous records ' \
    --allow-empty 'plimsoll-model/(Accuracy|Scores|Traffic checks) '
