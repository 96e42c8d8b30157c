#!/usr/bin/env bash
# The symptoms of docs/troubleshooting.md for which it takes root: a daemon of another user, and kernels that deny.
source "$(dirname "$0")/lib.sh"
need curl install prlimit setpriv strace
need_root

new_state
chmod 755 "$DIR"
# Also where other users cannot get at the one under test.
install -m 755 "$BINARY" "$DIR/jarvis-secretsd"

# started_with COMMAND...: the daemon is started by these words from now on.
started_with() {
    BINARY=$DIR/start
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$*" "$DIR/jarvis-secretsd" >"$BINARY"
    chmod 755 "$BINARY"
}
# The image's user.
user=(setpriv --reuid 65532 --regid 65532 --clear-groups)

started_with "${user[@]}"
mkdir -m 755 "$DIR/secrets" "$DIR/audit"
! "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log" || fail "it has started in a directory that it may not write to"
guide 'The volume of a container cannot be written to' "$DIR/log"
chown 65532:65532 "$DIR/secrets" "$DIR/audit"
started_with prlimit --memlock=65536 "${user[@]}"
start_daemon
guide 'Memory is not locked' "$DIR/log"
sed "s/127.0.0.1:0/${URL#http://}/" "$DIR/config.toml" >"$DIR/asked.toml"
mkdir "$DIR/bin"
ln -s "$DIR/jarvis-secretsd" "$DIR/bin/jarvis-secretsd"
PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CONFIG=$DIR/asked.toml bash -euo pipefail -c "$(pasted docs/troubleshooting.md '# Troubleshooting')" \
    >"$DIR/said" 2>&1 || fail "the handbook finds a fault with a daemon that serves: $(cat "$DIR/said")"
stop_daemon
! PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CONFIG=$DIR/asked.toml bash -euo pipefail -c "$(pasted docs/troubleshooting.md '# Troubleshooting')" \
    >"$DIR/said" 2>&1 || fail "the handbook finds no fault with a daemon that does not run: $(cat "$DIR/said")"
echo "the user of a container reads what is missing, and the handbook's commands find out whether the daemon serves"

rm -r "$DIR/secrets" "$DIR/audit"
started_with strace -D -f -qq -o /dev/null -e inject=landlock_create_ruleset:error=ENOSYS
start_daemon
guide 'The process is not confined' "$DIR/log"
stop_daemon
echo "a kernel without Landlock is reported"

# With one connection at a time, and a disk that takes its time, the next one is turned away.
sed -i 's/^\[server\]/&\nmax_connections = 1/' "$DIR/config.toml"
started_with strace -D -f -qq -o /dev/null -e inject=fdatasync:delay_enter=200000
start_daemon
deadline=$((SECONDS + PATIENCE))
while [ "$SECONDS" -lt "$deadline" ]; do
    kill -0 "${store:-none}" 2>/dev/null || {
        curl -s -o /dev/null -H 'X-Jarvis-Client: admin' -d '{"name":"a","generate":true}' "$URL/secret" &
        store=$!
    }
    curl -s -w ' %{http_code}\n' "$URL/healthz" >"$DIR/answer" || true
    ! grep -q ' 503$' "$DIR/answer" || break
done
guide '503 busy' "$DIR/answer"
wait "$store" || true
stop_daemon
echo "a daemon that is busy says so"
