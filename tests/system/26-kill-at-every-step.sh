#!/usr/bin/env bash
# restore, rekey (also with a new data key) and a start that accepts a rollback, killed at each call that changes a file: what is left
# is either served, or refused and nothing is lost; and doing it again completes it.
source "$(dirname "$0")/lib.sh"
need cmp curl jq strace
need_root

source tests/system/kill.sh
new_state
config=$DIR/config.toml
jarvis() { "$BINARY" "$1" --config "$config" "${@:2}"; }

# A vault to restore, saved; and the one that is there, which went on from it.
start_daemon
expect 200 admin POST /secret '{"name":"postgres_password","value":"saved"}'
cp -a "$DIR/secrets/vault.json" "$DIR/older.json"
jarvis backup --output "$DIR/saved.tar" >/dev/null
expect 200 admin POST /secret '{"name":"postgres_password","value":"live"}'
stop_daemon
cp -a "$DIR/secrets" "$DIR/audit" "$(mktemp -d "$DIR/live.XXXX")"
live=$(echo "$DIR"/live.*)
echo live >"$live/value"
# Elsewhere, the audit log is another one as well.
rm -r "$DIR/secrets" "$DIR/audit"
mkdir -m 700 "$DIR/secrets"
cp -a "$live/secrets/master.key" "$DIR/secrets/"
start_daemon
expect 200 admin POST /secret '{"name":"postgres_password","value":"stranger"}'
stop_daemon
cp -a "$DIR/secrets" "$DIR/audit" "$(mktemp -d "$DIR/stranger.XXXX")"
stranger=$(echo "$DIR"/stranger.*)
echo stranger >"$stranger/value"

# lay STATE: puts that state where the configuration says.
lay() {
    rm -rf "$DIR/secrets" "$DIR/audit"
    cp -a "$1/secrets" "$1/audit" "$DIR/"
}

# value: what is served.
value() {
    expect 200 db GET /secret/postgres_password
    jq -r .value "$DIR/answer"
}

# serves VALUE: a daemon that is started now.
serves() {
    start_daemon
    [ "$(value)" = "$1" ] || fail "it serves $(value) instead of $1"
    stop_daemon
    "$BINARY" audit verify "$DIR/audit/audit.jsonl" >/dev/null
}

