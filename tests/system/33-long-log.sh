#!/usr/bin/env bash
# A long audit log: from start to stop the daemon reads as many bytes of it as of one that is forty times shorter.
source "$(dirname "$0")/lib.sh"
need curl strace
# From others the daemon hides which files it has open.
need_root

new_state
log=$DIR/audit/audit.jsonl
direct=$BINARY traced=$DIR/traced
# Of all its calls, those about the log, and how each thread has ended.
printf '#!/bin/sh\nexec strace -D -f -q -o "%s" -P "%s" "%s" "$@"\n' "$DIR/trace" "$log" "$direct" >"$traced"
chmod 755 "$traced"

# lengthen LINES: sends requests that fail, many at a time, until the log has so many lines, of which some share a signature.
lengthen() {
    BINARY=$direct
    start_daemon
    curl -sS --no-progress-meter --parallel --parallel-max 16 -o /dev/null -H 'X-Jarvis-Client: db' \
        "$URL/secret/none[1-$(($1 - $(wc -l <"$log")))]"
    stop_daemon
    grep -qv '"signature":' "$log" || fail "each line has a signature of its own"
    [ "$(wc -l <"$log")" -ge "$1" ] || fail "the log has only $(wc -l <"$log") lines"
}

# start_traced: starts and stops the daemon. Sets BYTES to how many of the log it has read.
start_traced() {
    local pid
    BINARY=$traced
    start_daemon
    pid=$PID
    stop_daemon
    await 'strace has written all' grep -qE "^$pid +\+\+\+ exited" "$DIR/trace"
    ! grep -E '^[0-9]+ +(mmap|p?readv2?|sendfile|splice|copy_file_range)\(' "$DIR/trace" ||
        fail "the log is read in a way that is not counted"
    BYTES=$(awk '/^[0-9]+ +(<\.\.\. )?p?read(64)?(\(| resumed>).* = [0-9]+$/ { sum += $NF } END { print sum + 0 }' "$DIR/trace")
}

start_daemon
stop_daemon
lengthen 5000
start_traced
short=$BYTES
[ "$short" -gt 0 ] || fail "it is not seen what the daemon reads of the log"
lengthen 200000
start_traced
[ "$BYTES" = "$short" ] || fail "of 5,000 lines the daemon reads $short bytes, of 200,000 lines $BYTES"
echo "of a log of 5,000 lines and of one of 200,000 the daemon reads $BYTES bytes"
