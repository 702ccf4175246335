#!/usr/bin/env bash
# Installs the real servers of the chain under target/chain, once: MLflow and Airflow from PyPI, each with
# every package pinned and in an environment of its own; Alertmanager and webhook from Debian, unpacked
# there and not installed, so that no service starts by itself.
#
#   tests/chain/install.sh         prints how long it took and how large it is
#
# Where something cannot be had it prints SKIPPED and ends with 75, except with CI set, where that is a
# failure (1). CHAIN_PYTHON names another Python than python3; 3.10 to 3.13 will do.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
me=install.sh
# shellcheck source=tests/chain/lib.sh
. "$here/lib.sh"
home=$here/../../target/chain
mkdir -p "$home"
home=$(cd "$home" && pwd)
python=${CHAIN_PYTHON:-python3}

unavailable() {
    echo "SKIPPED: $*"
    [[ -z ${CI:-} ]] && exit 75
    echo "CI is set, so that is a failure" >&2
    exit 1
}

for command in curl ss setsid; do
    command -v "$command" >/dev/null || unavailable "there is no $command"
done
"$python" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
    || unavailable "$python is not a Python from 3.10 to 3.13 with venv"

# The mark beside an environment is the hash of what it was made from.
environment() { # name
    local name=$1 wanted began=$SECONDS
    wanted=$({ "$python" --version; cat "$here/requirements/$name.txt"; } | sha256sum | cut -d' ' -f1)
    [[ -e $home/$name.made && $(<"$home/$name.made") == "$wanted" ]] && return
    say "installing $name from PyPI"
    rm -rf "${home:?}/$name" "$home/$name.made"
    # --no-deps: the file names everything, so that nothing newer comes in.
    "$python" -m venv "$home/$name" \
        && "$home/$name/bin/python" -m pip install -q --no-deps --no-compile --disable-pip-version-check \
            --no-input -r "$here/requirements/$name.txt" >"$home/$name.install.log" 2>&1 \
        || unavailable "$name cannot be installed: $(tail -n 2 "$home/$name.install.log" 2>/dev/null)"
    echo "$wanted" >"$home/$name.made"
    say "$name: $((SECONDS - began)) s, $(du -sm "$home/$name" | cut -f1) MB"
}

# The package's program as $home/bin/NAME: the installed one, else out of Debian's archive.
program() { # command package
    [[ ! -x $home/bin/$1 ]] || return 0
    mkdir -p "$home/bin"
    if command -v "$1" >/dev/null; then
        ln -sf "$(command -v "$1")" "$home/bin/$1"
        return
    fi
    command -v apt-get >/dev/null || unavailable "$1 is not installed, and there is no apt-get"
    say "fetching $2 from Debian"
    local folder=$home/deb/$2
    rm -rf "$folder" && mkdir -p "$folder"
    (cd "$folder" && { apt-get -qq download "$2" || { apt-get -qq update && apt-get -qq download "$2"; }; }) \
        >"$home/$2.install.log" 2>&1 || unavailable "$2 cannot be fetched: $(tail -n 2 "$home/$2.install.log")"
    dpkg-deb -x "$folder"/*.deb "$folder" || unavailable "$2 cannot be unpacked"
    ln -sf "$folder/usr/bin/$1" "$home/bin/$1"
}

began=$SECONDS
environment mlflow
environment airflow
program prometheus-alertmanager prometheus-alertmanager
program webhook webhook
say "ready in $((SECONDS - began)) s: $(du -sm "$home" | cut -f1) MB in target/chain"
