#!/usr/bin/env bash
# The service under a real OpenRC, booted in a container: set up as the handbook says, checked, reloaded, killed, and stopped.
source "$(dirname "$0")/lib.sh"
OPENRC=/usr/local/lib/jarvis-test-tools/openrc
need curl jq make nsenter pgrep systemd-nspawn useradd "$OPENRC/sbin/openrc-init"
need_root

source tests/system/nspawn.sh

fail() {
    echo "$*" >&2
    [ -z "$INIT" ] || inside tail -n 20 /var/log/jarvis-secretsd.log >&2
    exit 1
}

# run COMMANDS: as root does it in a checkout of the source.
run() { inside env -i PATH="$PATH" HOME=/root sh -ec "cd /srv/source; $1"; }

service() { run "rc-service jarvis-secretsd $1" >"$DIR/said" 2>&1; }

# status STATUS TEXT: what rc-service says it is.
status() {
    local status=0
    service status || status=$?
    [ "$status" = "$1" ] && grep -q "status: $2\$" "$DIR/said"
}

# refuses ACTION TEXT: it is not done, and the text is printed.
refuses() {
    ! service "$1" || fail "$1 is done with a bad configuration"
    grep -qF "$2" "$DIR/said" || fail "$1 does not say '$2': $(cat "$DIR/said")"
}

# The daemon's process.
running() { run 'pgrep -x jarvis-secretsd'; }

# answers CLIENT STATUS: what it gets for the password. The answer is then in $DIR/answer.
answers() {
    local status
    run "$BEARER; bearer $1 | curl -s -K - --max-time 60 -w '\n%{http_code}' \
        http://127.0.0.1:8081/secret/postgres_password" >"$DIR/answer" || return 1
    status=$(tail -n 1 "$DIR/answer")
    [ "$status" = "$2" ]
}

value() { answers db 200 && head -n 1 "$DIR/answer" | jq -r .value; }

# OpenRC's files, as they lie where /bin, /sbin and /lib are links into /usr.
mkdir "$DIR/usr"
cp -r "$OPENRC"/{bin,sbin,lib} "$DIR/usr/"
# A checkout in which the program is built.
mkdir -p "$DIR/source/target/release"
cp -r Cargo.lock Cargo.toml Makefile contrib etc man src "$DIR/source/"
cp "$BINARY" "$DIR/source/target/release/"
boot --overlay-ro="$DIR/usr:/usr:/usr" --bind-ro="$OPENRC/etc:/srv/etc" --tmpfs=/usr/local --bind="$DIR/source:/srv/source" \
    /bin/sh -ec 'cp -r /srv/etc/* /etc; echo root:x:0:0::/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
        mkdir -p /var/log; ln -s /run /var/run; : >/etc/insserv.conf; exec /sbin/openrc-init'
await "OpenRC is up" is_up sh -c 'rc-status --runlevel | grep -q default'

# Installed, started, and a secret read, as the handbook says.
run "$(pasted docs/install/openrc.md '# OpenRC')" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
status 0 started || fail "it is not started: $(cat "$DIR/said")"
run "$(pasted docs/install/openrc.md '# OpenRC' 2)" >"$DIR/said" 2>&1 || fail "no secret: $(cat "$DIR/said")"
grep -q '^postgres_password ' "$DIR/said" || fail "the administrator does not see it: $(cat "$DIR/said")"
run "$(pasted docs/install/openrc.md '# OpenRC' 3)" >"$DIR/pasted" 2>"$DIR/said" || fail "no secret: $(cat "$DIR/pasted" "$DIR/said")"
BEARER=$(pasted docs/install/openrc.md '# OpenRC' 3 | sed -n 1p)
password=$(value)
[ "${#password}" = 32 ] || fail "no such value was generated: $password"
grep -qF "\"value\":\"$password\"" "$DIR/pasted" || fail "another value: $password"
first=$(running)
[ "$(inside stat -c %U "/proc/$first" /opt/jarvis/secrets /opt/jarvis/audit | sort -u)" = jarvis-secretsd ] ||
    fail "it does not run as its user"
[ "$(inside stat -c %U:%a /var/log/jarvis-secretsd.log)" = root:600 ] || fail "its log is not root's"
echo "set up as the handbook says, it serves as a user of its own"

# A change of the policy takes effect at the reload.
answers backend 403 || fail "backend is not refused: $(cat "$DIR/answer")"
inside sed -i 's/^allow = \["jwt_signing_key"/&, "postgres_password"/' /etc/jarvis-secretsd/policy.toml
service reload || fail "it is not reloaded: $(cat "$DIR/said")"
await "the policy is in force" answers backend 200

