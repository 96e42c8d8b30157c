#!/usr/bin/env bash
# Backup and restore as the handbook describes them: a daemon at work is saved, everything is destroyed, and every value comes back
# in another directory. Then some nights with contrib/backup-vault.sh, the first of them as cron spends it.
#
# The handbook's paths are the system's, so this runs where nobody else sees what is mounted over them.
source "$(dirname "$0")/lib.sh"
need curl jq make openssl unshare
need_root
[ -n "${ALONE:-}" ] || ALONE=yes exec unshare --mount --propagation private tests/system/25-backup.sh

new_state
make --silent --assume-old="$BINARY" install BINARY="$BINARY" PREFIX=/usr/local DESTDIR="$DIR/root" >/dev/null
mount --bind "$DIR/root/usr/local" /usr/local
export PATH=/usr/local/bin:$PATH BINARY=/usr/local/bin/jarvis-secretsd
for directory in /opt/jarvis /etc/jarvis-secretsd /etc/cron.d /var/backups; do
    mkdir -p "$directory"
    mount -t tmpfs none "$directory"
done
cp etc/policy.toml /etc/jarvis-secretsd/
sed -i '/^\[paths\]/,/^$/d; /rbac_policy_path/d' "$DIR/config.toml"
cp "$DIR/config.toml" /etc/jarvis-secretsd/

# from DIRECTORY HEADING [N]: the handbook's block is pasted there.
from() {
    local commands
    commands=$(pasted docs/backup-and-keys.md "$2" "${3:-1}")
    (cd "$1" && eval "$commands") >"$DIR/said" 2>&1 || fail "$2: $(cat "$DIR/said")"
}
# The master key is not made by the start, but by hand.
install -d -m 700 /opt/jarvis/secrets
from /opt/jarvis/secrets '## The master key'
cp /opt/jarvis/secrets/master.key "$DIR/safe"

start_daemon
cmp --silent /opt/jarvis/secrets/master.key "$DIR/safe" || fail "another master key is used than the one that was made by hand"
for name in postgres_password redis_password jwt_signing_key brave_api_key; do
    expect 200 admin POST /secret "{\"name\":\"$name\",\"generate\":true}"
done
expect 200 admin GET /secret/postgres_password
old=$(jq -r .kid "$DIR/answer")
expect 200 admin POST /rotate '{"names":["postgres_password"]}'
expect 200 admin DELETE /secret/brave_api_key

# known: all that can be read, and what of it.
known() {
    for path in postgres_password "postgres_password?kid=$old" redis_password jwt_signing_key; do
        expect 200 admin GET "/secret/$path"
        jq -c '[.name, .value, .kid]' "$DIR/answer"
    done
}
before=$(known)
eval "$(pasted docs/backup-and-keys.md '## Backup and restore')" >"$DIR/verified"
grep -q ': 3 secrets, 4 versions, all opened' "$DIR/verified" || fail "another content: $(cat "$DIR/verified")"
expect 200 admin POST /secret '{"name":"made_later","value":"v"}'
jarvis-secretsd backup verify /var/backups/secrets.tar >"$DIR/verified"
grep -qA1 'would lose 1 version$' "$DIR/verified" || fail "the loss is not reported: $(cat "$DIR/verified")"
! jarvis-secretsd restore /var/backups/secrets.tar 2>"$DIR/refused" || fail "restored under a daemon at work"
stop_daemon

