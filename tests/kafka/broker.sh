#!/usr/bin/env bash
# One Apache Kafka node (KRaft, no ZooKeeper) for tests, on loopback ports that the system picks.
#
#   broker.sh start DIR    starts it with its data under DIR and waits until it answers; writes
#                          DIR/client.env, a file of shell assignments:
#                            PLIMSOLL_TEST_KAFKA        host:port, plain text, no login
#                            PLIMSOLL_TEST_KAFKA_TLS    host:port, TLS and SCRAM-SHA-512
#                            PLIMSOLL_TEST_KAFKA_CA     PEM file of the authority that signed its certificate
#                            PLIMSOLL_TEST_KAFKA_USER   and _PASSWORD: the SCRAM user, who may do anything
#                            PLIMSOLL_TEST_KAFKA_STRANGER  a SCRAM user of the same password, who may do nothing
#   broker.sh stop DIR     stops it, by the process id that start wrote
#
# The password is KAFKA_BROKER_PASSWORD, where that is set.
#
# The jars come from Maven Central into KAFKA_BROKER_LIB (default: target/kafka-broker/lib), once.
# Needs a JDK 17 or later, Maven and openssl; as root, missing ones are installed with apt-get.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
me=broker.sh
user=plimsoll-test
stranger=plimsoll-stranger
password=${KAFKA_BROKER_PASSWORD:-throwaway}
# shellcheck source=tests/kafka/lib.sh
. "$here/lib.sh"

# Ports that were free a moment ago. Another process may take one before the broker does; start
# then sees a broker that exits, and tries again with others.
free_ports() { # count
  python3 - "$1" <<'PY' 2>/dev/null || bash_ports "$1"
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))
PY
}
bash_ports() {
  local found=() port
  while [ "${#found[@]}" -lt "$1" ]; do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || found+=("$port")
  done
  echo "${found[@]}"
}

# A throwaway authority, and a certificate for 127.0.0.1 and localhost signed by it.
certificates() { # dir
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=plimsoll test authority" \
    -keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$1/broker.key" -out "$1/broker.csr" 2>/dev/null
  openssl x509 -req -in "$1/broker.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 30 \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost") -out "$1/broker.pem" 2>/dev/null
  openssl pkcs12 -export -in "$1/broker.pem" -inkey "$1/broker.key" -certfile "$1/ca.pem" \
    -passout "pass:$password" -out "$1/broker.p12"
}

configuration() { # dir plain tls controller
  cat <<CONFIG
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$4
listeners=PLAIN://127.0.0.1:$2,SECURE://127.0.0.1:$3,CONTROLLER://127.0.0.1:$4
advertised.listeners=PLAIN://127.0.0.1:$2,SECURE://127.0.0.1:$3
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.keystore.location=$1/broker.p12
listener.name.secure.ssl.keystore.type=PKCS12
listener.name.secure.ssl.keystore.password=$password
listener.name.secure.ssl.key.password=$password
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:$user
log.dirs=$1/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=1000
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
CONFIG
}

quiet_log4j() {
  cat <<'LOG4J'
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
LOG4J
}

heap=(-Xms128m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true)

try_start() { # dir
  local dir=$1 plain tls controller pid i
  read -r plain tls controller <<<"$(free_ports 3)"
  rm -rf "$dir/data"
  configuration "$dir" "$plain" "$tls" "$controller" >"$dir/server.properties"
  java "${heap[@]}" -Dlog4j2.configurationFile="$dir/log4j2.xml" -cp "$lib/*" kafka.tools.StorageTool format \
    --cluster-id "$(cluster_id)" --config "$dir/server.properties" \
    --add-scram "SCRAM-SHA-512=[name=$user,password=$password]" \
    --add-scram "SCRAM-SHA-512=[name=$stranger,password=$password]" >"$dir/format.log" 2>&1 \
    || { cat "$dir/format.log" >&2; fail "the broker's storage could not be formatted"; }
  java "${heap[@]}" -Dlog4j2.configurationFile="$dir/log4j2.xml" -cp "$lib/*" kafka.Kafka "$dir/server.properties" \
    >"$dir/broker.log" 2>&1 </dev/null &
  pid=$!
  disown "$pid"
  echo "$pid" >"$dir/broker.pid"
  for ((i = 0; i < 240; i++)); do
    kill -0 "$pid" 2>/dev/null || { say "the broker exited: $(tail -n 3 "$dir/broker.log")"; return 1; }
    # Only our own child counts: another process might have been given the same port.
    if [ "$(listener_of "$plain")" = "$pid" ] && [ "$(listener_of "$tls")" = "$pid" ]; then
      cat >"$dir/client.env" <<ENV
PLIMSOLL_TEST_KAFKA=127.0.0.1:$plain
PLIMSOLL_TEST_KAFKA_TLS=localhost:$tls
PLIMSOLL_TEST_KAFKA_CA=$dir/ca.pem
PLIMSOLL_TEST_KAFKA_USER=$user
PLIMSOLL_TEST_KAFKA_STRANGER=$stranger
PLIMSOLL_TEST_KAFKA_PASSWORD=$password
ENV
      echo "127.0.0.1:$plain"
      return 0
    fi
    sleep 0.25
  done
  stop "$dir"
  fail "the broker did not listen within a minute; see $dir/broker.log"
}

start() { # dir
  mkdir -p "$1"
  local dir
  dir=$(cd "$1" && pwd)
  [ ! -e "$dir/broker.pid" ] || fail "$dir already has a broker; stop it first"
  need java openjdk-17-jre-headless
  need openssl openssl
  jars
  certificates "$dir"
  quiet_log4j >"$dir/log4j2.xml"
  for _ in 1 2 3; do
    try_start "$dir" && return
    rm -f "$dir/broker.pid"
  done
  fail "no broker after three attempts; see $dir/broker.log"
}

stop() { # dir
  local file=$1/broker.pid pid i
  [ -e "$file" ] || return 0
  pid=$(<"$file")
  if is_broker "$pid" "$(cd "$1" && pwd)/server.properties"; then
    kill "$pid"
    for ((i = 0; i < 80; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
    kill -9 "$pid" 2>/dev/null && say "the broker had to be killed"
  fi
  rm -f "$file"
}

case "${1:-} ${2:+dir}" in
  "start dir") start "$2" ;;
  "stop dir") stop "$2" ;;
  *) fail "usage: broker.sh start DIR | stop DIR" ;;
esac