# is_kept FILE: whether a file with this content is still there, in its place or aside.
is_kept() {
    local file
    for file in "$DIR"/secrets/*; do
        ! cmp -s "$1" "$file" || return 0
    done
    return 1
}

# state_of: what vault and audit log hold, as far as they are there.
state_of() { { cat "$DIR/secrets/vault.json" "$DIR/audit/audit.jsonl" 2>/dev/null || true; } | sha256sum; }

# expect_one_of VALUE...: a daemon that is started now serves one of these, or refuses and changes nothing.
expect_one_of() {
    local before
    before=$(state_of)
    : >"$DIR/log"
    RUST_LOG=info "$BINARY" --config "$config" 2>"$DIR/log" &
    PID=$!
    await "the daemon is healthy or has ended" is_healthy_or_ended
    if kill -0 "$PID" 2>/dev/null; then
        case " $* " in
            *" $(value) "*) ;;
            *) fail "it serves $(value) instead of $*" ;;
        esac
        stop_daemon
        return
    fi
    wait "$PID" && fail "it has ended by itself"
    PID=''
    grep -q "^jarvis-secretsd: $DIR/" "$DIR/log" || fail "no reason is given"
    [ "$(state_of)" = "$before" ] ||
        fail "it has refused to start, and changed something"
}

is_healthy_or_ended() { ! kill -0 "$PID" 2>/dev/null || is_healthy; }

kills=0
for state in "$live" "$stranger"; do
    for call in "${CALLS[@]}"; do
        for ((n = 1; ; n++)); do
            lay "$state"
            killed -f "$call" "$n" "$BINARY" restore --force --config "$config" "$DIR/saved.tar" || break
            kills=$((kills + 1))
            is_kept "$state/secrets/vault.json" || fail "killed at $call $n, the vault of before is lost"
            expect_one_of saved "$(cat "$state/value")"
            jarvis restore --force "$DIR/saved.tar" >/dev/null
            is_kept "$state/secrets/vault.json" || fail "after $call $n and once more, the vault of before is lost"
            serves saved
        done
    done
done
[ "$kills" -ge 30 ] || fail "only $kills steps were found"
echo "a restore was killed at $kills steps; each time another one completed it"

# completes OPTION...: the command, again; then only the new key opens the vault, and the old one is kept.
completes() {
    jarvis rekey "$@" >/dev/null
    is_kept "$live/secrets/master.key" || fail "the old key is lost"
    ! cmp -s "$live/secrets/master.key" "$DIR/secrets/master.key" || fail "the old key is still in its place"
    [ ! -e "$DIR/secrets/master.key.next" ] || fail "the new key is not in its place"
    serves live
}

for options in "" --data-key; do
    kills=0
    for call in "${CALLS[@]}"; do
        for ((n = 1; ; n++)); do
            lay "$live"
            killed -f "$call" "$n" "$BINARY" rekey ${options:+"$options"} --config "$config" || break
            kills=$((kills + 1))
            serves live
            completes ${options:+"$options"}
        done
    done
    [ "$kills" -ge 15 ] || fail "only $kills steps were found"
    echo "rekey${options:+ $options} without a daemon was killed at $kills steps; each time the vault was served, and another one completed it"
done

# is_traced: whether strace has the daemon.
is_traced() { ! grep -q '^TracerPid:\s0$' "/proc/$PID/status"; }

# A daemon that does it, killed in the thread that does.
for options in "" --data-key; do
    kills=0
    for call in "${CALLS[@]}"; do
        for ((n = 1; ; n++)); do
            lay "$live"
            start_daemon
            strace -f -qq -o /dev/null -e "inject=$call:signal=KILL:when=$n" -p "$PID" 2>"$DIR/strace" &
            tracer=$!
            await "strace has the daemon" is_traced
            status=0
            jarvis rekey ${options:+"$options"} --addr "$URL" --client admin >"$DIR/killed" 2>&1 || status=$?
            if [ "$status" = 0 ]; then
                kill "$tracer"
                wait "$tracer" || true
                stop_daemon
                break
            fi
            status=0
            { wait "$PID" || status=$?; wait "$tracer" || true; } 2>"$DIR/shell"
            PID=''
            [ "$status" = 137 ] || fail "rekey has failed, and the daemon was not killed: $(cat "$DIR/killed")"
            kills=$((kills + 1))
            serves live
            completes ${options:+"$options"}
        done
    done
    [ "$kills" -ge 5 ] || fail "only $kills steps were found"
    echo "a daemon was killed at $kills steps of rekey${options:+ $options}; each time the vault was served, and another one completed it"
done

# accepting [COMMAND...]: a start that accepts a rollback, run by that command, and a stop when it serves. How it ended.
accepting() {
    local child status=0
    [ ! -e "$DIR/log" ] || cat "$DIR/log" >>"$DIR/logs"
    : >"$DIR/log"
    RUST_LOG=info "$@" "$BINARY" serve --config "$config" --accept-rollback 2>"$DIR/log" &
    PID=$!
    await "the daemon is healthy or has ended" is_healthy_or_ended
    if kill -0 "$PID" 2>/dev/null; then
        [ "$(value)" = saved ] || fail "it serves $(value) instead of saved"
        # The one that does not run it has no child.
        child=$(cat "/proc/$PID/task/$PID/children")
        kill -TERM ${child:-$PID}
    fi
    { wait "$PID" || status=$?; } 2>"$DIR/shell"
    PID=''
    return "$status"
}

kills=0
for call in "${CALLS[@]}"; do
    for ((n = 1; ; n++)); do
        lay "$live"
        cp -a "$DIR/older.json" "$DIR/secrets/vault.json"
        status=0
        accepting strace -f -qq -o /dev/null -e "inject=$call:signal=KILL:when=$n" || status=$?
        [ "$status" != 0 ] || break
        [ "$status" = 137 ] || fail "the start has failed by itself"
        kills=$((kills + 1))
        expect_one_of saved
        accepting || fail "killed at $call $n, a rollback is not accepted any more"
        serves saved
        grep -q '"event":"rollback_accepted"' "$DIR/audit/audit.jsonl" || fail "killed at $call $n, that is not in the audit log"
        # What was refused before is refused for good.
        cp -a "$live/secrets/vault.json" "$DIR/secrets/vault.json"
        expect_one_of none
    done
done
[ "$kills" -ge 10 ] || fail "only $kills steps were found"
echo "a start that accepts a rollback was killed at $kills steps; each time another one completed it"
