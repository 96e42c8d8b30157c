#!/usr/bin/env bash
# Where there is no shell, as in an image from scratch: a filter is a program or a socket, and needs none. A socket at which another
# user listens gets nothing.
source "$(dirname "$0")/lib.sh"
need age age-keygen chroot curl jq ldd python3 setpriv socat
need_root
new_state
trap 'end' EXIT
SERVICE=''
end() {
    end_service
    ! mountpoint -q "$ROOT/proc" || umount "$ROOT/proc"
    rm -rf "$ROOT"
    clean_up
}
end_service() {
    [ -z "$SERVICE" ] || { kill $SERVICE; wait $SERVICE || true; } 2>/dev/null
    SERVICE=''
}

# A root with the daemon, age and what they load, and nothing besides. No other user can write above it.
ROOT=$(mktemp -d /var/lib/jarvis-root.XXXX)
chmod 755 "$ROOT"
mkdir -p "$ROOT"/{dev,proc,etc,state,run}
put() {
    mkdir -p "$ROOT$(dirname "$1")"
    cp -L "$1" "$ROOT$1"
}
for program in "$BINARY" "$(command -v age)"; do
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do put "$library"; done
done
cp "$BINARY" "$ROOT/jarvis-secretsd"
cp "$(command -v age)" "$ROOT/age"
mount -t proc proc "$ROOT/proc"
cp etc/policy.toml "$ROOT/etc/policy.toml"
age-keygen -o "$ROOT/etc/host.age" 2>/dev/null
chown 65532:65532 "$ROOT/etc/host.age" "$ROOT/state" "$ROOT/run"
chmod 700 "$ROOT/state"
recipient=$(age-keygen -y "$ROOT/etc/host.age")

# configure UNWRAP WRAP
configure() {
    cat >"$ROOT/etc/config.toml" <<END
[server]
bind_addr = "127.0.0.1:0"
[paths]
state_dir = "/state"
[security]
rbac_policy_path = "/etc/policy.toml"
[master_key]
unwrap = $1
wrap = $2
END
}
configure '["/age", "-d", "-i", "/etc/host.age"]' "[\"/age\", \"-r\", \"$recipient\"]"

daemon() { exec chroot --userspec=65532:65532 --groups= "$ROOT" /jarvis-secretsd --config /etc/config.toml; }

# begin: starts it, until it is healthy.
begin() {
    : >"$DIR/log"
    # The pid is the daemon's, as both replace themselves.
    (RUST_LOG=info daemon) 2>"$DIR/log" &
    PID=$!
    await "the daemon is healthy" has_started
}

# refused WHY: it does not start, and says so.
refused() {
    local status=0
    (daemon) >"$DIR/log" 2>&1 || status=$?
    [ "$status" = 78 ] || fail "status $status instead of 78: $(tail -n 1 "$DIR/log")"
    grep -qF "$1" "$DIR/log" || fail "it says $(tail -n 1 "$DIR/log")"
}

refused 'there is no /dev/null'
mknod -m 666 "$ROOT/dev/null" c 1 3
begin
expect 200 admin POST /secret '{"name":"postgres_password","value":"kept"}'
[ "$(stat -c %s "$ROOT/state/secrets/master.key")" -gt 200 ] || fail "the key is not wrapped"
stop_daemon
begin
expect 200 db GET /secret/postgres_password
stop_daemon
# copies PID...: how often the master key is in the memory of these processes.
copies() { age -d -i "$ROOT/etc/host.age" "$ROOT/state/secrets/master.key" | /usr/bin/python3 tests/system/key-copies.py "$@"; }
begin
runner=$(tr -d ' ' <"/proc/$PID/task/$PID/children")
[ "$(copies "$PID" "$runner")" = 0 ] || fail "the master key is in memory: $(copies "$PID") times in the daemon"
stop_daemon
[ -z "$(find "$ROOT" -xdev -name '*sh' -type f -perm /111)" ] || fail "there is a shell"
echo "a daemon without a shell beside it wraps its key by age, and unwraps it, and keeps no copy in memory"

# serve USER: serves the filters at sockets as this user.
serve() {
    local way
    rm -rf "$ROOT/run/key"
    install -d -m 755 -o "$1" "$ROOT/run/key"
    for way in '-d -i /run/key/identity' "-r $recipient"; do
        case $way in -d*) set -- "$1" unwrap ;; *) set -- "$1" wrap ;; esac
        setpriv --reuid "$1" --regid "$1" --clear-groups socat -t 30 \
            "UNIX-LISTEN:$ROOT/run/key/$2,fork,mode=666" "EXEC:age ${way/\/run/$ROOT\/run}" 2>"$DIR/socat.$2" &
        SERVICE="$SERVICE $!"
        await "a service listens" test -S "$ROOT/run/key/$2"
    done
}

configure '"unix:/run/key/unwrap"' '"unix:/run/key/wrap"'
rm "$ROOT/age"
refused '[master_key] unwrap: unix:/run/key/unwrap: No such file'
serve 65531
install -m 400 -o 65531 "$ROOT/etc/host.age" "$ROOT/run/key/identity"
refused 'user 65531 listens there, and it must be root or user 65532'
end_service
serve 0
install -m 400 -o 0 "$ROOT/etc/host.age" "$ROOT/run/key/identity"
begin
expect 200 db GET /secret/postgres_password
stop_daemon
echo "a service of root at a socket unwraps it as well, and one of another user gets nothing"
