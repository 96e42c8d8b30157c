#!/usr/bin/env bash
# Keys of root's that a daemon of another user reads through an access control list, as systemd hands them over from version 254
# on: they are taken, and refused where others have more than that.
source "$(dirname "$0")/lib.sh"
need curl openssl setfacl setpriv
need_root

new_state
# The daemon's user, who is not root. The program may lie where that user cannot go.
USER_ID=65534
install -m 755 "$BINARY" "$DIR/program"
cat >"$DIR/as-user" <<END
#!/bin/sh
exec setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups "$DIR/program" "\$@"
END
chmod 755 "$DIR/as-user"
BINARY=$DIR/as-user SCHEME=https CURL=(curl --cacert "$DIR/tls.pem")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$DIR/tls.key" -out "$DIR/tls.pem" 2>"$DIR/said" || fail "$(cat "$DIR/said")"
cat >>"$DIR/config.toml" <<END
[server.tls]
cert_path = "$DIR/tls.pem"
key_path = "$DIR/tls.key"
END
chown -R "$USER_ID" "$DIR"
start_daemon
stop_daemon
keys=("$DIR/secrets/master.key" "$DIR/tls.key" "$DIR/audit/audit.sign.key")

# let_read KEY: root's, and readable by the daemon's user through the list alone.
let_read() {
    setfacl --remove-all "$1"
    chown 0:0 "$1"
    chmod 400 "$1"
    setfacl --modify "u:$USER_ID:r" "$1"
}

# refuses KEY TEXT: the daemon does not start, with the status at which no service manager tries again, and says that of the key.
refuses() {
    local status=0
    timeout 60 "$BINARY" --config "$DIR/config.toml" 2>"$DIR/said" || status=$?
    [ "$status" = 78 ] || fail "$1, $2: ended with status $status: $(cat "$DIR/said")"
    grep -qF "$1: $2" "$DIR/said" || fail "$1 is refused otherwise: $(cat "$DIR/said")"
}

for key in "${keys[@]}"; do
    let_read "$key"
    [ "$(stat -c %a:%u "$key")" = 440:0 ] || fail "the list is not shown in the place of the group: $(stat -c %a:%u "$key")"
done
start_daemon
stop_daemon
echo "keys of root's that the daemon reads through an access control list are taken"

shared='others than its owner may use this key'
for key in "${keys[@]}"; do
    chmod o+r "$key"
    refuses "$key" "$shared (mode 0444)"
    let_read "$key"
    setfacl --modify "u:$USER_ID:rw" "$key"
    refuses "$key" "$shared (mode 0460)"
    setfacl --remove-all "$key"
    refuses "$key" 'Permission denied'
    # The list of one who is not root says nothing of root's decision.
    let_read "$key"
    chown "$USER_ID" "$key"
    refuses "$key" "$shared (mode 0440)"
    let_read "$key"
done
start_daemon
stop_daemon
echo "those that others may read or write are refused"
