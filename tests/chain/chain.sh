#!/usr/bin/env bash
# The servers at the end of the chain, for tests: MLflow with its basic authentication, Airflow (API,
# scheduler, DAG processor) on SQLite, Alertmanager, and webhook, which runs a command for each request.
# All on loopback ports that the system picks.
#
#   chain.sh start DIR [SERVER...]   starts them (default: all) with their data under DIR, waits until they
#                                    serve, and writes DIR/chain.env, a file of shell assignments:
#                                      PLIMSOLL_CHAIN              DIR
#                                      PLIMSOLL_CHAIN_MLFLOW       URL; _AIRFLOW, _ALERTMANAGER, _WEBHOOK likewise
#                                      PLIMSOLL_CHAIN_SECRETS      folder with one secret a file, see below
#   chain.sh stop DIR [SERVER...]    stops them, by the sessions that start wrote
#   chain.sh kill DIR SERVER...      the same with kill -9
#
# SERVER is mlflow, airflow-api, airflow-scheduler, airflow-dags, alertmanager or webhook. Started again, a
# server has the port that it had.
#
# Secrets are drawn at the first start, so that they can be searched for afterwards: mlflow-admin,
# mlflow-plimsoll and mlflow-reader (passwords of those MLflow users), airflow-plimsoll and airflow-viewer (of
# those Airflow users), webhook (the key that requests are signed with).
#
# webhook verifies each request to /hooks/rollback with the standardwebhooks package and writes what it
# was asked for to DIR/rollback.ndjson; what Alertmanager notifies of it writes to DIR/alerts.ndjson.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
me=chain.sh
# shellcheck source=tests/chain/lib.sh
. "$here/lib.sh"
home=${CHAIN_HOME:-$(cd "$here/../../target/chain" && pwd)}
# Compiled once, and beside none of the sources.
export PYTHONPYCACHEPREFIX=$home/pycache PYTHONWARNINGS=ignore
all=(mlflow airflow-api airflow-scheduler airflow-dags alertmanager webhook)

# A port of its own for the server, kept over restarts.
port() { # name
    [[ -e $dir/$1.port ]] || free_port >"$dir/$1.port"
    cat "$dir/$1.port"
}

secret() { cat "$dir/secrets/$1"; }

# Readable as what they are wherever they turn up; MLflow asks for at least 12 characters.
draw_secrets() (
    [[ ! -e $dir/secrets/webhook ]] || return 0
    umask 077
    mkdir -p "$dir/secrets"
    for name in mlflow-admin mlflow-plimsoll mlflow-reader airflow-plimsoll airflow-viewer; do
        printf 'planted-%s-%s' "$name" "$(openssl rand -hex 16)" >"$dir/secrets/$name"
    done
    printf 'whsec_%s' "$(openssl rand -base64 32)" >"$dir/secrets/webhook"
)

# Starts a server on its port and waits for it; with another port where a stranger took this one first.
serve() { # name seconds start probe
    local name=$1 try
    for try in 1 2 3; do
        if [[ -e $dir/$name.port ]] && ! is_free "$(port "$name")"; then
            [[ ! -e $dir/chain.env ]] || fail "the port of $name is taken"
            rm "$dir/$name.port"
        fi
        "$3"
        ready "$dir" "$name" "$2" "$4" && return
        halt "$dir" "$name" kill
        ((try < 3)) && say "$name is started once more"
    done
    fail "$name does not start; see $dir/$name.log"
}

answers() { curl -sf -m 5 -o /dev/null "$@"; }

# MLflow -----------------------------------------------------------------------------------------------

start_mlflow() {
    mkdir -p "$dir/mlflow"
    # Passwords that were right stay so for a minute: to derive their hash costs half a processor otherwise.
    cat >"$dir/mlflow/auth.ini" <<CONFIG
[mlflow]
default_permission = READ
database_uri = sqlite:///$dir/mlflow/auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
CONFIG
    # The password is in the environment and not in the arguments, which everybody can read.
    (
        export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_AUTH_CONFIG_PATH=$dir/mlflow/auth.ini
        MLFLOW_AUTH_ADMIN_PASSWORD=$(secret mlflow-admin) MLFLOW_FLASK_SERVER_SECRET_KEY=$(openssl rand -hex 32)
        export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
        cd "$dir/mlflow"
        launch "$dir" mlflow "$home/mlflow/bin/python" -m mlflow server --app-name basic-auth \
            --backend-store-uri "sqlite:///$dir/mlflow/store.db" --artifacts-destination "$dir/mlflow/artifacts" \
            --host 127.0.0.1 --port "$(port mlflow)" --workers 1
    )
}
mlflow_answers() { answers "http://127.0.0.1:$(port mlflow)/health"; }

