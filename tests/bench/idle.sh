# What it takes to do nothing. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# switches PID: how often the process was taken from a processor or gave it up.
switches() {
    cat "/proc/$1/task"/*/status | awk '/ctxt_switches:/ { sum += $2 } END { print sum }'
}

idle() {
    local static=dist/jarvis-secretsd-x86_64-unknown-linux-musl before peer_before pid
    start idle
    stop idle
    started_in idle
    pid=${PIDS[idle]}
    before=$(switches "$pid") peer_before=$(switches "$RV_PID")
    echo "idle for 10 seconds" >&2
    sleep 10
    heading "At rest"
    row "Context switches in 10 s" "" "$(($(switches "$pid") - before))" RustyVault \
        "$(($(switches "$RV_PID") - peer_before))" 'value <= 1'
    row "Resident memory, linked dynamically" KiB "$(resident_kib "$pid")" RustyVault "$(resident_kib "$RV_PID")"
    stop idle
    BINARY=$static started_in idle
    row "Resident memory, static binary" KiB "$(resident_kib "${PIDS[idle]}")" RustyVault "$(resident_kib "$RV_PID")" 'value <= 4096'
    row "Binary" bytes "$(stat -Lc %s "$BINARY")" RustyVault "$(stat -Lc %s "$RVAULT")" 'value <= 6000000'
    row "Static binary" bytes "$(stat -c %s "$static")" RustyVault "$(stat -Lc %s "$RVAULT")" 'value <= 6000000'
    stop idle
}
