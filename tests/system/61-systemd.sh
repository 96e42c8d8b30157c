#!/usr/bin/env bash
# The daemon under a real systemd, booted in a container: start, reload, watchdog, credentials for other units, socket
# activation, and keys that are refused; with this system's systemd, or, as 61-systemd-debian-13.sh has it, with another.
source "$(dirname "$0")/lib.sh"
need curl jq nsenter openssl systemd-nspawn
need_root

source tests/system/nspawn.sh

fail() {
    echo "$*" >&2
    [ -z "$INIT" ] || inside journalctl --no-pager -n 40 >&2
    exit 1
}

# is UNIT PROPERTY VALUE: as systemctl show prints it.
is() { [ "$(inside systemctl show -P "$2" "$1")" = "$3" ]; }

# The daemon's process.
running() { inside systemctl show -P MainPID jarvis-secretsd; }

ask() { inside curl -sS --unix-socket /run/jarvis-secretsd/sock "$@"; }

# value NAME: what the API says it is.
value() { ask "http://localhost/secret/$1" | jq -r .value; }

# The last audit line about an access.
audited() { inside tail -n 1 /var/lib/jarvis-secretsd/audit/audit.jsonl | jq -r "$1"; }

mkdir "$DIR/units" "$DIR/etc"
cp contrib/systemd/config.toml "$DIR/etc/"
cat >"$DIR/etc/policy.toml" <<'END'
[clients.admin]
allow = ["*"]
unix_uid = [0]
[clients.backend]
allow = ["postgres_*"]
systemd_unit = ["backend.service"]
END
cp contrib/systemd/*.service contrib/systemd/*.socket contrib/systemd/*.timer "$DIR/units/"
# The program is elsewhere, as /usr is the host's, and the test does not wait for half a minute. Nor for a minute and a half
# where, as in here, control groups do not tell systemd that the last process has ended.
sed -i 's|/usr/local/bin/|/srv/|; s/^WatchdogSec=30/WatchdogSec=5\nTimeoutStopSec=20/' "$DIR/units/jarvis-secretsd.service"
sed -i 's|/usr/local/libexec/jarvis-secretsd/|/srv/|; /^ExecStart=/i Environment=PATH=/srv:/usr/bin' \
    "$DIR/units/jarvis-secretsd-backup.service"
# A service that shows what it was given. Nobody else may read it: the file is this user's, or, from systemd 254 on, root's with an
# ACL for this user, which is shown in the place of the group.
backend() {
    cat >"$DIR/units/$1.service" <<END
[Service]
Type=oneshot
RemainAfterExit=yes
DynamicUser=yes
LoadCredential=$2:/run/jarvis-secretsd/credentials
StandardOutput=truncate:/run/$1.out
ExecStart=/bin/sh -ec 'cd "\$CREDENTIALS_DIRECTORY"; case \$(stat -c %%a:%%u $2) in 400:\$(id -u) | 440:0) cat $2 ;; *) exit 1 ;; esac'
END
}
backend backend postgres_password
backend denied redis_password
backend stranger postgres_password

cat >"$DIR/applier" <<'END'
#!/bin/sh
external=/var/lib/jarvis-secretsd/external
case $1 in
    apply) jq -r .new.value >"$external" ;;
    verify) [ "$(jq -r .value)" = "$(cat "$external")" ] ;;
esac
END
cat >"$DIR/appliers.toml" <<'END'
[rotation.external]
apply = ["/etc/jarvis-secretsd/applier", "apply"]
verify = ["/etc/jarvis-secretsd/applier", "verify"]
END

boot_systemd --bind-ro="$(realpath "$BINARY"):/srv/jarvis-secretsd" --bind-ro="$DIR:/srv/test" \
    --bind-ro="$PWD/contrib/backup-vault.sh:/srv/backup-vault.sh"
inside sh -c 'mkdir /etc/jarvis-secretsd && cp /srv/test/etc/* /etc/jarvis-secretsd/ && ln -s /srv/test/units/* /run/systemd/system/'
inside mkdir -p -m 700 /etc/credstore.encrypted
inside sh -c 'head -c 32 /dev/urandom | systemd-creds --with-key=host --name=master.key encrypt - /etc/credstore.encrypted/jarvis-secretsd.master.key'
inside systemctl daemon-reload

# systemd listens; the first who connects starts the daemon, which is a user of its own.
inside systemctl start jarvis-secretsd.socket jarvis-secretsd-credentials.socket
is jarvis-secretsd ActiveState inactive || fail "it is started before anybody wants it"
inside curl -fsS http://127.0.0.1:8081/healthz >/dev/null
is jarvis-secretsd StatusText Serving || fail "systemd was not notified that it serves"
grep -q '^Uid:.*[1-9]' <<<"$(inside cat "/proc/$(running)/status")" || fail "it runs as root"
grep -q 'Confined by Landlock' <(inside journalctl --no-pager -u jarvis-secretsd) || fail "it could not confine itself"
ask -f -d '{"name":"postgres_password","generate":true}' http://localhost/secret >/dev/null
ask -f -d '{"name":"redis_password","generate":true}' http://localhost/secret >/dev/null

# A unit of the policy gets its secret as a file, and nothing but the secret.
inside systemctl start backend
[ "$(value postgres_password)" = "$(inside cat /run/backend.out)" ] || fail "the credential is another"
inside systemctl restart backend
[ "$(audited '.event + " " + .client + " " + .secret_name + " " + .result')" = "get_secret backend postgres_password success" ] ||
    fail "the audit log does not say it: $(audited .)"
[[ $(audited .remote) =~ ^unix:uid=0,pid=[0-9]+,unit=backend\.service$ ]] || fail "another requester: $(audited .remote)"
ask -f -d '{"names":["postgres_password"]}' http://localhost/rotate >/dev/null
inside systemctl restart backend
[ "$(value postgres_password)" = "$(inside cat /run/backend.out)" ] || fail "the new value is not there"
echo "a unit gets its secret, and the new one when it starts again"

# refused UNIT: it does not start, and its program is not run.
refused() {
    ! inside systemctl start "$1" 2>/dev/null || fail "$1 has started"
    is "$1" ExecMainStatus 243 || fail "$1 has failed otherwise"
    [ -z "$(inside sh -c "cat /run/$1.out 2>/dev/null")" ] || fail "$1 was run"
}
refused stranger
[ "$(audited '.event + ": " + .detail')" = "auth_failure: no client has this systemd_unit" ] || fail "$(audited .)"
inside sed -i 's/backend.service/&", "stranger.service", "denied.service/' /etc/jarvis-secretsd/policy.toml
inside systemctl reload jarvis-secretsd
await "the policy is reloaded" inside grep -q policy_reload /var/lib/jarvis-secretsd/audit/audit.jsonl
inside systemctl start stranger
refused denied
[ "$(audited '.client + " " + .secret_name + " " + .detail')" = "backend redis_password not_authorized" ] || fail "$(audited .)"
echo "a unit that may not have it does not start"

# The type is the best that this systemd knows, and SIGHUP has come once. A daemon that is stopped has heeded every signal before.
type=notify
[ "$(inside systemctl --version | awk 'NR == 1 { print $2 }')" -lt 253 ] || type=notify-reload
is jarvis-secretsd Type "$type" || fail "its type is not $type"
inside systemctl restart jarvis-secretsd
reloads=$(inside grep -c policy_reload /var/lib/jarvis-secretsd/audit/audit.jsonl)
[ "$reloads" = 1 ] || fail "one reload was $reloads"
echo "a reload is one, and needs no program that sends signals"

# A daemon that hangs is killed by the watchdog, and leaves no core; one that is killed is started again.
is jarvis-secretsd NRestarts 0 || fail "it has restarted by itself"
inside sh -c "kill -STOP $(running)"
await "the watchdog has bitten" is jarvis-secretsd NRestarts 1
await "it serves again" is jarvis-secretsd ActiveState active
inside journalctl --no-pager -u jarvis-secretsd >"$DIR/journal"
grep -q 'Watchdog timeout' "$DIR/journal" || fail "restarted for another reason"
grep -q 'status=6/ABRT' "$DIR/journal" || fail "it has not been aborted, or has left a core"
inside sh -c "kill -KILL $(running)"
await "it is started once more" is jarvis-secretsd NRestarts 2
await "it serves again" is jarvis-secretsd ActiveState active
inside systemctl restart backend
[ "$(value postgres_password)" = "$(inside cat /run/backend.out)" ] || fail "what was stored is not there any more"
echo "the watchdog works, and a daemon that was killed comes back"

# A backup is made every night, by the daemon's user, who has the key and cannot reach the network.
inside systemctl start jarvis-secretsd-backup.timer
[[ $(inside systemctl list-timers --no-legend jarvis-secretsd-backup.timer) == *' 02:00:00 '* ]] || fail "it is made at another time"
inside systemctl start jarvis-secretsd-backup || fail "no backup is made"
backups=$(inside find /var/lib/jarvis-secretsd-backup/ -name '*.tar' ! -user root -perm 600)
[ "$(wc -l <<<"$backups")" = 1 ] || fail "there are other backups: $backups"
inside /srv/jarvis-secretsd backup verify "$backups" >"$DIR/verified"
grep -q '2 secrets, 3 versions, all opened' "$DIR/verified" || fail "the backup holds something else: $(cat "$DIR/verified")"
! inside nsenter --target "$(running)" --mount ls "$backups" 2>/dev/null || fail "the daemon itself sees the backups"
echo "a backup is made by systemd, and opens"

# Stopped, it is started by the first who wants something: TCP, Unix socket, credential.
for want in 'curl -fsS http://127.0.0.1:8081/healthz' \
    'curl -fsS --unix-socket /run/jarvis-secretsd/sock http://localhost/healthz' 'systemctl restart backend'; do
    inside systemctl --quiet stop jarvis-secretsd
    is jarvis-secretsd Result success || fail "it was not stopped in order"
    # systemd starts nothing more than five times in ten seconds; it has been started a few times already.
    inside systemctl reset-failed jarvis-secretsd
    # shellcheck disable=SC2086
    inside $want >/dev/null || fail "$want: refused"
    is jarvis-secretsd ActiveState active || fail "$want has not started it"
done
echo "socket activation works, for TCP, for the Unix socket and for credentials"

# An applier works with the rights of the unit; what it changes here is a file in the state directory.
inside sh -c 'install -m 755 /srv/test/applier /etc/jarvis-secretsd/ && cat /srv/test/appliers.toml >>/etc/jarvis-secretsd/config.toml'
inside systemctl reset-failed jarvis-secretsd
inside systemctl restart jarvis-secretsd
ask -f -d '{"name":"external","value":"by hand"}' http://localhost/secret >/dev/null
ask -f -d '{"names":["external"]}' http://localhost/rotate >/dev/null || fail "the applier has failed"
[ "$(value external)" != "by hand" ] || fail "it was not rotated"
[ "$(value external)" = "$(inside cat /var/lib/jarvis-secretsd/external)" ] || fail "the external system has another value"
killed=$(running)
inside sh -c "kill -KILL $killed"
is_another() { [ "$(running)" != "$killed" ] && is jarvis-secretsd ActiveState active; }
await "the process that runs appliers has ended with the daemon, and the next one serves" is_another
ask -f -d '{"names":["external"]}' http://localhost/rotate >/dev/null || fail "the applier fails after a restart"
[ "$(value external)" = "$(inside cat /var/lib/jarvis-secretsd/external)" ] || fail "the external system has another value"
echo "an applier works within the unit, also after the daemon was killed"

# The key for TLS, as a credential too.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$DIR/tls.key" -out "$DIR/etc/tls.pem" 2>"$DIR/said" || fail "$(cat "$DIR/said")"
cat >"$DIR/tls.conf" <<'END'
[Service]
LoadCredential=tls.key:/etc/credstore/tls.key
END
cat >"$DIR/tls.toml" <<'END'
[server.tls]
cert_path = "/etc/jarvis-secretsd/tls.pem"
key_path = "/run/credentials/jarvis-secretsd.service/tls.key"
END
inside sh -ec 'cd /etc/jarvis-secretsd; cp /srv/test/etc/tls.pem .; cat /srv/test/tls.toml >>config.toml
    mkdir -p -m 700 /etc/credstore; install -m 600 /srv/test/tls.key /etc/credstore/
    mkdir /run/systemd/system/jarvis-secretsd.service.d; cp /srv/test/tls.conf /run/systemd/system/jarvis-secretsd.service.d/'
inside systemctl daemon-reload
inside systemctl reset-failed jarvis-secretsd
inside systemctl restart jarvis-secretsd || fail "it does not start with TLS"
inside curl -fsS --cacert /etc/jarvis-secretsd/tls.pem https://localhost:8081/healthz >/dev/null || fail "it does not serve by TLS"
inside /srv/jarvis-secretsd check >"$DIR/said" 2>&1 || fail "check refuses what the daemon takes: $(cat "$DIR/said")"
! grep '^warning:.*key' "$DIR/said" >&2 || fail "check finds fault with a key that the daemon takes"
echo "the key for TLS may be a credential, and check takes what the daemon takes"

# A key that is refused is refused once: neither is started again and again.
is_refused() {
    ! inside systemctl start "$1" 2>/dev/null || fail "$1 takes the key"
    is "$1" ExecMainStatus 78 || fail "$1 has failed otherwise"
    is "$1" SubState failed || fail "$1 is tried again"
    is "$1" NRestarts 0 || fail "$1 was tried again"
}
inside systemctl --quiet stop jarvis-secretsd
inside sh -ec 'cd /etc/credstore.encrypted; mv jarvis-secretsd.master.key good
    head -c 31 /dev/urandom | systemd-creds --with-key=host --name=master.key encrypt - jarvis-secretsd.master.key'
is_refused jarvis-secretsd
is_refused jarvis-secretsd-backup
inside sh -ec 'cd /etc/credstore.encrypted; mv good jarvis-secretsd.master.key; cd /etc/jarvis-secretsd
    head -c 32 /dev/urandom >master.key; chmod 644 master.key
    sed -i.good "s|/run/credentials/.*/master.key|/etc/jarvis-secretsd/master.key|" config.toml'
