# What the system tests share: a daemon of their own, on a free loopback port, in a temporary directory. To be sourced.
# shellcheck shell=bash

set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/system/handbook.sh

if [ -z "${BINARY:-}" ]; then
    cargo build --release --locked --quiet
    BINARY=${CARGO_TARGET_DIR:-target}/release/jarvis-secretsd
fi
DIR='' PID='' URL='' HOSTILE=''
# How many seconds are enough for what has to happen, on a machine that is slow and busy with other things.
PATIENCE=300
# How the daemon is asked, where its configuration makes a difference.
SCHEME=http CURL=(curl)

# fail MESSAGE: ends the test, with what the daemon has logged.
fail() {
    echo "$*" >&2
    [ ! -s "$DIR/log" ] || { echo "the daemon's log:" && tail -n 20 "$DIR/log"; } >&2
    exit 1
}

# await WHAT COMMAND...: until the command succeeds. What takes little time, such as a start, is asked for soon again.
await() {
    local what=$1 deadline=$((SECONDS + PATIENCE)) pause
    shift
    for pause in 0.01 0.02 0.03 0.05; do
        ! "$@" || return 0
        sleep "$pause"
    done
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "waited too long until $what"
        sleep 0.1
    done
}

# resident_kib PID: what a process holds in RAM.
resident_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }

# need PROGRAM...: ends the test as one that cannot be run here, if one of them is not installed.
need() {
    local program missing=()
    for program; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "missing: ${missing[*]} (make deps installs what is needed)" >&2
        exit 77
    fi
}

# need_root: ends the test as one that cannot be run here, if it is not root who runs it.
need_root() {
    [ "$(id -u)" = 0 ] || { echo "missing: root" >&2; exit 77; }
}

# alone FILE: waits until no other test holds the file, which stands for what is one test's at a time, and holds it until the end.
alone() {
    local held
    exec {held}<"$1"
    flock "$held"
}

# make_static: makes the static binaries in dist, unless they are there. Until the end of the test no other one makes them anew; others
# may use them too meanwhile.
make_static() {
    local held
    exec {held}<Makefile
    flock "$held"
    are_static_made || make --silent static >"$DIR/made" 2>&1 ||
        fail "make static has failed: $(tail -n 20 "$DIR/made")"
    flock --shared "$held"
}

# are_static_made: whether the static binaries are there, and newer than what they are made of, and than the commit, whose time is in
# what lies beside them.
are_static_made() {
    local binary=dist/jarvis-secretsd-x86_64-unknown-linux-musl newer commits
    commits=$(git rev-parse --git-path logs/HEAD 2>/dev/null || true)
    [ -e "$binary" ] && newer=$(find Cargo.toml Cargo.lock Makefile contrib/openapi.json etc src ${commits:+"$commits"} \
        -newer "$binary" -print -quit) && [ -z "$newer" ]
}

# faketime_library: what gives a process another clock, by LD_PRELOAD. The program faketime is not asked for it: that stumbles over
# what one with the same number has left in /dev/shm, when it was killed.
faketime_library() {
    local library
    library=$(find /usr/lib /usr/lib64 -name libfaketimeMT.so.1 -print -quit 2>/dev/null || true)
    [ -n "$library" ] || { echo "missing: libfaketimeMT.so.1 (make deps installs what is needed)" >&2; exit 77; }
    echo "$library"
}

# in_own_network ARGUMENT...: continues in a network namespace of the test's own, whose addresses are 192.0.2.1 to 192.0.2.3 and those of
# its loopback device, and from which nothing else is reached. The arguments are the test's.
in_own_network() {
    local host
    if [ "${1:-}" != inside ]; then
        unshare --map-root-user --net true 2>/dev/null || { echo "missing: the right to make a network namespace" >&2; exit 77; }
        exec env BINARY="$(realpath "$BINARY")" unshare --map-root-user --net "tests/system/$(basename "$0")" inside
    fi
    ip link set lo up
    for host in 1 2 3; do
        ip address add "192.0.2.$host/32" dev lo
    done
}

