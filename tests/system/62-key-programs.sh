#!/usr/bin/env bash
# The recipes of contrib/key-sources that are programs, under the shipped unit of a real systemd, booted in a container: the master key
# goes from one to the next by its copy for the safe, and each time the daemon starts, is read, gets another key at work, and starts
# again. What a program needs and the disk must not show, systemd hands over.
source "$(dirname "$0")/lib.sh"
need age age-keygen clevis curl gpg jose jq make nsenter openssl pkcs11-tool python3 socat softhsm2-util swtpm systemd-nspawn \
    /usr/libexec/tangd tpm2_flushcontext tpm2_rsadecrypt
need_root

# systemd keeps the key of a host on no disk that is only memory, as /tmp may be.
export TMPDIR=/var/tmp
source tests/system/nspawn.sh
source tests/system/key-devices.sh
trap 'end_devices; end' EXIT

fail() { fail_with_journal "$@"; }

passphrase='correct horse battery staple'
# run COMMANDS: as root does it, who knows the passphrase, in a checkout of the source.
run() {
    inside env -i PATH="$PATH" HOME=/root KMS_TOKEN="$KMS_TOKEN" bash -euo pipefail -c "cd /srv/source
        jarvis-secretsd() { command jarvis-secretsd \"\$@\" <<<'$passphrase'; }
        $1" >"$DIR/said" 2>"$DIR/noise" || fail "$1: $(cat "$DIR/said" "$DIR/noise")"
}
# There, the state is where the unit has it, and what systemd hands over where it does that.
there() {
    sed "s#/opt/jarvis#/var/lib/jarvis-secretsd#g; s#/etc/jarvis-secretsd/tokens#/var/lib/jarvis-secretsd/tokens#g
        ${1:+s#/etc/jarvis-secretsd/\\(host.age\\|kms.curl\\|pin\\)#/run/credentials/jarvis-secretsd.service/\\1#g}"
}
# set_up HEADING [N...]: its blocks.
set_up() {
    local number blocks=''
    for number in "${@:2}"; do blocks+=$(pasted "$RECIPES" "$1" "$number")$'\n'; done
    run "$(there <<<"$blocks" | sed "s|^tpm2_|/etc/jarvis-secretsd/tpm &|; s|http://tang.example|$TANG|")"
}
restart() {
    inside systemctl reset-failed
    inside systemctl restart jarvis-secretsd || fail "$1: it does not start"
    run 'jarvis-secretsd get postgres_password'
    [ "$(cat "$DIR/said")" = "$password" ] || fail "$1: another value"
}
# hands_over NAME: the unit, from now on.
hands_over() {
    run "systemd-creds --name=$1 encrypt /etc/jarvis-secretsd/$1 /etc/credstore.encrypted/$1 && rm /etc/jarvis-secretsd/$1
        echo 'LoadCredentialEncrypted=$1:/etc/credstore.encrypted/$1' >>/etc/systemd/system/jarvis-secretsd.service.d/key-source.conf
        systemctl daemon-reload"
    restart "$1"
}
key=/var/lib/jarvis-secretsd/secrets/master.key
# works HEADING: the key goes there.
works() {
    local by
    { cat "$DIR/base.toml" && recipe "$1" | there handed; } >"$DIR/source/config.toml"
    run "rm -f key.txt && jarvis-secretsd key export ${FROM:-} --output key.txt
        [ ! -e $key ] || mv $key /root/$RANDOM.key
        cp config.toml /etc/jarvis-secretsd/ && jarvis-secretsd key import key.txt"
    FROM=''
    restart "$1"
    run 'jarvis-secretsd rekey'
    grep -q 'is under a new master key' "$DIR/said" "$DIR/noise" || fail "$1: $(cat "$DIR/said" "$DIR/noise")"
    run "rm $key.before-rekey-*"
    restart "$1"
    run 'jarvis-secretsd key check'
    by=$(grep -o 'unwrapped in .*' "$DIR/said") || fail "$1: $(cat "$DIR/said")"
    echo "${1#\#\# }: $by"
}

copy_source
# A stop that waits for a control group, of which systemd is not told in here that it is empty, is cut short.
sed -i "s/^WatchdogSec=30/&\nTimeoutStopSec=5/" "$DIR/source/contrib/systemd/jarvis-secretsd.service"
boot_with_source
IN_NETWORK=(nsenter --target "$INIT" --net --) INSIDE=(nsenter --target "$INIT" --all --)

for block in 1 2; do run "$(pasted docs/install/systemd.md '## The daemon as a service' "$block")"; done
run 'jarvis-secretsd get postgres_password'
password=$(cat "$DIR/said")
inside cat /etc/jarvis-secretsd/config.toml | sed "s|^master_key_path = .*|master_key_path = \"$key\"|" >"$DIR/base.toml"
tpm_script >"$DIR/source/tpm"
run 'install -m 755 tpm /etc/jarvis-secretsd/tpm
    install -D -m 644 contrib/key-sources/key-source.conf /etc/systemd/system/jarvis-secretsd.service.d/key-source.conf
    systemctl daemon-reload'

FROM='--master-key master.key'
start_tpm
set_up '## TPM 2.0, a key in the TPM' 1
works '## TPM 2.0, a key in the TPM'

set_up '## age' 1
hands_over host.age
works '## age'

set_up '## PKCS#11' 1 2
run 'chown -R --reference=/var/lib/jarvis-secretsd/secrets /var/lib/jarvis-secretsd/tokens'
hands_over pin
works '## PKCS#11'

set_up '## gpg' 1
run 'chown -R --reference=/var/lib/jarvis-secretsd/secrets /var/lib/jarvis-secretsd/gnupg'
works '## gpg'

start_kms
set_up '## A KMS over HTTP' 1
hands_over kms.curl
works '## A KMS over HTTP'

start_tang
set_up '## Clevis with tang' 1
THUMBPRINT=$(cat "$DIR/said")
works '## Clevis with tang'
works '## Clevis with TPM and tang'

# From systemd 256 on, that is root's alone.
if [ "$(inside systemctl --version | awk 'NR == 1 { print $2 }')" -lt 256 ]; then
    works '## TPM 2.0 by systemd-creds'
fi

# It may be gone before it has answered.
inside systemctl poweroff || true
wait "$NSPAWN" || fail "the container ended with status $?"
NSPAWN=''