is_refused jarvis-secretsd
grep -q 'others than its owner may use this key (mode 0644)' <(inside journalctl --no-pager -u jarvis-secretsd) ||
    fail "the key is refused otherwise"
inside mv /etc/jarvis-secretsd/config.toml.good /etc/jarvis-secretsd/config.toml
inside systemctl start jarvis-secretsd || fail "it does not start with the good key"
echo "a key that is refused is not tried again and again"

# Without the daemon nothing starts with an empty password either.
inside systemctl --quiet stop jarvis-secretsd.socket jarvis-secretsd-credentials.socket jarvis-secretsd backend
! inside systemctl start backend 2>/dev/null || fail "a unit started without its credential"
has_said() { inside journalctl --no-pager >"$DIR/journal" && grep -q "$1" "$DIR/journal"; }
await "systemd has said why" has_said 'backend.service: Failed to set up'
guide 'A unit does not get its credential' "$DIR/journal"
inside systemctl reset-failed

# What is left to it: 1.5 of 10 at most.
for service in jarvis-secretsd.service jarvis-secretsd-backup.service; do
    inside systemd-analyze security --offline=true --no-pager --threshold=15 "/srv/test/units/$service" >"$DIR/exposure" 2>&1 ||
        fail "$service is left too much: $(tail -n 1 "$DIR/exposure")"
done

# The rule for addresses holds for those that are passed too.
sed -i 's/127.0.0.1:8081/192.0.2.1:8081\nFreeBind=yes/' "$DIR/units/jarvis-secretsd.socket"
inside sed -i '$a [clients.open]' /etc/jarvis-secretsd/policy.toml
inside systemctl daemon-reload
inside systemctl start jarvis-secretsd.socket
! inside systemctl start jarvis-secretsd 2>/dev/null || fail "it serves a client without a credential to the network"
is jarvis-secretsd ExecMainStatus 78 || fail "it has failed otherwise"
echo "a passed address that others reach is refused while a client needs no more than its header"

# It may be gone before it has answered.
inside systemctl poweroff || true
wait "$NSPAWN" || fail "the container ended with status $?"
NSPAWN=''
