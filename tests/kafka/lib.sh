# What broker.sh and cluster.sh share; sourced by them, after they have set `here` and `me`.
# shellcheck shell=bash

lib=${KAFKA_BROKER_LIB:-$here/../../target/kafka-broker/lib}

say() { echo "$me: $*" >&2; }
fail() { say "$*"; exit 1; }

need() { # command package
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] || fail "'$1' is missing; install the package $2"
  say "installing $2"
  apt-get -qq update >/dev/null && apt-get -qq install --no-install-recommends -y "$2" >/dev/null \
    || fail "could not install $2"
}

# The broker's jars from Maven Central, once.
jars() {
  # The pom is copied beside the jars, so that a changed version fetches anew.
  [ -e "$lib/pom.xml" ] && cmp -s "$lib/pom.xml" "$here/pom.xml" && return
  need mvn maven
  rm -rf "$lib" && mkdir -p "$lib"
  say "fetching the broker's jars from Maven Central"
  mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$(cd "$lib" && pwd)" >&2 \
    || fail "Maven could not fetch the jars"
  cp "$here/pom.xml" "$lib/pom.xml"
}

cluster_id() { openssl rand -base64 16 | tr '+/' '-_' | cut -c1-22; }

# The process that listens on a loopback port, or nothing.
listener_of() { # port
  local inode pid
  inode=$(awk -v port="$(printf '%04X' "$1")" \
    '$4 == "0A" && $2 ~ (":" port "$") {print $10; exit}' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  [ -n "$inode" ] || return 0
  for pid in /proc/[0-9]*; do
    if ls -l "$pid/fd" 2>/dev/null | grep -q "socket:\[$inode\]"; then echo "${pid#/proc/}"; return; fi
  done
}

# Whether the process is a broker of this configuration: an id may have been given to another process.
is_broker() { # pid properties
  tr "\0" " " 2>/dev/null <"/proc/$1/cmdline" | grep -qF "kafka.Kafka $2"
}
