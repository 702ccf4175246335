#!/usr/bin/env bash
# Three Apache Kafka nodes (KRaft, each broker and controller) for tests, on loopback: everything is
# kept three times, and a write counts when two nodes hold it.
#
#   cluster.sh start DIR                  starts them with their data under DIR, waits until all three
#                                         serve, and writes DIR/client.env, shell assignments:
#                                           PLIMSOLL_TEST_KAFKA          host:port of all three, plain text
#                                           PLIMSOLL_TEST_KAFKA_CLUSTER  DIR
#   cluster.sh stop DIR                   stops them, by the process ids that start wrote
#   cluster.sh stop-node DIR N [--kill]   stops node N (1 to 3) as an operator would, or with kill -9
#   cluster.sh start-node DIR N           starts it again with the same ports and data, waits until it serves
#   cluster.sh env DIR                    prints DIR/client.env
#
# The jars come as broker.sh fetches them. Needs a JDK 17 or later, Maven, openssl and python3.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
me=cluster.sh
# shellcheck source=tests/kafka/lib.sh
. "$here/lib.sh"

nodes=(1 2 3)
heap=(-Xms96m -Xmx320m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true)
# How long a node may take until it serves, and until it has stopped, in quarters of a second.
starts_within=360
stops_within=160

# Free ports below those that the system gives to connections: a node that is down would find its own
# taken by a client when it comes back.
free_ports() { # count
  python3 - "$1" <<'PY'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(15000, 32000)))
        held.append(s)
    except OSError:
        s.close()
print(*(s.getsockname()[1] for s in held))
PY
}

configuration() { # dir node port controller voters
  cat <<CONFIG
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$5
listeners=PLAIN://127.0.0.1:$3,CONTROLLER://127.0.0.1:$4
advertised.listeners=PLAIN://127.0.0.1:$3
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
log.dirs=$1/node-$2/data
num.partitions=4
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.num.partitions=4
offsets.topic.replication.factor=3
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A node that was killed is noticed, and one that came back leads again, within seconds.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
leader.imbalance.check.interval.seconds=5
leader.imbalance.per.broker.percentage=1
num.network.threads=2
num.io.threads=2
num.replica.fetchers=1
log.cleaner.dedupe.buffer.size=4194304
CONFIG
}

# Quiet but for the line that says that a broker serves.
log4j() {
  cat <<'LOG4J'
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="kafka.server.BrokerServer" level="INFO"/>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
LOG4J
}

pid_of() { # dir node: of the node that runs, or nothing
  local file=$1/node-$2/broker.pid pid
  [ -e "$file" ] || return 0
  pid=$(<"$file")
  if is_broker "$pid" "$1/node-$2/server.properties"; then echo "$pid"; fi
}

port_of() { # dir node
  sed -n 's#^advertised.listeners=PLAIN://127.0.0.1:##p' "$1/node-$2/server.properties"
}

launch() { # dir node
  local own=$1/node-$2 pid
  [ ! -e "$own/broker.log" ] || mv "$own/broker.log" "$own/broker.log.$(date +%s%N)"
  java "${heap[@]}" -Dlog4j2.configurationFile="$1/log4j2.xml" -cp "$lib/*" kafka.Kafka "$own/server.properties" \
    >"$own/broker.log" 2>&1 </dev/null &
  pid=$!
  disown "$pid"
  echo "$pid" >"$own/broker.pid"
}

# Fails where the node exits before it serves.
await() { # dir node
  local own=$1/node-$2 pid i
  pid=$(<"$own/broker.pid")
  for ((i = 0; i < starts_within; i++)); do
    kill -0 "$pid" 2>/dev/null || { say "node $2 exited: $(grep -m1 -E 'ERROR|FATAL' "$own/broker.log" || tail -n 1 "$own/broker.log")"; return 1; }
    # Only our own child counts: another process might have been given the same port.
    if grep -q 'from STARTING to STARTED' "$own/broker.log" && [ "$(listener_of "$(port_of "$1" "$2")")" = "$pid" ]; then
      return 0
    fi
    sleep 0.25
  done
  fail "node $2 did not serve within $((starts_within / 4)) s; see $own/broker.log"
}

