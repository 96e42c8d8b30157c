#!/usr/bin/env bash
# The README from the installation to the backup: what is in it below the quick start, pasted in its order by root, in a
# container with systemd where nothing of it is there yet.
source "$(dirname "$0")/lib.sh"
need curl jq make nsenter openssl systemd-nspawn
need_root

# systemd keeps the key of a host on no disk that is only memory, as /tmp may be.
export TMPDIR=/var/tmp
source tests/system/nspawn.sh

fail() { fail_with_journal "$@"; }

copy_source
printf 'POSTGRES_PASSWORD="from .env"\nAPI_KEY=abc\n' >"$DIR/source/.env"
boot_with_source

# paste HEADING [N]: the README's block, in the checkout. What it prints is then in $DIR/said, and its messages in $DIR/noise.
paste() {
    inside env -i PATH="$PATH" HOME=/root sh -ec "cd /srv/source; $(pasted README.md "$@")" >"$DIR/said" 2>"$DIR/noise" ||
        fail "the README's commands below $1 fail: $(cat "$DIR/said" "$DIR/noise")"
}
# says WORDS: it has printed that.
says() { grep -qE -- "$1" "$DIR/said" || fail "not printed: $1, but: $(cat "$DIR/said" "$DIR/noise")"; }

paste '## Set it up for good'
paste '## Set it up for good' 2
says '^postgres_password: made '
says '^postgres_password +postgres_password-[0-9-]+ +manual '
! grep -i warning "$DIR/noise" >&2 || fail "what the README says is warned about"
echo "set up as the README says, it serves its administrator by the settings file"

paste '## Give a service its secret'
# get and the program print it, without a newline, and then comes the answer over HTTP.
password=$(tail -n 1 "$DIR/said" | jq -r .value)
[ "${#password}" = 32 ] || fail "no value is read: $(cat "$DIR/said")"
[ "$(head -n 1 "$DIR/said")" = "$password$password" ] || fail "not the same value in each way: $(cat "$DIR/said")"
[ "$(cat "$DIR/source/app.conf")" = "password = \"$password\"" ] || fail "the file has another: $(cat "$DIR/source/app.conf")"
grep -B 3 '^LoadCredential=' README.md | grep -qxF '[Service]' || fail "the README has no unit"
load=$(sed -n 's/^LoadCredential=//p' README.md)
# shellcheck disable=SC2016
unit=$(sed -n 's/.*(`systemd_unit = \["\([a-z]*\).service"\]`).*/\1/p' README.md)
inside sh -ec "sed -i 's/^\[clients.db\]/&\nsystemd_unit = [\"$unit.service\"]/' /etc/jarvis-secretsd/policy.toml
    systemctl reload jarvis-secretsd"
inside systemd-run --quiet --pipe --wait --unit="$unit.service" -p LoadCredential="$load" \
    sh -c "cat \"\$CREDENTIALS_DIRECTORY/postgres_password\"" >"$DIR/said" 2>"$DIR/noise" || fail "$(cat "$DIR/noise")"
[ "$(cat "$DIR/said")" = "$password" ] || fail "the unit has another value: $(cat "$DIR/said" "$DIR/noise")"
echo "a service gets its secret in each of the ways"

paste '## Move a .env file'
says '^imported: shop_postgres_password$'
says '^POSTGRES_PASSWORD=from \.env$'
says '^API_KEY=abc$'
paste '## Policy'
says '^shop may read shop_postgres_password: '
reads_as_shop() {
    inside jarvis-secretsd get shop_api_key --token-file /srv/source/tokens/shop >"$DIR/said" 2>"$DIR/noise"
}
await "the policy is in force" reads_as_shop
[ "$(cat "$DIR/said")" = abc ] || fail "the new client has another value: $(cat "$DIR/said")"
# What the README shows of a policy is one.
awk '/^```/ { inside = $0 == "```toml"; next } inside' README.md >"$DIR/source/shown.toml"
inside jarvis-secretsd policy check /srv/source/shown.toml >"$DIR/said" 2>&1 || fail "no policy: $(cat "$DIR/said")"
echo "a .env file is moved, and a new client may read what was in it"

paste '## Rotation'
says '^jwt_signing_key +auto '
says '^jwt_signing_key +rotated; '
says '^jwt_signing_key: made jwt_signing_key-[0-9-]+ with the value of jwt_signing_key-'
paste '## Backup and the master key' <<<'correct horse battery staple'
says '^secrets\.tar: .* verified$'
[ "$(stat -c %a "$DIR/source/master.key.txt")" = 600 ] || fail "others may read the exported key"
inside systemctl is-active --quiet jarvis-secretsd-backup.timer || fail "the timer does not run"
echo "it rotates, goes back, and is backed up, with its master key for the safe"

# It may be gone before it has answered.
inside systemctl poweroff || true
wait "$NSPAWN" || fail "the container ended with status $?"
NSPAWN=''