# new_state: makes DIR, with a configuration and the example policy, and no state yet.
new_state() {
    DIR=$(mktemp -d)
    trap clean_up EXIT
    cp etc/policy.toml "$DIR/policy.toml"
    cat >"$DIR/config.toml" <<END
[server]
bind_addr = "127.0.0.1:0"

[paths]
vault_path = "$DIR/secrets/vault.json"
audit_path = "$DIR/audit/audit.jsonl"
master_key_path = "$DIR/secrets/master.key"

[security]
rbac_policy_path = "$DIR/policy.toml"
END
}

# is_healthy: whether the daemon that has written $DIR/log answers so. Sets URL.
is_healthy() {
    URL=$(sed -n "s|.*Starting server on \([0-9.]*:[0-9]*\)\$|$SCHEME://\1|p" "$DIR/log")
    [ -n "$URL" ] && "${CURL[@]}" -fs -o "$DIR/answer" "$URL/healthz"
}

# has_started: the same, of a daemon that must not end.
has_started() {
    kill -0 "$PID" 2>/dev/null || fail "the daemon did not start"
    is_healthy
}

# start_daemon: starts it, on the state that is there or on a new one, and waits until it is healthy. Sets PID and URL. What it
# logs is in $DIR/log, and what those before it have logged in $DIR/logs.
# The configuration says where it listens; what the kernel chose of that, the log says.
start_daemon() {
    [ -n "$DIR" ] || new_state
    [ ! -e "$DIR/log" ] || cat "$DIR/log" >>"$DIR/logs"
    : >"$DIR/log"
    RUST_LOG=info "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log" &
    PID=$!
    await "the daemon is healthy" has_started
}

# stop_daemon: stops it as an operator does; it must end with status 0.
stop_daemon() {
    local pid=$PID
    PID=''
    kill -TERM "$pid"
    wait "$pid" || fail "the daemon ended with status $?"
}

clean_up() {
    end_hostile
    if [ -n "$PID" ]; then
        kill -KILL "$PID" 2>/dev/null || true
        wait "$PID" 2>/dev/null || true
    fi
    rm -rf "$DIR"
}

# expect STATUS CLIENT METHOD PATH [BODY]: sends a request; the answer's body is then in $DIR/answer.
expect() {
    local expected=$1 client=$2 method=$3 path=$4 body=() status
    [ "$#" -lt 5 ] || body=(--data-binary "$5")
    status=$("${CURL[@]}" -sS -o "$DIR/answer" -w '%{http_code}' -X "$method" -H "X-Jarvis-Client: $client" "${body[@]}" "$URL$path")
    [ "$status" = "$expected" ] || fail "$method $path as $client: expected $expected, got $status: $(cat "$DIR/answer")"
}

# start_hostile STATUS...: somebody else in the daemon's place (hostile.py). Sets HOSTILE_URL.
start_hostile() {
    end_hostile
    : >"$DIR/hostile.port"
    /usr/bin/python3 tests/system/hostile.py "$@" >"$DIR/hostile.port" 2>"$DIR/hostile.log" &
    HOSTILE=$!
    await "the hostile server listens" test -s "$DIR/hostile.port"
    HOSTILE_URL=http://127.0.0.1:$(cat "$DIR/hostile.port")
}

end_hostile() {
    [ -z "$HOSTILE" ] || { kill "$HOSTILE" && wait "$HOSTILE" || true; } 2>/dev/null
    HOSTILE=''
}

# steers_nothing FILE...: nothing in them moves a terminal or rings its bell.
steers_nothing() {
    ! LC_ALL=C grep -q '[^ -~]' "$@" || fail "this steers a terminal: $(cat -v "$@")"
}

# guide SYMPTOM FILE: a line of the file is as docs/troubleshooting.md quotes it below that heading, where … is anything.
guide() {
    local quoted
    quoted=$(awk -v heading="### $1" '
        /^### / { below = $0 == heading }
        below && /^```/ { inside = !inside; next }
        inside' docs/troubleshooting.md)
    [ -n "$quoted" ] || fail "the guide has no symptom $1"
    grep -qx -- "$(sed 's/[][\\.*^$]/\\&/g; s/…/.*/g' <<<"$quoted")" "$2" ||
        fail "$1: the guide quotes: $quoted, but said is: $(cat "$2")"
}
