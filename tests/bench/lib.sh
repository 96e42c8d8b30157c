# What the parts of the benchmark share: daemons side by side, one run of wrk, samples, the table. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

source "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"

# All that is measured lies below one directory, on one file system.
STATE=$(mktemp -d)
declare -A DIRS PIDS URLS SAMPLES
PEERS=()

clean_up() {
    local pid
    for pid in ${PID:+"$PID"} "${PIDS[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    for pid in "${PEERS[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null
    rm -rf "$STATE"
}
trap clean_up EXIT

# The policy of all daemons is the one that `init` writes, in which every client has a token.
"$BINARY" init "$STATE/etc" >"$STATE/tokens" 2>/dev/null

# at DAEMON: what follows is about that one. Makes its state if there is none yet.
at() {
    PID=${PIDS[$1]:-} URL=${URLS[$1]:-}
    if [ -z "${DIRS[$1]:-}" ]; then
        TMPDIR=$STATE new_state
        cp "$STATE/etc/policy.toml" "$DIR/policy.toml"
        DIRS[$1]=$DIR
    fi
    DIR=${DIRS[$1]}
}

start() {
    at "$1"
    start_daemon
    PIDS[$1]=$PID URLS[$1]=$URL
}

stop() {
    at "$1"
    unset "PIDS[$1]"
    stop_daemon
}

# started_in: starts the daemon and sets TOOK, the milliseconds from its start to its first healthy answer.
started_in() {
    local line begin end
    at "$1"
    rm -f "$DIR/pipe"
    mkfifo "$DIR/pipe"
    begin=${EPOCHREALTIME/./}
    RUST_LOG=info "$BINARY" --config "$DIR/config.toml" 2>"$DIR/pipe" &
    PIDS[$1]=$!
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
    TOOK=$(awk "BEGIN { print ($end - $begin) / 1000 }")
    case $line in 'HTTP/1.1 200 '*) ;; *) fail "the first answer was not healthy: $line" ;; esac
}

# as CLIENT: sets AS, the options for curl and wrk by which that client proves who it is.
as() {
    AS=(-H "X-Jarvis-Client: $1" -H "Authorization: Bearer $(sed -n "s/^token of $1, .*: //p" "$STATE/tokens")")
}

# load SECONDS CONNECTIONS SCRIPT URL [WRK OPTION...]: sets RATE, P50, P99, MAX and TOOK to what report.lua says.
load() {
    local seconds=$1 connections=$2 script=$3
    shift 3
    wrk -t 1 -c "$connections" -d "${seconds}s" -s "tests/bench/$script.lua" "$@" >"$STATE/report"
    read_report "$STATE/report"
}

# load_until_finished CONNECTIONS SCRIPT URL [WRK OPTION...]: the same beside what follows, until `finish`, which sets those.
load_until_finished() {
    local connections=$1 script=$2
    shift 2
    wrk -t 1 -c "$connections" -d 600s -s "tests/bench/$script.lua" "$@" >"$STATE/beside" &
    BESIDE=$!
    PEERS+=("$BESIDE")
}

finish() {
    kill -INT "$BESIDE"
    wait "$BESIDE"
    unset "PEERS[-1]"
    read_report "$STATE/beside"
}

read_report() {
    local failed
    read -r RATE P50 P99 MAX TOOK failed < <(sed -n 's/^report //p' "$1")
    [ "$failed" = 0 ] || fail "not every request succeeded: $(cat "$1")"
}

# metric NAME: what the daemon counts.
metric() {
    local first page
    # A page may be of the second before; another one is made after that, and counts one request more.
    first=$("${CURL[@]}" -fsS "$URL/metrics") page=$first
    while [ "$page" = "$first" ]; do
        sleep 0.1
        page=$("${CURL[@]}" -fsS "$URL/metrics")
    done
    awk -v name="jarvis_secretsd_$1" '$1 == name { print $2 }' <<<"$page"
}

# calc EXPRESSION
calc() {
    awk "BEGIN { print $1 }"
}

# many NUMBER: as people write it.
many() {
    sed -E ':a; s/([0-9])([0-9]{3})(,|$)/\1,\2\3/; ta' <<<"$1"
}

# seconds COMMAND...: how long it takes.
seconds() {
    local begin=${EPOCHREALTIME/./}
    "$@" >"$STATE/output" || fail "$* failed"
    calc "(${EPOCHREALTIME/./} - $begin) / 1e6"
}

# sample KEY VALUE
sample() {
    SAMPLES[$1]+=" $2"
}

# median KEY: of its samples.
median() {
    # shellcheck disable=SC2086
    printf '%s\n' ${SAMPLES[$1]} | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# row FIGURE UNIT VALUE OTHER VALUE [LIMIT]: a line of the table. The limit is one of the ratio, as ">= 3", or of the value, as
# "value <= 30".
row() {
    awk -v figure="$1" -v unit="$2" -v value="$3" -v other="$4" -v base="$5" -v limit="${6:-}" '
        function text(n) { return sprintf(n >= 100 || n == int(n) ? "%.0f" : "%.3g", n) (unit == "" ? "" : " " unit) }
        BEGIN {
            ratio = base > 0 ? sprintf("%.2f", value / base) : "–"
            promise = met = "–"
            if (limit != "") {
                words = split(limit, word, " ")
                sign = word[words - 1]
                of_value = word[1] == "value"
                measured = of_value ? value : value / base
                met = (sign == "<=" ? measured <= word[words] : measured >= word[words]) ? "yes" : "**no**"
                promise = (of_value ? "" : "ratio ") (sign == "<=" ? "≤ " : "≥ ") (of_value ? text(word[words]) : word[words])
            }
            printf "| %s | %s | %s | %s | %s | %s | %s |\n", figure, text(value), other, text(base), ratio, promise, met
        }' | tee -a "$STATE/rows" >&2
}

# heading TEXT: begins a part of the table.
heading() {
    echo "| **$1** | | | | | | |" | tee -a "$STATE/rows" >&2
}
