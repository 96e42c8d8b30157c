#!/usr/bin/env bash
# The daemon, and `exec --watch` and `render --watch` beside it, as process 1 of a container: each waits for the processes that
# nobody else waits for, and tells the status of its own.
source "$(dirname "$0")/lib.sh"
need curl nsenter unshare
unshare --map-root-user --pid --fork --mount-proc true 2>/dev/null ||
    { echo "missing: the right to make a process namespace" >&2; exit 77; }
OUTER=''
end() {
    [ -z "$OUTER" ] || kill -KILL "$OUTER" || true
    clean_up
}

# as_process_1 COMMAND...: starts it, below a process OUTER that ends with its status. Sets PID.
as_process_1() {
    unshare --map-root-user --pid --fork --mount-proc --kill-child -- "$@" &
    OUTER=$!
    await "it has begun" is_begun
}
is_begun() {
    PID=$(tr -d ' ' <"/proc/$OUTER/task/$OUTER/children")
    [ -n "$PID" ]
}

# ended STATUS: it ends with this status.
ended() {
    local status=0
    wait "$OUTER" || status=$?
    PID='' OUTER=''
    [ "$status" = "$1" ] || fail "it ended with status $status, and not $1"
}

# leave_orphans: eight processes that end, and that nobody waits for.
orphans='for number in 1 2 3 4 5 6 7 8; do (sleep 0.1 &); done'
leave_orphans() { nsenter --target "$PID" --user --pid --mount -- sh -c "$orphans"; }

# has_children COUNT: so many are its children, also those that have ended and are not waited for.
has_children() { [ "$(cat "/proc/$PID"/task/*/children | wc -w)" = "$1" ]; }

new_state
trap end EXIT
start_daemon
expect 200 admin POST /secret '{"name":"a","value":"1"}'
export JARVIS_SECRETSD_ADDR=$URL JARVIS_SECRETSD_CLIENT=admin
daemon=$PID

as_process_1 "$BINARY" exec --watch --secrets a -- \
    sh -c "$orphans; touch $DIR/begun; until [ -e $DIR/go ]; do sleep 0.1; done; exit 7"
await "the program has begun" test -e "$DIR/begun"
leave_orphans
await "only its own program is there" has_children 1
touch "$DIR/go"
ended 7
echo "exec --watch waits for whatever is left to it"

echo '{{ a }}' >"$DIR/template"
as_process_1 "$BINARY" render --watch "$DIR/template" --output "$DIR/rendered" -- sh -c "$orphans; touch $DIR/ran"
await "its command has run" test -e "$DIR/ran"
leave_orphans
await "nothing is there" has_children 0
kill -TERM "$PID"
ended $((128 + 15))
echo "render --watch does"

PID=$daemon
stop_daemon
: >"$DIR/log"
RUST_LOG=info as_process_1 "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log"
await "the daemon is healthy" has_started
leave_orphans
await "nothing is there" has_children 0
expect 200 admin GET /secret/a
kill -TERM "$PID"
ended 0
echo "and the daemon does"

printf '\n[master_key]\nunwrap = ["/bin/sleep", "3600"]\ntimeout_secs = 3600\n' >>"$DIR/config.toml"
printf '%64s' >"$DIR/secrets/master.key"
RUST_LOG=info as_process_1 "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log"
await "the daemon waits for its master key" has_children 1
is_asking() { [ -n "$(cat "/proc/$(cat "/proc/$PID/task/$PID/children" | tr -d ' ')"/task/*/children)" ]; }
await "what unwraps it has begun" is_asking
kill -TERM "$PID"
ended $((128 + 15))
echo "a daemon that waits for its master key ends at once"
