#!/usr/bin/env bash
# The companions of contrib/key-sources under a real systemd, booted in a container, beside the daemon's shipped unit: set up as the
# handbook and the recipes say, with a token whose PIN the daemon never has. On this system, or, as 62-key-companions-debian-13.sh has
# it, on another.
source "$(dirname "$0")/lib.sh"
need curl jq make nsenter openssl systemd-nspawn
need_root

# systemd keeps the key of a host on no disk that is only memory, as /tmp may be.
export TMPDIR=/var/tmp
source tests/system/nspawn.sh
need "$SYSTEM/usr/bin/pkcs11-tool" "$SYSTEM/usr/bin/setpriv" "$SYSTEM/usr/bin/softhsm2-util"

fail() { fail_with_journal "$@"; }

# run COMMANDS: as root does it in a checkout of the source.
run() { inside env -i PATH="$PATH" HOME=/root bash -ec "cd /srv/source; $1"; }
# paste FILE HEADING [N]: the same of a block. What it prints is then in $DIR/said.
passphrase='correct horse battery staple'
paste() {
    run "jarvis-secretsd() { command jarvis-secretsd \"\$@\" <<<'$passphrase'; }
$(pasted "$@")" >"$DIR/said" 2>&1 || fail "$2: $(cat "$DIR/said")"
}
# serves_password: the value that was stored first.
serves_password() {
    run 'jarvis-secretsd get postgres_password' >"$DIR/value" 2>"$DIR/said" || fail "it is not served: $(cat "$DIR/said")"
    [ "$(cat "$DIR/value")" = "$password" ] || fail "another value"
}
restart() {
    inside systemctl reset-failed
    inside systemctl restart jarvis-secretsd || fail "it does not start again"
    serves_password
}
journal() { inside journalctl --no-pager --output=cat >"$DIR/journal"; }
# refused: how often the token has refused a PIN.
refused() { journal && grep -c 'C_Login failed: rv = CKR_PIN_INCORRECT' "$DIR/journal" || true; }
# a_wrong_pin_is_tried_twice FILE WORDS: by however many who start the daemon, and no more until FILE is removed. Then it says WORDS.
a_wrong_pin_is_tried_twice() {
    local pin=/etc/credstore.encrypted/jarvis-key.pin before attempt
    before=$(refused)
    run "mv $pin /root/pin; printf 0000 | systemd-creds --name=pin encrypt - $pin" 2>"$DIR/said" || fail "$(cat "$DIR/said")"
    for attempt in 1 2 3 4; do
        inside systemctl reset-failed
        ! inside systemctl restart jarvis-secretsd 2>/dev/null || fail "it starts with a wrong PIN"
        [ "$(inside systemctl show -P ExecMainStatus jarvis-secretsd)" = 78 ] || fail "attempt $attempt has failed otherwise"
    done
    [ "$(refused)" = $((before + 2)) ] || fail "the token was asked $(($(refused) - before)) times"
    grep -q -- "$2" "$DIR/journal" || fail "it does not say: $2"
    run "mv /root/pin $pin"
    inside systemctl reset-failed
    ! inside systemctl restart jarvis-secretsd 2>/dev/null || fail "it is tried again before anybody has looked"
    inside rm "$1"
    restart
}
# is_backed_up: by the unit, which opens what it has saved.
is_backed_up() {
    inside systemctl start jarvis-secretsd-backup || fail "no backup is made"
    journal
    grep -q '1 secrets, 1 versions, all opened' "$DIR/journal" || fail "the backup is not opened"
}

copy_source
# A stop that waits for a control group, of which systemd is not told in here that it is empty, is cut short.
sed -i "s/^WatchdogSec=30/&\nTimeoutStopSec=5/" "$DIR/source/contrib/systemd/jarvis-secretsd.service"
boot_with_source

recipes=contrib/key-sources/README.md
for block in 1 2; do paste docs/install/systemd.md '## The daemon as a service' "$block"; done
password=$(run 'jarvis-secretsd get postgres_password')
paste "$recipes" '## Companions under systemd'