# Only the backup and, somewhere else, the master key as text are left.
mkdir "$DIR/paper"
passphrase='correct horse battery staple'
from "$DIR/paper" '### For the safe' <<<"$passphrase"
rm -r /opt/jarvis/* /etc/jarvis-secretsd/policy.toml
cat >>/etc/jarvis-secretsd/config.toml <<'END'
[paths]
vault_path = "/opt/jarvis/other/vault.json"
audit_path = "/opt/jarvis/other/audit.jsonl"
master_key_path = "/opt/jarvis/other/master.key"
END
! jarvis-secretsd restore /var/backups/secrets.tar 2>"$DIR/refused" || fail "restored without the master key"
grep -q master.key "$DIR/refused" || fail "what is missing is not reported: $(cat "$DIR/refused")"
install -d -m 700 /opt/jarvis/other
from "$DIR/paper" '### For the safe' 2 <<<"$passphrase"
cmp --silent /opt/jarvis/other/master.key "$DIR/safe" || fail "another master key came back"
eval "$(pasted docs/backup-and-keys.md '## Backup and restore' 2)" >"$DIR/restored"
cp /etc/jarvis-secretsd/config.toml "$DIR/config.toml"
start_daemon
[ "$(known)" = "$before" ] || fail "other values: $(known)"
expect 404 admin GET /secret/made_later

# Another master key, while the daemon serves.
export JARVIS_SECRETSD_ADDR=$URL JARVIS_SECRETSD_CLIENT=admin
from "$DIR" '### Another master key'
! cmp --silent /opt/jarvis/other/master.key "$DIR/safe" || fail "the master key is the old one"
cmp --silent /opt/jarvis/other/master.key.before-rekey-* "$DIR/safe" || fail "the old master key is not kept"
[ "$(known)" = "$before" ] || fail "other values after a rekey: $(known)"
stop_daemon
start_daemon
[ "$(known)" = "$before" ] || fail "other values under the new key: $(known)"

# Another data key: what opened the vault until now opens a copy from before, and no longer the vault.
cp /opt/jarvis/other/master.key "$DIR/earlier"
export JARVIS_SECRETSD_ADDR=$URL
from "$DIR" '### Another data key'
grep -q 'under a new data key' "$DIR/said" || fail "the new data key is not reported: $(cat "$DIR/said")"
[ "$(known)" = "$before" ] || fail "other values under a new data key: $(known)"
stop_daemon
! jarvis-secretsd key check "$DIR/earlier" 2>"$DIR/refused" || fail "the master key from before opens the vault"
start_daemon
[ "$(known)" = "$before" ] || fail "other values under a new data key, after a restart: $(known)"
stop_daemon
jarvis-secretsd audit verify /opt/jarvis/other/audit.jsonl >/dev/null
grep -q '"event":"restore"' /opt/jarvis/other/audit.jsonl || fail "the restore is not audited"
echo "all was destroyed, and every value came back elsewhere"

# count: how many backups there are.
count() { find /var/backups/jarvis-secretsd -type f -printf x | wc -c; }
# A line of cron.d is when, who and what, and cron's PATH is short.
eval "$(pasted docs/backup-and-keys.md '### Every night')"
read -r minute hour day month weekday user command </etc/cron.d/jarvis-secretsd
[ "$minute $hour $day $month $weekday $user" = "0 2 * * * root" ] || fail "cron would run it at another time, or as another"
env -i PATH=/usr/bin:/bin HOME=/root SHELL=/bin/sh /bin/sh -c "$command" >"$DIR/night" || fail "cron has made no backup"
[ "$(count)" = 1 ] || fail "$(count) backups after the first night"
echo "cron's line makes a backup"

script=${command%% *}
# Their names differ by the second.
another_second() { [ "$(date +%s)" != "$second" ]; }
for night in 2 3 4; do
    second=$(date +%s)
    await "a second has passed" another_second
    "$script" /var/backups/jarvis-secretsd 2 >"$DIR/night" || fail "no backup in night $night"
    touch /var/backups/jarvis-secretsd/notes
done
[ "$(count)" = 3 ] || fail "$(count) files instead of two backups and the notes"
kept=$(ls /var/backups/jarvis-secretsd)
second=$(date +%s)
await "a second has passed" another_second
sed -i '$s/[A-Z]/x/' /opt/jarvis/other/vault.json
! "$script" /var/backups/jarvis-secretsd 1 2>"$DIR/refused" || fail "a damaged vault was backed up"
grep -q 'damaged at line' "$DIR/refused" || fail "the reason is not reported: $(cat "$DIR/refused")"
[ "$(ls /var/backups/jarvis-secretsd)" = "$kept" ] || fail "good backups were removed"
echo "the last backups are kept, and a bad night costs none"