mlflow_post() { # path json
    curl -sf -m 30 -o /dev/null -K <(printf 'user = "admin:%s"' "$(secret mlflow-admin)") \
        -H 'content-type: application/json' -d @- "http://127.0.0.1:$(port mlflow)/api/2.0/mlflow/$1" <<<"$2"
}

mlflow_users() {
    [[ ! -e $dir/mlflow/users ]] || return 0
    local name
    for name in plimsoll reader; do
        mlflow_post users/create "{\"username\": \"$name\", \"password\": \"$(secret "mlflow-$name")\"}" \
            || fail "MLflow does not make the user $name"
    done
    touch "$dir/mlflow/users"
}

# Airflow ----------------------------------------------------------------------------------------------

airflow_environment() {
    export AIRFLOW_HOME=$dir/airflow AIRFLOW__CORE__DAGS_FOLDER=$here/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
    export AIRFLOW__CORE__EXECUTOR=LocalExecutor AIRFLOW__CORE__PARALLELISM=2
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=plimsoll:op,viewer:viewer
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=$dir/airflow/passwords.json
    export AIRFLOW__API__BASE_URL=http://127.0.0.1:$(port airflow-api)
    export AIRFLOW__CORE__EXECUTION_API_SERVER_URL=$AIRFLOW__API__BASE_URL/execution/
    export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=5
    # A dead scheduler is known to be dead after this; the default is 30 s, and the tests would wait for it.
    export AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD=20 AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC=1
    AIRFLOW__API_AUTH__JWT_SECRET=$(<"$dir/airflow/jwt")
    AIRFLOW__CORE__FERNET_KEY=$(<"$dir/airflow/fernet")
    export AIRFLOW__API_AUTH__JWT_SECRET AIRFLOW__CORE__FERNET_KEY
    airflow=("$home/airflow/bin/python" -m airflow)
}

airflow_database() {
    [[ ! -e $dir/airflow/migrated ]] || return 0
    (umask 077 && mkdir -p "$dir/airflow")
    openssl rand -hex 32 >"$dir/airflow/jwt"
    openssl rand -base64 32 | tr '+/' '-_' >"$dir/airflow/fernet"
    printf '{"plimsoll": "%s", "viewer": "%s"}' "$(secret airflow-plimsoll)" "$(secret airflow-viewer)" \
        >"$dir/airflow/passwords.json"
    (airflow_environment && "${airflow[@]}" db migrate) >"$dir/airflow-migrate.log" 2>&1 \
        || fail "Airflow's database cannot be made; see $dir/airflow-migrate.log"
    touch "$dir/airflow/migrated"
}

start_airflow_api() {
    (airflow_environment && launch "$dir" airflow-api "${airflow[@]}" api-server --host 127.0.0.1 \
        --port "$(port airflow-api)" --workers 1)
}
# Without --skip-serve-logs it would listen on every interface.
start_airflow_scheduler() {
    (airflow_environment && launch "$dir" airflow-scheduler "${airflow[@]}" scheduler --skip-serve-logs)
}
start_airflow_dags() {
    (airflow_environment && launch "$dir" airflow-dags "${airflow[@]}" dag-processor)
}

airflow_health() { curl -sf -m 5 "http://127.0.0.1:$(port airflow-api)/api/v2/monitor/health"; }
airflow_answers() { airflow_health; }
part_is_healthy() { # part
    airflow_health | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)[sys.argv[1]]["status"] != "healthy")' "$1"
}
scheduler_is_healthy() { part_is_healthy scheduler; }
# The DAGs themselves are known a little later than their processor is healthy.
dags_are_known() {
    local token
    part_is_healthy dag_processor || return 1
    token=$(printf '{"username": "plimsoll", "password": "%s"}' "$(secret airflow-plimsoll)" \
        | curl -sf -m 5 -H 'content-type: application/json' -d @- "http://127.0.0.1:$(port airflow-api)/auth/token" \
        | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])') || return 1
    local dag
    for dag in retrain retrain_paused; do
        answers -K <(printf 'oauth2-bearer = "%s"' "$token") \
            "http://127.0.0.1:$(port airflow-api)/api/v2/dags/$dag" || return 1
    done
}

