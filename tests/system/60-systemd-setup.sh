#!/usr/bin/env bash
# The daemon as a service of systemd, set up with the handbook's commands in a container where nothing of it is there yet: on this
# system, or, as 60-systemd-setup-debian-13.sh has it, on another.
source "$(dirname "$0")/lib.sh"
need curl jq make nsenter openssl systemd-nspawn
need_root

# systemd keeps the key of a host on no disk that is only memory, as /tmp may be.
export TMPDIR=/var/tmp
source tests/system/nspawn.sh

fail() { fail_with_journal "$@"; }

# run COMMANDS: as root does it in a checkout of the source.
run() { inside env -i PATH="$PATH" HOME=/root sh -ec "cd /srv/source; $1"; }

copy_source
boot_with_source

page=docs/install/systemd.md section='## The daemon as a service'
run "$(pasted "$page" "$section")" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
[ "$(inside systemctl show -P StatusText jarvis-secretsd)" = Serving ] || fail "it is not started"
run "$(pasted "$page" "$section" 2)" >"$DIR/said" 2>&1 || fail "no secret: $(cat "$DIR/said")"
grep -q '^postgres_password ' "$DIR/said" || fail "the administrator does not see it: $(cat "$DIR/said")"
# read_password: db reads it.
read_password() {
    run "$(pasted "$page" "$section" 3)" >"$DIR/pasted" 2>"$DIR/said" || fail "it is not served: $(cat "$DIR/pasted" "$DIR/said")"
    jq -r '.value // empty' "$DIR/pasted"
}
# serves_password: db reads the password that was made first.
serves_password() { [ "$(read_password)" = "$password" ] || fail "another value: $(cat "$DIR/pasted")"; }
password=$(read_password)
[ "${#password}" = 32 ] || fail "no such value was generated: $(cat "$DIR/pasted")"
for unit in jarvis-secretsd.service jarvis-secretsd.socket jarvis-secretsd-credentials.socket; do
    inside systemctl is-enabled --quiet "$unit" || fail "$unit is not started when the host is"
done
[ -z "$(inside find /var/lib/jarvis-secretsd/ -name master.key)" ] || fail "the master key lies beside the vault"
echo "set up as the handbook says, it serves as a service of systemd, and root administers it"

# An older systemd says of one line that it does not know it.
run 'systemd-analyze --man=no verify /usr/local/lib/systemd/system/jarvis-secretsd*' >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
! grep -v 'Failed to parse service type, ignoring: notify-reload$' "$DIR/said" >&2 || fail "systemd finds fault with the units"

# A unit gets the secret as a file; the service shows what is in it.
inside sh -ec 'printf "#!/bin/sh\ncat \"\$2\"\n" >/usr/local/bin/shop; chmod 755 /usr/local/bin/shop'
run "$(pasted "$page" '## Credentials for its units')" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
is_reloaded() { inside grep -q '"event":"policy_reload".*"result":"success"' /var/lib/jarvis-secretsd/audit/audit.jsonl; }
await "the policy is in force" is_reloaded
run "$(pasted "$page" '## Credentials for its units' 2)" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
has_read() { [ "$(inside journalctl --no-pager --output=cat _SYSTEMD_UNIT=shop.service)" = "$password" ]; }
await "the service has its password" has_read
echo "a unit reads the secret from a file"

# An upgrade, to the same version.
before=$(inside systemctl show -P MainPID jarvis-secretsd)
run "$(pasted docs/deployment.md '## Upgrades')" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
grep -q 'before-upgrade.tar: .*: verified' "$DIR/said" || fail "the backup is not verified: $(cat "$DIR/said")"
[ "$(inside systemctl show -P MainPID jarvis-secretsd)" != "$before" ] || fail "it was not restarted"
serves_password
echo "upgraded as the handbook says, it serves what was stored"

# The timer of the section on backups.
run "$(pasted docs/backup-and-keys.md '### Every night' 2)" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
inside systemctl is-active --quiet jarvis-secretsd-backup.timer || fail "the timer does not run"
inside systemctl start jarvis-secretsd-backup || fail "no backup is made"
[ -n "$(inside find /var/lib/jarvis-secretsd-backup/ -name '*.tar')" ] || fail "no backup is there"
echo "and its backup is made every night"

# run_stopped COMMANDS: between what stops the service and what starts it again, clients are refused, and start nothing.
run_stopped() {
    # shellcheck disable=SC2016
    local knock='knock() {
        for where in http://127.0.0.1:8081/healthz "--unix-socket /run/jarvis-secretsd/sock http://localhost/healthz"; do
            status=0
            curl -s $where || status=$?
            [ "$status" = 7 ] || { echo "a client is let in: curl ended with status $status"; exit 1; }
        done
        state=$(systemctl show -P ActiveState jarvis-secretsd.service)
        [ "$state" = inactive ] || { echo "the service is $state"; exit 1; }
    }'
    [[ "$1" = *"systemctl stop "*"systemctl start "* ]] || fail "nothing is stopped and started: $1"
    run "$knock
$(sed '/^systemctl stop /,/^systemctl start /{ /^systemctl start /!a knock
}' <<<"$1")" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
}

# As on a new host: only the backup and, somewhere else, the master key are left.
inside systemctl stop jarvis-secretsd.socket jarvis-secretsd-credentials.socket jarvis-secretsd.service 2>"$DIR/said"
inside sh -ec 'cp /var/lib/jarvis-secretsd-backup/*.tar /srv/source/secrets.tar
    rm -r /var/lib/jarvis-secretsd /var/lib/private/jarvis-secretsd'
run_stopped "$(pasted docs/backup-and-keys.md '### Restore under systemd')"
serves_password
echo "all that was lost comes back from the backup, and meanwhile no client starts it"

# Another master key, which the service gets from systemd.
run_stopped "$(pasted docs/backup-and-keys.md '### Another master key' 2)"
serves_password
run 'systemd-creds --name=master.key encrypt master.key /etc/credstore.encrypted/jarvis-secretsd.master.key' 2>"$DIR/said"
! inside systemctl restart jarvis-secretsd 2>/dev/null || fail "the old key is taken"
grep -q 'the master key does not open this vault' <(inside journalctl --no-pager -u jarvis-secretsd) || fail "it has failed otherwise"
echo "the vault is under another key, and the old one is refused"

# It may be gone before it has answered.
inside systemctl poweroff || true
wait "$NSPAWN" || fail "the container ended with status $?"
NSPAWN=''