# With a mistake, nothing is done, and it runs on.
inside sed -i.good 's/^allow/alow/' /etc/jarvis-secretsd/policy.toml
for action in checkconfig reload restart; do
    refuses "$action" '/etc/jarvis-secretsd/policy.toml:'
done
status 0 started || fail "it does not run on: $(cat "$DIR/said")"
[ "$(running)" = "$first" ] || fail "it was restarted"
answers backend 200 || fail "the policy before is not in force: $(cat "$DIR/answer")"
service stop || fail "it is not stopped: $(cat "$DIR/said")"
status 3 stopped || fail "it is not stopped: $(cat "$DIR/said")"
! running || fail "it still runs"
[[ $(inside tail -n 1 /var/log/jarvis-secretsd.log) == *" Stopped" ]] || fail "it was not stopped in order"
refuses start '/etc/jarvis-secretsd/policy.toml:'
status 3 stopped || fail "it is started: $(cat "$DIR/said")"
inside mv /etc/jarvis-secretsd/policy.toml.good /etc/jarvis-secretsd/policy.toml
echo "the policy is reloaded, and a bad one ends no daemon and starts none"

# It is not started as root, nor where its user cannot read or write.
inside chmod 600 /etc/jarvis-secretsd/policy.toml
refuses start '/etc/jarvis-secretsd/policy.toml: Permission denied'
inside chmod 640 /etc/jarvis-secretsd/policy.toml
inside sed -i 's/^user = /# &/' /etc/jarvis-secretsd/config.toml
refuses start 'would not run as a user of its own'
inside sed -i 's|^# user = |user = |; s|^# audit_path = .*|audit_path = "/opt/elsewhere/audit.jsonl"|' /etc/jarvis-secretsd/config.toml
inside mkdir -m 755 /opt/elsewhere
refuses start 'mkdir -p -m 700 /opt/elsewhere'
# A start that leads to nothing: the host has no such address.
inside sed -i 's|^audit_path = |# &|; s/^bind_addr = .*/bind_addr = "192.0.2.1:8081"/' \
    /etc/jarvis-secretsd/config.toml
inside sh -c 'echo start_patience=2 >>/etc/conf.d/jarvis-secretsd'
refuses start 'does not answer after 2 seconds; /var/log/jarvis-secretsd.log says why'
status 3 stopped || fail "it is started: $(cat "$DIR/said")"
! running || fail "it is tried on"
inside sed -i 's/^bind_addr = .*/bind_addr = "127.0.0.1:8081"/' /etc/jarvis-secretsd/config.toml
echo "a start that does not lead to a daemon that answers has failed"

# Entering the runlevel starts it, as a boot does. It is asked for its health more often than it would be, and is given less
# time to end; its audit log has little room.
inside sed -i 's|^retry=.*|retry="TERM/1/KILL/5"|' /etc/init.d/jarvis-secretsd
inside sh -c 'printf "healthcheck_delay=1\nhealthcheck_timer=1\n" >>/etc/conf.d/jarvis-secretsd'
inside sh -ec 'cd /opt/jarvis; mv audit before; mkdir audit; mount -t tmpfs -o size=128k tmpfs audit; cp -a before/. audit/'
run openrc >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
status 0 started || fail "the runlevel has not started it: $(cat "$DIR/said")"
[ "$(value)" = "$password" ] || fail "what was stored is not there any more"

# What dies is started again, and so is what hangs.
is_another() { [ -n "$(running)" ] && [ "$(running)" != "$1" ] && [ "$(value)" = "$password" ]; }
for signal in KILL STOP; do
    before=$(running)
    inside kill -"$signal" "$before"
    await "it is there again" is_another "$before"
    status 0 started || fail "after SIG$signal: $(cat "$DIR/said")"
done
echo "killed or hanging, it comes back with what was stored"

# Degraded, it is not restarted: that would not help.
before=$(running)
! inside dd if=/dev/zero of=/opt/jarvis/audit/filler bs=1k 2>/dev/null || fail "the disk is not full"
await "the disk is full" answers db 503
! run 'jarvis-secretsd healthcheck' 2>/dev/null || fail "it is not degraded"
service healthcheck || fail "it would be restarted: $(cat "$DIR/said")"
inside rm /opt/jarvis/audit/filler
await "it is well again" run 'jarvis-secretsd healthcheck 2>/dev/null'
[ "$(running)" = "$before" ] || fail "it was restarted"
echo "degraded, it is left to heal"

# Restarted, and shut down with the machine.
service restart || fail "$(cat "$DIR/said")"
[ "$(value)" = "$password" ] || fail "what was stored is not there any more"
run 'openrc-shutdown --poweroff now' >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
INIT=''
wait "$NSPAWN" || fail "the container ended with status $?"
NSPAWN=''
