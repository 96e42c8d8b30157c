# What calls that are about all secrets do to the reads and writes of another client. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# as_long_ago COMMAND...: with a daemon whose clock is a hundred days late.
as_long_ago() {
    local direct=$BINARY library
    library=$(faketime_library)
    install -m 755 "$BINARY" "$STATE/daemon"
    printf '#!/bin/sh\nexport LD_PRELOAD=%s FAKETIME=-100d DONT_FAKE_MONOTONIC=1\nexec "%s" "$@"\n' "'$library'" \
        "$STATE/daemon" >"$STATE/long_ago"
    chmod 755 "$STATE/long_ago"
    BINARY=$STATE/long_ago
    "$@"
    BINARY=$direct
}

# make_due: a daemon with MANY secrets that are due for rotation. The schedule leaves them alone: its window opens in half a day.
make_due() {
    at bulk
    printf '[rotation]\nwindow = "%s-%s"\n' "$(date -u -d '12 hours' +%H:%M)" "$(date -u -d '13 hours' +%H:%M)" \
        >>"$DIR/config.toml"
    # One may read none of them, and the other not every one; no beginning of a name shows which.
    {
        printf '\n[clients.ends]\nallow = [%s]\n%s\n' "$(printf '"*_end%s", ' {1..20})" "$(token_line ends)"
        printf '\n[clients.denied]\nallow = ["*"]\ndeny = [%s]\n%s\n' "$(printf '"*%s", ' {0..9} _{1..10})" "$(token_line denied)"
    } >>"$DIR/policy.toml"
    start bulk
    fill generated "$MANY"
    stop bulk
    mv "$DIR" "$STATE/due"
}

# token_line CLIENT: the line for the policy; `as` finds the token.
token_line() {
    "$BINARY" token "$1" >"$STATE/token" 2>/dev/null
    echo "token of $1, new: $(sed -n 1p "$STATE/token")" >>"$STATE/tokens"
    sed -n 2p "$STATE/token"
}

# start_due: a daemon in that state.
start_due() {
    cp -r "$STATE/due" "${DIRS[bulk]}"
    start bulk
}

stop_due() {
    stop bulk
    rm -r "$DIR"
}

# begin_others: somebody reads, and somebody writes.
begin_others() {
    as admin
    wrk -t 1 -c 2 -d 600s --timeout 60s -s tests/bench/pace.lua "$URL/secret/s_1" "${AS[@]}" >"$STATE/readers" &
    READERS=$!
    wrk -t 1 -c 2 -d 600s --timeout 60s -s tests/bench/pace_write.lua "$URL" "${AS[@]}" -- ours w_ 64 100 >"$STATE/writers" &
    WRITERS=$!
    PEERS+=("$READERS" "$WRITERS")
}

# end_others KEY: samples of how long they waited for their answers, in microseconds.
end_others() {
    kill -INT "$READERS" "$WRITERS"
    wait "$READERS" "$WRITERS"
    unset "PEERS[-1]" "PEERS[-1]"
    read_report "$STATE/readers"
    sample "read $1" "$P99"
    read_report "$STATE/writers"
    sample "write $1" "$P99"
    sample "stall $1" "$MAX"
}

# beside KEY COMMAND...: samples of what the others wait while the command runs.
beside() {
    local key=$1
    shift
    begin_others
    "$@"
    end_others "$key"
}

# call CLIENT CALL [SECONDS]: the call, over and over; without a time, once.
call() {
    as "$1"
    wrk -t 1 -c 1 --timeout 60s -d "${3:-$SECONDS_EACH}s" -s tests/bench/bulk.lua "$URL" "${AS[@]}" -- "$2" >"$STATE/called"
    as admin
    read_report "$STATE/called"
    sample "took $2 $1" "$(calc "$P50 / 1000")"
}

# rotate_all: MANY secrets in one call.
rotate_all() {
    local took
    took=$(seconds "${CURL[@]}" -fsS "${AS[@]}" -d '{"names":[]}' "$URL/rotate")
    [ "$(jq .rotated_count "$STATE/output")" = "$MANY" ] || fail "not all were rotated: $(head -c 300 "$STATE/output")"
    sample "took rotate admin" "$(calc "$took * 1000")"
}

measure_bulk() {
    local round what
    for ((round = 1; round <= ROUNDS; round++)); do
        echo "bulk calls, round $round of $ROUNDS" >&2
        start_due
        for what in "${BULK[@]}"; do
            beside alone sleep "$SECONDS_EACH"
            # shellcheck disable=SC2086
            beside "$what" call ${what##*:}
        done
        beside alone sleep "$SECONDS_EACH"
        sample "memory before" "$(resident_kib "$PID")"
        beside rotate rotate_all
        sample "memory after" "$(resident_kib "$PID")"
        stop bulk
        start bulk
        sample "memory anew" "$(resident_kib "$PID")"
        stop_due
    done
}

# What is called, and by whom.
BULK=(
    '`POST /rotate?dry_run=true` of all:admin foresee'
    '`GET /rotation/schedule`, the first 10:admin schedule'
    '`GET /rotation/schedule`, all of it:admin plan'
    '`GET /secrets`, all of it:admin list'
    '`GET /secrets?limit=10` for a client that may read names by their ends, and finds none:ends page'
    '`GET /secrets?limit=10` for a client that is denied names by their ends:denied page'
    '`GET /metrics`:admin metrics'
    '`POST /secrets` of 1,000:admin create'
)

bulk() {
    local what
    as_long_ago make_due
    measure_bulk
    heading "Another client's 99th percentile while a call about $(many "$MANY") secrets is made over and over"
    for what in "${BULK[@]}" rotate; do
        bulk_row "$what" "$([ "$what" = rotate ] && echo '`POST /rotate` of all that are due' || echo "${what%:*}")"
    done
    row "Memory after \`POST /rotate\` of $(many "$MANY") secrets" KiB "$(median "memory after")" \
        "of a daemon that was started after it" "$(median "memory anew")" '<= 1.25'
    rm -r "$STATE/due"
}

bulk_row() {
    row "A read beside $2" µs "$(median "read $1")" "alone" "$(median "read alone")" '<= 3'
    row "A write beside $2" µs "$(median "write $1")" "alone" "$(median "write alone")" '<= 3'
}
