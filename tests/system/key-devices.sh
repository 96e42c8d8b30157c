# What the recipes of contrib/key-sources need and a test has no other way: a TPM, a tang server and a KMS, which are processes at
# ports of a loopback device. To be sourced behind lib.sh.
# shellcheck shell=bash

RECIPES=contrib/key-sources/README.md
TANG=http://127.0.0.1:24380 THUMBPRINT='' TPM=swtpm:host=127.0.0.1,port=24321
export KMS_TOKEN=token-of-this-host
# Commands that run what follows them where the daemon is: in its network, and with its files too.
IN_NETWORK=() INSIDE=()
STOOD_IN=()
end_devices() { [ "${#STOOD_IN[@]}" = 0 ] || { kill -KILL "${STOOD_IN[@]}" && wait "${STOOD_IN[@]}" || true; } 2>/dev/null; }

# recipe HEADING: the section [master_key] that stands below it, with what stands in for a device.
recipe() {
    local asked='"/etc/jarvis-secretsd/tpm", '
    awk -v heading="$1" '
        /^```/ { inside = below && $0 == "```toml" && !done; done = done || (below && $0 == "```" && any); next }
        /^#+ / { below = $0 == heading }
        inside { print; any = 1 }' "$RECIPES" |
        sed "s|http://tang.example|$TANG|; s|THUMBPRINT|$THUMBPRINT|; s|https://kms.example|http://127.0.0.1:24390|
            s|device:/dev/tpmrm0|$TPM|; s#\"/usr/bin/\\(systemd-creds\\|clevis\\|tpm2_rsadecrypt\\)\"#$asked\"\\1\"#"
}

# tpm_script: what has /dev/tpmrm0's part. That shares itself among processes; this TPM is asked by one at a time, with nothing left
# of those before.
tpm_script() {
    cat <<ASKED
#!/bin/sh
exec 9<"\$0"
flock 9
export TPM2TOOLS_TCTI=$TPM SYSTEMD_TPM2_DEVICE=$TPM
for left in --transient-object --loaded-session --saved-session; do tpm2_flushcontext \$left || exit; done
exec "\$@"
ASKED
}
tpm() { "${INSIDE[@]}" /etc/jarvis-secretsd/tpm "$@" >"$DIR/tpm.log" 2>&1; }
# boots HOW: what the firmware tells the TPM of how it has booted.
boots() { tpm tpm2_pcrextend "7:sha256=$(sha256sum <<<"$1" | cut -d ' ' -f 1)" || fail "$(cat "$DIR/tpm.log")"; }
# start_tpm: as when the host boots.
start_tpm() {
    mkdir -p "$DIR/tpm"
    "${IN_NETWORK[@]}" swtpm socket --tpm2 --tpmstate dir="$DIR/tpm" --flags not-need-init,startup-clear \
        --server type=tcp,bindaddr=127.0.0.1,port=24321,disconnect --ctrl type=tcp,bindaddr=127.0.0.1,port=24322 >"$DIR/swtpm.log" 2>&1 &
    SWTPM=$!
    STOOD_IN+=("$SWTPM")
    await "the TPM answers" tpm tpm2_getcap properties-fixed
    boots secure
}
stop_tpm() { kill "$SWTPM" && { wait "$SWTPM" || true; }; }

TANG_PORT=TCP-LISTEN:24380,bind=127.0.0.1,reuseaddr,fork
is_listening() { "${IN_NETWORK[@]}" socat -u OPEN:/dev/null TCP:127.0.0.1:24380 2>/dev/null; }
# start_tang ARGUMENT...: tang, or, as these of socat's say, another at its port.
start_tang() {
    if [ ! -d "$DIR/tang" ]; then
        mkdir "$DIR/tang"
        jose jwk gen -i '{"alg":"ES512"}' -o "$DIR/tang/sign.jwk"
        jose jwk gen -i '{"alg":"ECMR"}' -o "$DIR/tang/exchange.jwk"
    fi
    [ "$#" -gt 0 ] || set -- "$TANG_PORT" "EXEC:/usr/libexec/tangd $DIR/tang"
    "${IN_NETWORK[@]}" socat "$@" 2>"$DIR/tang.log" &
    SOCAT=$!
    STOOD_IN+=("$SOCAT")
    await "tang listens" is_listening
}
stop_tang() { kill "$SOCAT" && { wait "$SOCAT" || true; }; }

# kms MODE: how it behaves from now on.
kms() { echo "$1" >"$DIR/kms.mode"; }
start_kms() {
    kms works
    : >"$DIR/kms.log"
    "${IN_NETWORK[@]}" python3 tests/system/kms.py "$DIR/kms.mode" >"$DIR/kms.log" 2>&1 &
    KMS=$!
    STOOD_IN+=("$KMS")
    await "the KMS listens" grep -q listening "$DIR/kms.log"
}
