# How the servers of the chain are started, recognised and stopped; sourced by the scripts beside it,
# after they have set `me`.
# shellcheck shell=bash
#
# A server is a session of its own (setsid): what it forks stays in it, so that it can be told whose
# listener a port has, and so that everything of it can be stopped together. Of a server NAME under DIR
# there are DIR/NAME.session, DIR/NAME.port and DIR/NAME.log.

say() { echo "$me: $*" >&2; }
fail() { say "$*"; exit 1; }

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

is_free() { [[ -z $(ss -ltnH "sport = :$1") ]]; }

# Whether everything that listens on the port belongs to the session. A server that found its port taken
# has ended, and what answers there is a stranger, who must not be sent anything.
owned() { # port session
    local pids pid
    pids=$(ss -ltnpH "sport = :$1" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)
    [[ -n $pids ]] || return 1
    for pid in $pids; do
        [[ $(ps -o sid= -p "$pid" | tr -d ' ') == "$2" ]] || return 1
    done
}

# Whether anything of the session lives.
lives() { [[ -n $(ps -o pid= --sid "$1" 2>/dev/null) ]]; }

# Runs a command as a session of its own and writes down which. Only in scripts, where job control is off:
# then the id of the child is that of its session.
launch() { # dir name command...
    local dir=$1 name=$2
    shift 2
    setsid "$@" >>"$dir/$name.log" 2>&1 </dev/null &
    echo $! >"$dir/$name.session"
    disown $!
}

# Waits until the probe succeeds and, where the server has a port, the listener is the server's own.
ready() { # dir name seconds probe...
    local dir=$1 name=$2 end=$((SECONDS + $3)) session
    shift 3
    session=$(<"$dir/$name.session")
    until "$@" >/dev/null 2>&1; do
        lives "$session" || { say "$name has ended: $(tail -n 3 "$dir/$name.log")"; return 1; }
        ((SECONDS < end)) || { say "$name is not ready; see $dir/$name.log"; return 1; }
        sleep 0.25
    done
    [[ ! -e $dir/$name.port ]] || owned "$(<"$dir/$name.port")" "$session" \
        || { say "the port of $name belongs to another process"; return 1; }
}

# Stops a server and waits until nothing of it is left. With `kill` at once, as a crash would.
halt() { # dir name [kill]
    local file=$1/$2.session session i
    [[ -e $file ]] || return 0
    session=$(<"$file")
    if [[ ${3:-} == kill ]]; then
        kill_session "$session" KILL
    else
        kill_session "$session" TERM
    fi
    for ((i = 0; i < 80; i++)); do lives "$session" || break; sleep 0.25; done
    if lives "$session"; then
        say "$2 had to be killed"
        kill_session "$session" KILL
        for ((i = 0; i < 40; i++)); do lives "$session" || break; sleep 0.25; done
    fi
    rm -f "$file"
}

# To each process of the session, not to its process group alone: Airflow's workers make groups of their own.
kill_session() { # session signal
    local pid
    for pid in $(ps -o pid= --sid "$1" 2>/dev/null); do kill "-$2" "$pid" 2>/dev/null || true; done
}
