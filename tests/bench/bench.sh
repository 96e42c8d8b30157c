#!/usr/bin/env bash
# Measures the release binary on loopback and writes RESULTS.md beside this file.
#
#   BENCH_SECONDS   how long each load runs (10)
#   TMPDIR          where the state lies: the file system decides what a durable write costs (the target directory)
export TMPDIR=${TMPDIR:-$(cd "$(dirname "$0")/../.." && mkdir -p target && cd target && pwd)}
source "$(dirname "$0")/../system/lib.sh"
need curl jq wrk

SECONDS_EACH=${BENCH_SECONDS:-10}
CONNECTIONS=(1 16)
SECRETS=10000
STARTS=11
RESULTS=tests/bench/RESULTS.md

declare -A RATE

# load FIGURE CONNECTIONS PATH [WRK OPTION...]: sets RATE[FIGURE CONNECTIONS], in requests a second.
load() {
    local figure=$1 connections=$2 path=$3
    shift 3
    echo "$figure over $connections kept-alive, $SECONDS_EACH s" >&2
    wrk -t 1 -c "$connections" -d "${SECONDS_EACH}s" "$@" "$URL$path" >"$DIR/wrk"
    ! grep -E 'Non-2xx|Socket errors' "$DIR/wrk" || fail "$figure: not every request succeeded"
    RATE[$figure $connections]=$(awk '/^Requests\/sec:/ { printf "%.0f", $2 }' "$DIR/wrk")
}

# started_in: starts the daemon and sets TOOK, the milliseconds from its start to its first healthy answer.
started_in() {
    local line begin end
    rm -f "$DIR/pipe"
    mkfifo "$DIR/pipe"
    begin=${EPOCHREALTIME/./}
    RUST_LOG=info "$BINARY" --config "$DIR/config.toml" 2>"$DIR/pipe" &
    PID=$!
    # Stays open until the daemon has ended, which writes to it.
    exec 4<"$DIR/pipe"
    # The address is bound before it is logged, so the first attempt to connect succeeds; the answer comes when it can.
    while read -r line <&4; do
        case $line in *'Starting server on '*) break ;; esac
    done
    [ -n "$line" ] || fail "the daemon did not start"
    exec 3<>"/dev/tcp/127.0.0.1/${line##*:}"
    printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    read -r line <&3
    end=${EPOCHREALTIME/./}
    exec 3<&-
    TOOK=$(awk "BEGIN { printf \"%.1f\", ($end - $begin) / 1000 }")
    case $line in 'HTTP/1.1 200 '*) ;; *) fail "the first answer was not healthy: $line" ;; esac
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

# resident_kib: what the daemon holds in RAM.
resident_kib() {
    awk '/^VmRSS:/ { print $2 }' "/proc/$PID/status"
}

# Creates SECRETS secrets, 16 at a time, over kept-alive connections.
fill() {
    local i
    for ((i = 0; i < SECRETS; i++)); do
        [ "$i" -eq 0 ] || echo next
        echo "url = $URL/secret"
        echo 'header = "X-Jarvis-Client: admin"'
        echo "data = \"{\\\"name\\\":\\\"bench_$i\\\",\\\"value\\\":\\\"0123456789abcdef0123456789abcdef\\\"}\""
        echo 'output = /dev/null'
    done >"$DIR/requests"
    curl --no-progress-meter --parallel --parallel-max 16 --config "$DIR/requests"
    [ "$(curl -fsS "$URL/healthz" | jq .secrets_count)" = "$SECRETS" ] || fail "not every secret was created"
}

start_daemon
expect 200 admin POST /secret '{"name":"x","value":"0123456789abcdef0123456789abcdef"}'
for connections in "${CONNECTIONS[@]}"; do
    load healthz "$connections" /healthz
    load read "$connections" /secret/x -H 'X-Jarvis-Client: admin'
    load write "$connections" / -s tests/bench/write.lua
done
stop_daemon

echo "start-up and memory" >&2
first=()
for ((i = 0; i < STARTS; i++)); do
    rm -rf "$DIR/secrets" "$DIR/audit"
    started_in
    first+=("$TOOK")
    idle=$(resident_kib)
    stop_daemon
done
start_daemon
fill
full=$(resident_kib)
stop_daemon
again=()
for ((i = 0; i < STARTS; i++)); do
    started_in
    again+=("$TOOK")
    loaded=$(resident_kib)
    stop_daemon
done

row() {
    local text=$1 figure=$2 connections
    for connections in "${CONNECTIONS[@]}"; do
        awk -v rate="${RATE[$figure $connections]}" -v limit="${RATE[healthz $connections]}" -v text="$text" \
            -v connections="$connections" \
            'BEGIN { printf "| %s | %d | %d | %.2f |\n", text, connections, rate, rate / limit }'
    done
}

cat >"$RESULTS" <<END
# Measured

Written by \`make bench\` on $(date -u +%F). wrk on the same machine, over loopback, one wrk thread, $SECONDS_EACH s each, kept-alive
connections, values of 32 bytes. A read's audit line is written before its answer; a write is synced to the disk in the
vault and the audit log before its answer. \`/healthz\` touches neither: it is the limit of the connection layer and of
this machine in the same run, and the ratio is to it at the same number of connections.

| Figure | Connections | Requests/s | Ratio |
|---|---:|---:|---:|
$(row '`GET /healthz`' healthz)
$(row '`GET /secret/x`, audited' read)
$(row '`POST /secret`, durable, over 1,000 names' write)

| Figure | |
|---|---:|
| Binary | $(stat -Lc %s "$BINARY") bytes |
| Start to first healthy answer, first start, which makes keys and vault (median of $STARTS) | $(median "${first[@]}") ms |
| Start to first healthy answer, $SECRETS secrets (median of $STARTS) | $(median "${again[@]}") ms |
| Resident memory, idle after the first start | $idle KiB |
| Resident memory, after $SECRETS secrets were created | $full KiB |
| Resident memory, started with $SECRETS secrets | $loaded KiB |

Machine: $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(awk '/^MemTotal:/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB; Linux $(uname -r);
state on $(df --output=fstype "$DIR" | tail -n 1); jarvis-secretsd $("$BINARY" --version | awk '{ print $NF }').
END
cat "$RESULTS"