# Alertmanager and webhook -----------------------------------------------------------------------------

start_alertmanager() {
    cat >"$dir/alertmanager.yml" <<CONFIG
route: {receiver: hook, group_by: [alertname, model], group_wait: 1s, group_interval: 2s}
receivers:
  - name: hook
    webhook_configs: [{url: "http://127.0.0.1:$(port webhook)/hooks/alert", send_resolved: true}]
CONFIG
    launch "$dir" alertmanager "$home/bin/prometheus-alertmanager" --config.file="$dir/alertmanager.yml" \
        --storage.path="$dir/alertmanager-data" --web.listen-address="127.0.0.1:$(port alertmanager)" \
        --cluster.listen-address=
}
alertmanager_answers() { answers "http://127.0.0.1:$(port alertmanager)/-/ready"; }

start_webhook() {
    python3 - "$here" "$home/mlflow/bin/python" "$dir" >"$dir/hooks.json" <<'PY'
import json, sys
here, python, folder = sys.argv[1:]
header = lambda name: {"source": "header", "name": name}
word = lambda text: {"source": "string", "name": text}
print(json.dumps([
    {
        "id": "rollback",
        "execute-command": python,
        "include-command-output-in-response": True,
        "pass-arguments-to-command": [
            word(f"{here}/verify.py"), word(folder),
            header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"),
            {"source": "entire-payload"},
        ],
    },
    {
        "id": "alert",
        "execute-command": python,
        "pass-arguments-to-command": [word(f"{here}/keep.py"), word(f"{folder}/alerts.ndjson"), {"source": "entire-payload"}],
    },
]))
PY
    launch "$dir" webhook "$home/bin/webhook" -hooks "$dir/hooks.json" -ip 127.0.0.1 -port "$(port webhook)"
}
webhook_answers() { answers "http://127.0.0.1:$(port webhook)/"; }

# ------------------------------------------------------------------------------------------------------

wanted() { # name
    local name
    for name in "${servers[@]}"; do [[ $name != "$1" ]] || return 0; done
    return 1
}

start() {
    draw_secrets
    # Whoever takes longest begins first.
    if wanted airflow-api; then airflow_database; fi
    if wanted mlflow; then serve mlflow 240 start_mlflow mlflow_answers && mlflow_users; fi
    if wanted airflow-api; then serve airflow-api 240 start_airflow_api airflow_answers; fi
    if wanted airflow-scheduler; then serve airflow-scheduler 120 start_airflow_scheduler scheduler_is_healthy; fi
    if wanted airflow-dags; then serve airflow-dags 120 start_airflow_dags dags_are_known; fi
    if wanted webhook; then serve webhook 20 start_webhook webhook_answers; fi
    if wanted alertmanager; then serve alertmanager 20 start_alertmanager alertmanager_answers; fi
    cat >"$dir/chain.env" <<ENV
PLIMSOLL_CHAIN=$dir
PLIMSOLL_CHAIN_MLFLOW=http://127.0.0.1:$(port mlflow)
PLIMSOLL_CHAIN_AIRFLOW=http://127.0.0.1:$(port airflow-api)
PLIMSOLL_CHAIN_ALERTMANAGER=http://127.0.0.1:$(port alertmanager)
PLIMSOLL_CHAIN_WEBHOOK=http://127.0.0.1:$(port webhook)
PLIMSOLL_CHAIN_SECRETS=$dir/secrets
ENV
}

usage() {
    sed -n '6,14p' "$0" | sed 's/^# \{0,1\}//' >&2
    exit "$1"
}

case "${1:-}" in
    --help | -h) usage 0 ;;
    start | stop | kill) [[ -n ${2:-} ]] || usage 1 ;;
    *) usage 1 ;;
esac
verb=$1
[[ $verb != start ]] || mkdir -p "$2"
[[ -d $2 ]] || { [[ $verb == stop ]] && exit 0; fail "there is no folder $2"; }
dir=$(cd "$2" && pwd)
shift 2
servers=("$@")
[[ ${#servers[@]} -gt 0 ]] || servers=("${all[@]}")
for name in "${servers[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || fail "there is no server '$name'"
done
case "$verb" in
    start) start ;;
    stop) for name in "${servers[@]}"; do halt "$dir" "$name"; done ;;
    kill) for name in "${servers[@]}"; do halt "$dir" "$name" kill; done ;;
esac
