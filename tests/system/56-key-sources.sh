#!/usr/bin/env bash
# The recipes of contrib/key-sources on a host: what is pasted from there sets each source up, and a real daemon begins with it, starts
# again, reads, and gets another master key at work; what it says when the device is away; and the ways back.
#
# The recipes' paths are the system's, so this runs where nobody else sees what is mounted over them.
source "$(dirname "$0")/lib.sh"
need age age-keygen clevis curl gpg gpgconf ip jose jq openssl pkcs11-tool pgrep python3 socat softhsm2-util swtpm systemd-creds \
    /usr/libexec/tangd tpm2_flushcontext tpm2_rsadecrypt unshare
need_root
[ -n "${ALONE:-}" ] || ALONE=yes exec unshare --mount --net --propagation private tests/system/56-key-sources.sh
ip link set lo up

source tests/system/key-sources.sh

# serves NAME: from a vault that this source's key opens first, over restarts and another master key.
serves() {
    local before
    rm -rf /opt/jarvis/secrets /opt/jarvis/audit
    start
    expect 200 admin POST /secret "{\"name\":\"probe\",\"value\":\"of $1\"}"
    stop_daemon
    [ "$(stat -c %s:%a "$key")" != 32:600 ] && [ "$(stat -c %a "$key")" = 600 ] || fail "$1: its file is $(stat -c %s:%a "$key")"
    start
    grep -q 'Unwrapped the master key in [0-9]* ms' "$DIR/log" || fail "$1: it says no such thing"
    holds "of $1"
    before=$(sha256sum "$key")
    while_read says 'is under a new master key' jarvis-secretsd rekey
    [ "$(sha256sum "$key")" != "$before" ] || fail "$1: the wrapped key is the same"
    rm "$key".before-rekey-*
    stop_daemon
    start
    holds "of $1"
    stop_daemon
    says "opens the vault .* unwrapped in [0-9]* ms by" jarvis-secretsd key check
    grep -q ', master key unwrapped by /' /opt/jarvis/audit/audit.jsonl || fail "$1: the audit log does not say by what"
    echo "$1: first start, restart, and another master key at work (the wrapped key has $(stat -c %s "$key") bytes)"
}
# comes_back NAME: after what kept it from that, it starts and reads.
comes_back() {
    start
    holds "of $1"
    stop_daemon
}
# escrow FILE: the master key as text, sealed by a passphrase.
passphrase='correct horse battery staple'
escrow() {
    rm -f "$1"
    jarvis-secretsd key export --output "$1" <<<"$passphrase" 2>"$DIR/said" || fail "no export: $(cat "$DIR/said")"
}
# moves_to HEADING [LINE...]: the key, out of that text, to another source, as when the one before is lost.
moves_to() {
    mv "$key" "$key.lost"
    configured "$@"
    jarvis-secretsd key import "$DIR/escrow.txt" <<<"$passphrase" >"$DIR/said" 2>&1 || fail "$1: no import: $(cat "$DIR/said")"
}

# age: two identities, either of which opens it.
set_up '## age' 1
configured '## age'
serves age
mv /etc/jarvis-secretsd/host.age "$DIR/host.age"
starts_not '\[master_key\] unwrap: exit status 1: .*host\.age'
refuses 'host\.age' jarvis-secretsd key check
# Another host: a copy of the state, in which the key is wrapped, and the other identity.
cp -r /opt/jarvis "$DIR/copied"
mv "$DIR/copied" /opt/jarvis/other
install -m 600 "$DIR/work/escrow.age" /etc/jarvis-secretsd/
configured '## age' '[paths]' 'state_dir = "/opt/jarvis/other"'
sed -i 's|/host\.age|/escrow.age|' "$DIR/config.toml"
comes_back age
rm -r /opt/jarvis/other /etc/jarvis-secretsd/escrow.age
mv "$DIR/host.age" /etc/jarvis-secretsd/
configured '## age'
comes_back age
escrow "$DIR/escrow.txt"
says 'opens the vault' jarvis-secretsd key check "$DIR/escrow.txt" <<<"$passphrase"
echo "age: without the host's identity it does not start; with the other one it does, on another host"

# A token by PKCS#11. First the vault from before, as if the identity were lost; then one of its own.
set_up '## PKCS#11' 1 2
moves_to '## PKCS#11'
comes_back age
serves pkcs11
mv /etc/jarvis-secretsd/tokens "$DIR/tokens"
mkdir /etc/jarvis-secretsd/tokens
starts_not '\[master_key\] unwrap: exit status 1: .*No slot with token named "jarvis" found'
rm -r /etc/jarvis-secretsd/tokens
mv "$DIR/tokens" /etc/jarvis-secretsd/
comes_back pkcs11
[ ! -e /opt/jarvis/secrets/vault.json.unwrap-failures ] || fail "what has succeeded is still counted"
echo "pkcs11: a master key comes there by its text; without the token the daemon does not start, and says so"
cp -p /etc/jarvis-secretsd/pin "$DIR/pin"
echo 0000 >/etc/jarvis-secretsd/pin
starts_not 'CKR_PIN_INCORRECT'
guide 'The master key is not unwrapped' "$DIR/said"
refuses 'CKR_PIN_INCORRECT' jarvis-secretsd key check
cp "$DIR/pin" /etc/jarvis-secretsd/pin
starts_not 'vault.json.unwrap-failures: .*has failed 2 times in a row and is not tried again'
guide 'The master key is not tried again' "$DIR/said"
says 'configuration' jarvis-secretsd check
rm /opt/jarvis/secrets/vault.json.unwrap-failures
comes_back pkcs11
! grep -rqF "$(cat "$DIR/pin")" "$DIR/log" "$DIR/logs" /opt/jarvis || fail "the PIN was written down"
echo "pkcs11: a wrong PIN is tried twice, over restarts, and the right one only after somebody has looked"