# A credential, from a unit that unwraps it.
paste "$recipes" "### For the daemon's credential"
inside rm /etc/credstore.encrypted/jarvis-secretsd.master.key
serves_password
for _ in 1 2 3; do restart; done
is_backed_up
a_wrong_pin_is_tried_twice /var/lib/jarvis-key/failures '/var/lib/jarvis-key/failures: two, one after the other'
# Without the token.
inside mv /var/lib/jarvis-key/tokens /root/tokens
inside install -d -o jarvis-key -g jarvis-key -m 700 /var/lib/jarvis-key/tokens
inside systemctl reset-failed
! inside systemctl restart jarvis-secretsd 2>/dev/null || fail "it starts without the token"
journal
grep -q 'No slot with token named "jarvis" found' "$DIR/journal" || fail "the companion does not say why"
grep -q 'master.key: is empty, .*what was to put it there has failed' "$DIR/journal" || fail "the daemon does not say why"
inside sh -c 'rm -r /var/lib/jarvis-key/tokens /var/lib/jarvis-key/failures; mv /root/tokens /var/lib/jarvis-key/'
restart
echo "credential: it starts with the key that its companion unwraps, and a wrong PIN is tried twice"

# Filters, at two sockets.
paste "$recipes" "### For the daemon's filters"
paste "$recipes" "### For the daemon's filters" 2
grep -q 'is under a new master key' "$DIR/said" || fail "not put under another key: $(cat "$DIR/said")"
serves_password
keys=/var/lib/jarvis-secretsd/secrets
[ "$(inside stat -c %s:%a:%U $keys/master.key)" = "$(inside stat -c 384:600:%U $keys/vault.json)" ] || fail "$(inside ls -l $keys/)"
for _ in 1 2 3; do restart; done
inside touch /srv/source/reading
: >"$DIR/reads"
run 'while [ -e reading ]; do jarvis-secretsd get postgres_password >/dev/null && echo read; done' >>"$DIR/reads" 2>&1 &
reader=$!
has_read() { [ "$(wc -l <"$DIR/reads")" -gt "$1" ]; }
for _ in 1 2 3; do
    await "it is read" has_read "$(wc -l <"$DIR/reads")"
    run 'jarvis-secretsd rekey' >"$DIR/said" 2>&1 || fail "no rekey: $(cat "$DIR/said")"
done
await "it is read" has_read "$(wc -l <"$DIR/reads")"
inside rm /srv/source/reading
wait "$reader"
[ "$(sort -u "$DIR/reads")" = read ] || fail "a reader saw an error: $(sort "$DIR/reads" | uniq -c)"
restart
is_backed_up
run 'jarvis-secretsd key check' >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
grep -q 'unwrapped in [0-9]* ms by unix:/run/jarvis-key/unwrap' "$DIR/said" || fail "$(cat "$DIR/said")"
! inside setpriv --reuid=65534 --regid=65534 --clear-groups curl -sS --unix-socket /run/jarvis-key/unwrap http://localhost/ \
    >"$DIR/said" 2>&1 || fail "anybody may ask for the key"
grep -q 'connect\|Permission denied' "$DIR/said" || fail "refused otherwise: $(cat "$DIR/said")"
echo "filters: the key is nowhere in the clear, and three times another one at work, with no read that fails"
a_wrong_pin_is_tried_twice $keys/vault.json.unwrap-failures 'vault.json.unwrap-failures: .*failed 2 times in a row and is not tried'
inside systemctl stop jarvis-key-unwrap.socket
serves_password
! run 'jarvis-secretsd key check' 2>"$DIR/said" || fail "the key comes from somewhere else"
inside systemctl start jarvis-key-unwrap.socket
inside rm $keys/vault.json.unwrap-failures
restart
echo "filters: a wrong PIN is tried twice, and a daemon at work does not need its companion"

# It may be gone before it has answered.
inside systemctl poweroff || true
wait "$NSPAWN" || fail "the container ended with status $?"
NSPAWN=''