try_start() { # dir
  local dir=$1 ports voters id node began=$SECONDS
  read -r -a ports <<<"$(free_ports 6)"
  voters="1@127.0.0.1:${ports[3]},2@127.0.0.1:${ports[4]},3@127.0.0.1:${ports[5]}"
  id=$(cluster_id)
  local formats=()
  for node in "${nodes[@]}"; do
    rm -rf "$dir/node-$node" && mkdir -p "$dir/node-$node"
    configuration "$dir" "$node" "${ports[node - 1]}" "${ports[node + 2]}" "$voters" >"$dir/node-$node/server.properties"
    java "${heap[@]}" -Dlog4j2.configurationFile="$dir/log4j2.xml" -cp "$lib/*" kafka.tools.StorageTool format \
      --cluster-id "$id" --config "$dir/node-$node/server.properties" >"$dir/node-$node/format.log" 2>&1 &
    formats+=($!)
  done
  for node in "${nodes[@]}"; do
    wait "${formats[node - 1]}" || { cat "$dir/node-$node/format.log" >&2; fail "the storage of node $node could not be formatted"; }
  done
  for node in "${nodes[@]}"; do launch "$dir" "$node"; done
  for node in "${nodes[@]}"; do await "$dir" "$node" || return 1; done
  cat >"$dir/client.env" <<ENV
PLIMSOLL_TEST_KAFKA=127.0.0.1:${ports[0]},127.0.0.1:${ports[1]},127.0.0.1:${ports[2]}
PLIMSOLL_TEST_KAFKA_CLUSTER=$dir
ENV
  say "three nodes serve after $((SECONDS - began)) s"
}

start() { # dir
  local dir=$1 node
  for node in "${nodes[@]}"; do [ -z "$(pid_of "$dir" "$node")" ] || fail "$dir already has a node that runs; stop it first"; done
  need java openjdk-17-jre-headless
  need openssl openssl
  need python3 python3
  jars
  log4j >"$dir/log4j2.xml"
  for _ in 1 2 3; do
    try_start "$dir" && return
    stop "$dir"
  done
  fail "no cluster after three attempts; see $dir/node-*/broker.log"
}

# All at once: nobody needs what they hold, and the last of a quorum would wait for the others.
stop() { # dir
  local node pid i pids=()
  for node in "${nodes[@]}"; do
    pid=$(pid_of "$1" "$node")
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; pids+=("$pid"); }
    rm -f "$1/node-$node/broker.pid"
  done
  for ((i = 0; i < 8; i++)); do
    kill -0 "${pids[@]}" 2>/dev/null || break
    sleep 0.25
  done
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
}

stop_node() { # dir node [--kill]
  local pid i signal=TERM
  [ "${3:-}" != --kill ] || signal=KILL
  pid=$(pid_of "$1" "$2")
  [ -n "$pid" ] || fail "node $2 of $1 does not run"
  kill "-$signal" "$pid"
  for ((i = 0; i < stops_within; i++)); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$1/node-$2/broker.pid"; return 0; }
    sleep 0.25
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$1/node-$2/broker.pid"
  fail "node $2 did not stop within $((stops_within / 4)) s and was killed"
}

start_node() { # dir node
  [ -e "$1/node-$2/server.properties" ] || fail "$1 has no node $2"
  [ -z "$(pid_of "$1" "$2")" ] || fail "node $2 of $1 runs already"
  # A killed node is refused until its session has lapsed, or a socket of it lingers: it exits then.
  for _ in 1 2 3; do
    launch "$1" "$2"
    await "$1" "$2" && return
    rm -f "$1/node-$2/broker.pid"
    sleep 2
  done
  fail "node $2 did not come back; see $1/node-$2/broker.log*"
}

usage() {
  sed -n '5,12p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit "$1"
}

case "${1:-}" in
  --help | -h) usage 0 ;;
  start | stop | env | stop-node | start-node) [ -n "${2:-}" ] || usage 1 ;;
  *) usage 1 ;;
esac
[ "$1" != start ] || mkdir -p "$2"
[ -d "$2" ] || { [ "$1" = stop ] && exit 0; fail "there is no folder $2"; }
dir=$(cd "$2" && pwd)
case "$1" in
  start) start "$dir" ;;
  stop) stop "$dir" ;;
  env) cat "$dir/client.env" ;;
  stop-node | start-node)
    case "${3:-}" in [1-3]) ;; *) usage 1 ;; esac
    if [ "$1" = stop-node ]; then stop_node "$dir" "$3" "${4:-}"; else start_node "$dir" "$3"; fi
    ;;
esac
