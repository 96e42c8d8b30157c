#!/usr/bin/env bash
# Backup and restore as the README tells them: a daemon at work is saved, everything is destroyed, and every value comes back
# in another directory. Then a month of nights with contrib/backup-vault.sh.
#
# The README's paths are the system's, so this runs where nobody else sees what is mounted over them.
source "$(dirname "$0")/lib.sh"
need curl jq unshare
need_root
[ -n "${ALONE:-}" ] || ALONE=yes exec unshare --mount --propagation private tests/system/25-backup.sh

new_state
install -D "$BINARY" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH BINARY=$DIR/bin/jarvis-secretsd
for directory in /opt/jarvis /etc/jarvis-secretsd /var/backups; do
    mkdir -p "$directory"
    mount -t tmpfs none "$directory"
done
cp etc/policy.toml /etc/jarvis-secretsd/
sed -i '/^\[paths\]/,/^$/d; /rbac_policy_path/d' "$DIR/config.toml"
cp "$DIR/config.toml" /etc/jarvis-secretsd/

start_daemon
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
eval "$(pasted README.md '## Backup and restore')" >"$DIR/verified"
grep -q ': 3 secrets, 4 versions, all opened' "$DIR/verified" || fail "another content: $(cat "$DIR/verified")"
expect 200 admin POST /secret '{"name":"made_later","value":"v"}'
jarvis-secretsd backup verify /var/backups/secrets.tar >"$DIR/verified"
grep -qA1 'would lose 1 version$' "$DIR/verified" || fail "the loss is not told: $(cat "$DIR/verified")"
! jarvis-secretsd restore /var/backups/secrets.tar 2>"$DIR/refused" || fail "restored under a daemon at work"
stop_daemon

# Only the backup and, somewhere else, the master key are left.
install -m 600 /opt/jarvis/secrets/master.key "$DIR/safe"
rm -r /opt/jarvis/* /etc/jarvis-secretsd/policy.toml
cat >>/etc/jarvis-secretsd/config.toml <<'END'
[paths]
vault_path = "/opt/jarvis/other/vault.json"
audit_path = "/opt/jarvis/other/audit.jsonl"
master_key_path = "/opt/jarvis/other/master.key"
END
! jarvis-secretsd restore /var/backups/secrets.tar 2>"$DIR/refused" || fail "restored without the master key"
grep -q master.key "$DIR/refused" || fail "not told what is missing: $(cat "$DIR/refused")"
install -D -m 600 "$DIR/safe" /opt/jarvis/other/master.key
eval "$(pasted README.md '## Backup and restore' 2)" >"$DIR/restored"
cp /etc/jarvis-secretsd/config.toml "$DIR/config.toml"
start_daemon
[ "$(known)" = "$before" ] || fail "other values: $(known)"
expect 404 admin GET /secret/made_later
stop_daemon
jarvis-secretsd audit verify /opt/jarvis/other/audit.jsonl >/dev/null
grep -q '"event":"restore"' /opt/jarvis/other/audit.jsonl || fail "the restore is not audited"
echo "all was destroyed, and every value came back elsewhere"

# count: how many backups there are.
count() { find /var/backups/jarvis-secretsd -type f -printf x | wc -c; }
for night in 1 2 3 4; do
    second=$(date +%s)
    contrib/backup-vault.sh /var/backups/jarvis-secretsd 3 >"$DIR/night" || fail "no backup in night $night"
    touch /var/backups/jarvis-secretsd/notes
    # Their names differ by the second.
    until [ "$(date +%s)" != "$second" ]; do sleep 0.1; done
done
[ "$(count)" = 4 ] || fail "$(count) files instead of three backups and the notes"
kept=$(ls /var/backups/jarvis-secretsd)
sed -i '$s/[A-Z]/x/' /opt/jarvis/other/vault.json
! contrib/backup-vault.sh /var/backups/jarvis-secretsd 1 2>"$DIR/refused" || fail "a damaged vault was backed up"
grep -q 'damaged at line' "$DIR/refused" || fail "not told why: $(cat "$DIR/refused")"
[ "$(ls /var/backups/jarvis-secretsd)" = "$kept" ] || fail "good backups were removed"
echo "the last backups are kept, and a bad night costs none"
