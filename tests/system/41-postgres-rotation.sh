#!/usr/bin/env bash
# A password of PostgreSQL is rotated a hundred times under a client that logs in anew every 50 ms, and then under kills of the
# daemon at every step of a rotation: no login fails, and what the daemon serves works.
source "$(dirname "$0")/lib.sh"
source tests/system/appliers/servers.sh
need curl initdb jq openssl pg_isready psql python3 setpriv strace
need_root
/usr/bin/python3 -c 'import psycopg2' || { echo "missing: python3-psycopg2 (make deps installs what is needed)" >&2; exit 77; }

new_state
chmod 711 "$DIR"
trap stop_servers EXIT
start_postgres
sql postgres <<<'CREATE DATABASE app'
passfile "$DIR/rotator"
rotator=$VALUE
secret
sql <<END
SET log_statement = none;
CREATE ROLE app_a LOGIN PASSWORD '$VALUE';
CREATE ROLE app_b LOGIN;
CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '$rotator';
END

# Each program is called by another one, which waits where the test wants it to.
new_programs
cp contrib/appliers/{*.py,postgres} "$PROGRAMS"
cat >"$PROGRAMS/at" <<'END'
#!/bin/sh
# at control=CONTROL PROGRAM ACTION ARGUMENT...: the program; at the moment that CONTROL/stop names, it waits for CONTROL/go.
control=${1#control=}
shift
moment() {
    [ "$(cat "$control/stop")" = "$1" ] || return 0
    : >"$control/stop"
    : >"$control/reached"
    while [ ! -e "$control/go" ]; do sleep 0.02; done
}
moment "before $2"
status=0
"$@" || status=$?
moment "after $2"
exit "$status"
END
chmod 755 "$PROGRAMS/at"
mkdir "$DIR/control"
: >"$DIR/control/stop"
with="\"server=postgresql://127.0.0.1:$POSTGRES_PORT/app\", \"roles=app_a,app_b\""
with+=", \"admin=postgresql://rotator@127.0.0.1:$POSTGRES_PORT/app\", \"admin_passfile=$DIR/rotator\""
{
    echo '[rotation.postgres_password]'
    for action in prepare apply verify; do
        echo "$action = [\"$PROGRAMS/at\", \"control=$DIR/control\", \"$PROGRAMS/postgres\", \"$action\", $with]"
    done
} >>"$DIR/config.toml"
start_daemon
# The port stays when the daemon is started again.
sed -i "s/127.0.0.1:0/${URL#http://}/" "$DIR/config.toml"

# current: asks for the current version. Its kid is then in $KID, and its value in $VALUE.
current() {
    expect 200 admin GET /secret/postgres_password
    KID=$(jq -r .kid "$DIR/answer")
    VALUE=$(jq -r .value "$DIR/answer")
    printf '%s\n' "$VALUE" >>"$DIR/values"
}

# is_used: until the client has logged in with the current version.
is_used() {
    current
    while [ "$shown" != "$KID" ]; do
        read -r -t 60 shown <&"$said" || fail "the client does not come with $KID, but says: $shown"
    done
}

rotate() { "${CURL[@]}" -sS -o "$DIR/rotated" -w '%{http_code}' -H 'X-Jarvis-Client: admin' -d '{"names":["postgres_password"]}' "$URL/rotate"; }

# The first value is set by hand.
expect 200 admin POST /secret "$(jq -n --arg password "$VALUE" --arg at "127.0.0.1:$POSTGRES_PORT/app" \
    '{name: "postgres_password", value: "postgresql://app_a:\($password | @uri)@\($at)"}')"
exec {said}< <(exec /usr/bin/python3 tests/system/appliers/client.py "$URL" postgres_password "$DIR/pause" 2>&1)
CLIENT=$!
SERVERS+=("$CLIENT")
shown=''
is_used

for ((rotation = 1; rotation <= ${ROTATIONS:=100}; rotation++)); do
    before=$KID
    [ "$(rotate)" = 200 ] || fail "rotation $rotation: $(cat "$DIR/rotated")"
    is_used
    [ "$KID" != "$before" ] || fail "rotation $rotation has made no new version"
done
echo "$ROTATIONS rotations, each after the client has come with the one before"

# kill_daemon: in the middle of what it does.
kill_daemon() {
    kill -KILL "$PID" 2>"$DIR/shell" || true
    wait "$PID" 2>"$DIR/shell" || true
    PID=''
}

# restart WHERE: starts the daemon again, which was killed there.
restart() {
    rm -f "$DIR/control/reached" "$DIR/control/go" "$DIR/pause"
    start_daemon
    await "it is known what works, killed $1" is_resolved
}

# keeps old|new WHERE: the version from before the kill is current, or the one that was being made. It works, and so does a
# rotation; the client has come with each of them.
keeps() {
    local before=$KID
    is_used
    [ "$([ "$KID" = "$before" ] && echo old || echo new)" = "$1" ] || fail "killed $2, the $1 version should be current, not $KID"
    [ "$(psql -X -At "$VALUE" -c 'SELECT 1')" = 1 ] || fail "killed $2, the daemon serves what does not work"
    [ "$(rotate)" = 200 ] || fail "killed $2, the next rotation fails: $(cat "$DIR/rotated")"
    is_used
}

# rotate_until MOMENT: a rotation that waits there.
rotate_until() {
    echo "$1" >"$DIR/control/stop"
    rotate >"$DIR/status" 2>"$DIR/why" &
    rotates=$!
    await "the rotation is $1" test -e "$DIR/control/reached"
}

for killed in 'before prepare:old' 'after prepare:old' 'before apply:old' 'after apply:new' 'before verify:new' 'after verify:new'; do
    rotate_until "${killed%:*}"
    kill_daemon
    restart "${killed%:*}"
    keeps "${killed#*:}" "${killed%:*}"
done
echo "killed before and after each program: the next start finds out which version works"

# In the middle of apply: the server is at it, and waits for a lock. It gets that while nobody is there, or never.
for kept in new old; do
    mkfifo "$DIR/lock"
    sql <"$DIR/lock" &
    locker=$!
    SERVERS+=("$locker")
    exec {lock}>"$DIR/lock"
    echo 'BEGIN; LOCK TABLE pg_authid IN SHARE MODE;' >&"$lock"
    await "the lock is held" counts pg_locks "relation = 'pg_authid'::regclass AND mode = 'ShareLock' AND granted"
    rotate >"$DIR/status" 2>"$DIR/why" &
    await "the server is at it" counts pg_stat_activity "application_name LIKE '% changes %' AND wait_event_type = 'Lock'"
    kill_daemon
    if [ "$kept" = new ]; then
        echo 'COMMIT;' >&"$lock"
        await "the server has done it" lacks pg_stat_activity "application_name LIKE '% changes %'"
    fi
    restart 'in the middle of apply'
    echo '\q' >&"$lock"
    wait "$locker"
    exec {lock}>&-
    keeps "$kept" 'in the middle of apply'
    rm "$DIR/lock"
done
echo "killed in the middle of apply: the next start waits until the server is at its end"

# In the commit: when verify has said that the new version works, the daemon is killed at each call that writes or syncs. The
# client does not ask meanwhile, so that there are no others.
is_traced() { ! grep -q '^TracerPid:\s0$' "/proc/$PID/status"; }
kills=0
for call in pwrite64 fdatasync write; do
    for ((n = 1; ; n++)); do
        touch "$DIR/pause"
        rotate_until 'after verify'
        strace -f -qq -o "$DIR/trace" -e "trace=$call" -e "inject=$call:signal=KILL:when=$n" -p "$PID" 2>"$DIR/strace" &
        tracer=$!
        await "strace has the daemon: $(cat "$DIR/strace")" is_traced
        touch "$DIR/control/go"
        { wait "$rotates" || true; } 2>"$DIR/shell"
        if [ "$(cat "$DIR/status")" = 200 ]; then
            kill "$tracer"
            wait "$tracer" || true
            rm "$DIR/control/reached" "$DIR/control/go" "$DIR/pause"
            is_used
            break
        fi
        [ "$(cat "$DIR/status")" = 000 ] || fail "not killed at $call $n of the commit: $(cat "$DIR/rotated")"
        kill_daemon
        { wait "$tracer" || true; } 2>"$DIR/shell"
        kills=$((kills + 1))
        restart "at $call $n of the commit"
        keeps new "at $call $n of the commit"
    done
done
[ "$kills" -ge 3 ] || fail "only $kills calls were found in the commit"
echo "killed at $kills calls of the commit: the new version is current, and works"

kill "$CLIENT"
mapfile -t -u "$said" told
wait "$CLIENT" || true
[[ ${told[-1]} =~ ^([0-9]+)\ logins,\ 0\ failed ]] && [ "${BASH_REMATCH[1]}" -ge 200 ] || fail "the client: $(printf '%s\n' "${told[@]}")"
stop_daemon
"$BINARY" audit verify "$DIR/audit/audit.jsonl" >"$DIR/report" 2>&1 || fail "$(cat "$DIR/report")"
nowhere_seen "$DIR/log" "$DIR/logs" "$DIR/audit/audit.jsonl" "$DIR/postgres.log"
echo "${told[-1]}"
