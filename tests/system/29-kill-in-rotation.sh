#!/usr/bin/env bash
# The audit log closed as a segment, killed at each call that changes a file, and with an error from each: no read that was
# answered is without its line, the log verifies, the next start takes away what was left, and an error refuses nothing.
source "$(dirname "$0")/lib.sh"
need cp curl strace
need_root

new_state
cat >>"$DIR/config.toml" <<'END'

[audit]
segment_bytes = 65536
keep_segments = 1
END

# segments: the closed segments.
segments() { find "$DIR/audit" -type f -name 'audit.0*.jsonl'; }

# size: how long the file is that is written to.
size() { stat -c %s "$DIR/audit/audit.jsonl"; }

# ask COUNT: reads a secret as often over one connection, and so in one thread of the daemon. What was answered is then in
# $DIR/answers, status and request id line by line.
ask() {
    local number urls=()
    for ((number = 0; number < $1; number++)); do
        urls+=(-o /dev/null "$URL/secret/postgres_password")
    done
    curl -sS -H 'X-Jarvis-Client: db' -w '%{http_code} %header{x-request-id}\n' "${urls[@]}" \
        >"$DIR/answers" 2>"$DIR/why" || true
}

# is_complete WHAT: each answer was a value, and has one line in the log, which verifies with its segments.
is_complete() {
    local status id found
    "$BINARY" audit verify "$DIR/audit/audit.jsonl" >"$DIR/report" 2>&1 ||
        fail "$1: $(cat "$DIR/report" <(ls -l "$DIR/audit"))"
    while read -r status id; do
        [ "$status" != 000 ] || continue
        [ "$status" = 200 ] || fail "$1: a read was answered $status"
        found=$(cat "$DIR"/audit/audit*.jsonl | grep -c "\"request_id\":\"$id\"") || true
        [ "$found" = 1 ] || fail "$1: $found lines about $id"
    done <"$DIR/answers"
}

# is_traced: whether strace has the daemon.
is_traced() { ! grep -q '^TracerPid:\s0$' "/proc/$PID/status"; }

# start_with INJECTION: starts the daemon on the log that is nearly full, where strace does that. Sets TRACER.
start_with() {
    rm -rf "$DIR/audit" "$DIR/secrets"
    cp -a "$DIR/full/audit" "$DIR/full/secrets" "$DIR/"
    start_daemon
    strace -f -qq -o "$DIR/trace" -e "trace=${1%%:*}" -e "inject=$1" -p "$PID" 2>"$DIR/strace" &
    TRACER=$!
    await "strace has the daemon: $(cat "$DIR/strace")" is_traced
}

# A log with one closed segment, whose file is nearly full: a start, and a few reads, and it is closed.
start_daemon
expect 200 admin POST /secret '{"name":"postgres_password","value":"v"}'
while [ -z "$(segments)" ]; do
    ask 50
done
ask $(((63000 - $(size)) / 450))
while [ "$(size)" -lt 63000 ]; do
    ask 1
done
stop_daemon
mkdir "$DIR/full"
cp -a "$DIR/audit" "$DIR/secrets" "$DIR/full/"

kills=0
for call in pwrite64 fdatasync linkat fsync openat fchmod write rename unlink; do
    for ((n = 1; ; n++)); do
        start_with "$call:signal=KILL:when=$n"
        ask 8
        if kill -0 "$PID" 2>"$DIR/shell" && [ "$(grep -c '^200 ' "$DIR/answers")" = 8 ]; then
            kill "$TRACER"
            wait "$TRACER" || true
            stop_daemon
            is_complete "without a kill at $call $n"
            [ "$(segments | wc -l)" = 1 ] || fail "the older segment was not deleted"
            break
        fi
        { wait "$PID" || true; wait "$TRACER" || true; } 2>"$DIR/shell"
        PID=''
        kills=$((kills + 1))
        # Until the next start, what was left of the last line is no damage.
        cp "$DIR/answers" "$DIR/answered"
        start_daemon
        ask 1
        [ "$(cut -c 1-3 "$DIR/answers")" = 200 ] || fail "killed at $call $n, it does not serve: $(cat "$DIR/answers")"
        cat "$DIR/answered" >>"$DIR/answers"
        stop_daemon
        [ -z "$(find "$DIR/audit" -name '*.jsonl' -links +1)" ] || fail "killed at $call $n, a file has two names"
        is_complete "killed at $call $n"
    done
done
[ "$kills" -ge 15 ] || fail "only $kills steps were found"
echo "a rotation was killed at $kills steps; each time nothing was lost, and the next start went on"

errors=0
for error in linkat:EIO fsync:EIO openat:ENOSPC fchmod:EROFS write:ENOSPC rename:EROFS unlink:EROFS fdatasync:EIO; do
    call=${error%:*}
    for ((n = 1; ; n++)); do
        start_with "$call:error=${error#*:}:when=$n"
        ask 40
        kill "$TRACER"
        wait "$TRACER" || true
        [ "$(grep -c '^200 ' "$DIR/answers")" = 40 ] || fail "$error $n refused something: $(cat "$DIR/answers")"
        expect 200 admin GET /healthz
        stop_daemon
        is_complete "$error at $n"
        [ -z "$(find "$DIR/audit" -name '*.jsonl' -links +1)" ] || fail "after $error at $n, a file has two names"
        [ "$(size)" -lt 30000 ] || fail "after $error at $n, the log was not rotated later"
        grep -q INJECTED "$DIR/trace" || break
        errors=$((errors + 1))
    done
done
[ "$errors" -ge 10 ] || fail "only $errors calls have failed"
echo "a rotation met an error at $errors calls; nothing was refused, and it was done then or later"
