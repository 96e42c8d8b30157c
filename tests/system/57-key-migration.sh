#!/usr/bin/env bash
# docs/master-key.md, pasted: a daemon at work moves from a key file into a token, the token is lost, and the key goes back into a file;
# and what opens the vault after each step, and what no longer does.
source "$(dirname "$0")/lib.sh"
need age age-keygen curl jq openssl pkcs11-tool python3 softhsm2-util unshare
need_root
[ -n "${ALONE:-}" ] || ALONE=yes exec unshare --mount --propagation private tests/system/57-key-migration.sh

source tests/system/key-sources.sh
page=docs/master-key.md

# paste HEADING [N]: what the page says, typed by somebody who knows the passphrase.
passphrase='correct horse battery staple'
paste() {
    local block
    block=$(pasted "$page" "$@")
    (cd "$DIR/work" && passphrase=$passphrase bash -euo pipefail -c "jarvis-secretsd() { command jarvis-secretsd \"\$@\" <<<\"\$passphrase\"; }
$block") >"$DIR/said" 2>&1 || fail "$1: $(cat "$DIR/said")"
}
# pastes PATTERN HEADING [N]: the same, which says that.
pastes() {
    paste "${@:2}"
    grep -q -- "$1" "$DIR/said" || fail "$2: not '$1', but $(cat "$DIR/said")"
}
# opens PATTERN FILE: what key check says of a copy of the key. A failure is one of the things that it may say.
opens() {
    jarvis-secretsd key check "$2" <<<"$passphrase" >"$DIR/said" 2>&1 || true
    grep -q -- "$1" "$DIR/said" || fail "key check $2: not '$1', but $(cat "$DIR/said")"
}
# is_in_the_clear FILE: the bytes of that key are somewhere in the state.
is_in_the_clear() {
    python3 - "$1" <<'FIND'
import pathlib, sys
key = pathlib.Path(sys.argv[1]).read_bytes()
sys.exit(not any(key in it.read_bytes() for it in pathlib.Path("/opt/jarvis").rglob("*") if it.is_file()))
FIND
}
restart() {
    stop_daemon
    start
    holds "of always"
}

configured none
start
expect 200 admin POST /secret '{"name":"probe","value":"of always"}'
cp "$key" "$DIR/first.key"
chmod 600 "$DIR/first.key"
is_in_the_clear "$DIR/first.key" || fail "the key file is not seen"

# There. Between the new section and the wrapped key, nothing starts, and nothing is changed.
section='## From a key file to a device'
while_read pastes 'master.key.txt: opens the vault' "$section"
set_up '## PKCS#11' 1 2
configured '## PKCS#11'
refuses 'is a key in the clear' jarvis-secretsd key check
stop_daemon
starts_not 'master.key: is a key in the clear, and \[master_key\] says that it is wrapped'
guide 'The master key is in the clear' "$DIR/said"
cmp --silent "$key" "$DIR/first.key" || fail "a start that is refused has changed the key"
configured none
start
configured '## PKCS#11'
while_read pastes 'opens the vault .*, unwrapped in [0-9]* ms by /bin/sh' "$section" 2
! is_in_the_clear "$DIR/first.key" || fail "the key is still there in the clear"
opens 'opens the vault' "$DIR/first.key"
restart
head -n 1 /opt/jarvis/secrets/vault.json >"$DIR/first.header"
while_read pastes 'is under a new master key' "$section" 3
opens 'does not open the vault' "$DIR/first.key"
opens 'does not open the vault' "$DIR/work/master.key.txt"
opens 'master.key-2.txt: opens the vault' "$DIR/work/master.key-2.txt"
restart
# The old key with the old header, before the records of today.
stop_daemon
mkdir -p -m 700 /opt/jarvis/thief/secrets
cat "$DIR/first.header" <(tail -n +2 /opt/jarvis/secrets/vault.json) >/opt/jarvis/thief/secrets/vault.json
chmod 600 /opt/jarvis/thief/secrets/vault.json
cp "$DIR/first.key" /opt/jarvis/thief/secrets/master.key
configured none '[paths]' 'state_dir = "/opt/jarvis/thief"'
starts_not 'vault.json: damaged at line 2: record 2 was changed' 1
rm -r /opt/jarvis/thief
configured '## PKCS#11'
start
echo "from a file into a token, with one restart: the old key and its copy open nothing, and the new copy does"

# The token is lost. The daemon at work serves on, and the copy goes to another source.
mv /etc/jarvis-secretsd/tokens "$DIR/tokens"
holds "of always"
refuses 'CKR_\|No slot' jarvis-secretsd rekey
rm /opt/jarvis/secrets/vault.json.unwrap-failures
set_up '## age' 1
configured '## age'
while_read pastes 'opens the vault .*, unwrapped in [0-9]* ms by /usr/bin/age' '## The device is lost'
restart
pastes 'master.key-2.txt: opens the vault' '## The drill'
echo "a copy of the key, put under another device: no value is lost"

# Back.
while_read pastes 'holds the key in the clear' '## Back to a key file'
[ "$(stat -c %s:%a "$key")" = 32:600 ] || fail "the key file is $(stat -c %s:%a "$key")"
cp -p "$key" "$DIR/second.key"
stop_daemon
starts_not 'is a key in the clear'
configured none
start
holds "of always"
while_read pastes 'is under a new master key' '## Back to a key file' 2
opens 'does not open the vault' "$DIR/second.key"
restart
stop_daemon
echo "and back into a file"