# gpg: two keys.
set_up '## gpg' 1
configured '## gpg'
serves gpg
[ -z "$(pgrep -f -- "--homedir /opt/jarvis/gnupg .*--daemon")" ] || fail "an agent of gpg is left"
install -d -m 700 "$DIR/elsewhere"
gpg --homedir "$DIR/elsewhere" --batch --quiet --import "$DIR/work/escrow.asc"
gpg --homedir "$DIR/elsewhere" --batch --quiet --decrypt "$key" >"$DIR/opened" 2>"$DIR/said" || fail "$(cat "$DIR/said")"
gpgconf --homedir "$DIR/elsewhere" --kill gpg-agent
[ "$(stat -c %s "$DIR/opened")" = 32 ] || fail "no key comes out by the second one"
mv /opt/jarvis/gnupg "$DIR/gnupg"
starts_not '\[master_key\] unwrap: exit status 2: '
mv "$DIR/gnupg" /opt/jarvis/gnupg
# In the clear again, on another host: no gpg is there.
mv "$key" "$key.lost"
install -m 600 "$DIR/opened" "$key"
configured none
comes_back gpg
echo "gpg: with the second key it is opened elsewhere"

# A TPM.
tpm_script >/etc/jarvis-secretsd/tpm
chmod 755 /etc/jarvis-secretsd/tpm
start_tpm
set_up '## TPM 2.0, a key in the TPM' 1
configured '## TPM 2.0, a key in the TPM'
serves tpm2
stop_tpm
starts_not '\[master_key\] unwrap: exit status 1: '
start_tpm
comes_back tpm2
escrow "$DIR/escrow.txt"
moves_to '## TPM 2.0 by systemd-creds'
comes_back tpm2
echo "tpm2: the key outlasts a boot, and moves to systemd-creds by its text"

serves systemd-creds
boots otherwise
starts_not '\[master_key\] unwrap: exit status 1: .*TPM'
stop_tpm
start_tpm
comes_back systemd-creds
echo "systemd-creds: a host that has booted otherwise does not open it"

# Clevis.
# once [SECONDS]: a start asks once, and no longer than that.
once() { sed -i "/^timeout_secs = /d; s/^retry_secs = .*/retry_secs = 0/; /^retry_secs = /a timeout_secs = ${1:-120}" "$DIR/config.toml"; }
start_tang
set_up '## Clevis with tang' 1
THUMBPRINT=$(cat "$DIR/said")
[ "$THUMBPRINT" = "$(jose jwk thp -i "$DIR/tang/sign.jwk" -a S256)" ] || fail "another thumbprint: $THUMBPRINT"
configured '## Clevis with tang'
serves clevis-tang
stop_tang
once
starts_not '\[master_key\] unwrap: exit status 1: .*Error communicating with server http://127.0.0.1:24380'
start_tang -u "$TANG_PORT" OPEN:/dev/null
once 2
starts_not '\[master_key\] unwrap: took longer than timeout_secs'
stop_tang
# A start that waits: until it is told to end, and until tang is there.
configured '## Clevis with tang'
# waits: is started, and waits for the key.
waits() {
    : >"$DIR/log"
    RUST_LOG=info "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log" &
    PID=$!
    await "it waits" grep -q 'Waiting for the master key: .*Error communicating' "$DIR/log"
}
waits
kill -TERM "$PID"
status=0
wait "$PID" || status=$?
[ "$status" = 143 ] || fail "told to end, it ended with status $status"
waits
start_tang
await "it has started" has_started
holds "of clevis-tang"
stop_daemon
echo "clevis with tang: down, silent, and later than the daemon"

configured '## Clevis with TPM and tang'
serves clevis-sss
stop_tang
once
comes_back clevis-sss
boots otherwise
starts_not '\[master_key\] unwrap: exit status 1: '
start_tang
comes_back clevis-sss
stop_tang
stop_tpm
echo "clevis with TPM and tang: either is enough, and none of them is not"

# A KMS.
set_up '## A KMS over HTTP' 1
start_kms
configured '## A KMS over HTTP'
serves kms
once
kms broken
starts_not '\[master_key\] unwrap: exit status 22: curl: (22) The requested URL returned error: 500'
kms cut
starts_not '\[master_key\] unwrap: exit status 18: '
kms silent
once 2
starts_not '\[master_key\] unwrap: took longer than timeout_secs'
once
kms works
cp -p /etc/jarvis-secretsd/kms.curl "$DIR/kms.curl"
sed -i 's/token-of/other-token-of/' /etc/jarvis-secretsd/kms.curl
starts_not 'returned error: 403'
cp -p "$DIR/kms.curl" /etc/jarvis-secretsd/kms.curl
comes_back kms
kill "$KMS"
starts_not '\[master_key\] unwrap: exit status 7: '
! grep -rqF "$KMS_TOKEN" "$DIR/log" "$DIR/logs" "$DIR/said" /opt/jarvis || fail "the token was written down"
echo "a KMS: broken, cut off, silent, refusing, and down"
