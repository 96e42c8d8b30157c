# What the tests of the sources of the master key share: a host that has nothing else at the recipes' paths, the recipes of
# contrib/key-sources, and a daemon that uses them. To be sourced behind lib.sh, where nobody else sees what is mounted.
# shellcheck shell=bash

source tests/system/key-devices.sh
new_state
mkdir "$DIR/bin" "$DIR/work"
install -m 755 "$BINARY" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CLIENT=admin HOME=$DIR/work
for directory in /opt/jarvis /etc/jarvis-secretsd; do
    mkdir -p "$directory"
    mount -t tmpfs -o mode=755 none "$directory"
done
cp etc/policy.toml /etc/jarvis-secretsd/
end() { end_devices && clean_up; }
trap end EXIT

# configured HEADING [LINE...]: the daemon's configuration has that recipe, and these lines.
configured() {
    printf '[server]\nbind_addr = "127.0.0.1:0"\n\n' >"$DIR/config.toml"
    [ "$1" = none ] || recipe "$1" >>"$DIR/config.toml"
    grep -q '^unwrap = ' "$DIR/config.toml" || [ "$1" = none ] || fail "$RECIPES has no recipe below $1"
    printf '%s\n' "${@:2}" >>"$DIR/config.toml"
    cp "$DIR/config.toml" /etc/jarvis-secretsd/config.toml
}
# set_up HEADING [N...]: its blocks are run in a directory of their own, one behind the other.
set_up() {
    local number blocks=''
    for number in "${@:2}"; do blocks+=$(pasted "$RECIPES" "$1" "$number")$'\n'; done
    # A tool of the TPM as in the daemon's configuration.
    blocks=$(sed "s|^tpm2_|/etc/jarvis-secretsd/tpm &|; s|http://tang.example|$TANG|" <<<"$blocks")
    (cd "$DIR/work" && bash -euo pipefail -c "$blocks") >"$DIR/said" 2>"$DIR/noise" || fail "$1: $(cat "$DIR/said" "$DIR/noise")"
}
# says PATTERN COMMAND...: it succeeds and says so.
says() {
    "${@:2}" >"$DIR/said" 2>&1 || fail "${*:2}: $(cat "$DIR/said")"
    grep -q -- "$1" "$DIR/said" || fail "${*:2}: not '$1', but $(cat "$DIR/said")"
}
# refuses PATTERN COMMAND...: it fails and says why.
refuses() {
    ! "${@:2}" >"$DIR/said" 2>&1 || fail "${*:2}: was not refused"
    grep -q -- "$1" "$DIR/said" || fail "${*:2}: refused, but not for '$1': $(cat "$DIR/said")"
}
# starts_not PATTERN [STATUS]: a start fails for that reason; mostly it would again (78).
starts_not() {
    local status=0
    "$BINARY" --config "$DIR/config.toml" >"$DIR/said" 2>&1 || status=$?
    [ "$status" = "${2:-78}" ] || fail "it ended with status $status: $(cat "$DIR/said")"
    grep -q -- "$1" "$DIR/said" || fail "it failed, but not for '$1': $(cat "$DIR/said")"
}
key=/opt/jarvis/secrets/master.key
start() {
    start_daemon
    export JARVIS_SECRETSD_ADDR=$URL
}
# holds VALUE: the daemon at work gives out that value.
holds() {
    expect 200 admin GET /secret/probe
    [ "$(jq -r .value "$DIR/answer")" = "$1" ] || fail "it holds another value: $(cat "$DIR/answer")"
}

# reading: reads all the time, and notes in $DIR/reads how each read ended, for as long as there is $DIR/reading.
reading() {
    while [ -e "$DIR/reading" ]; do
        curl -sS -o "$DIR/read" -w '%{http_code}\n' -H 'X-Jarvis-Client: admin' "$URL/secret/probe" >>"$DIR/reads" 2>&1 || true
    done
}
# has_read COUNT: there were more reads than that.
has_read() { [ "$(wc -l <"$DIR/reads")" -gt "$1" ]; }
# while_read COMMAND...: it succeeds while somebody reads, who sees nothing of it.
while_read() {
    local reader
    touch "$DIR/reading"
    : >"$DIR/reads"
    reading &
    reader=$!
    await "somebody reads" has_read 3
    "$@"
    await "it is still read" has_read "$(wc -l <"$DIR/reads")"
    rm "$DIR/reading"
    wait "$reader"
    [ "$(sort -u "$DIR/reads")" = 200 ] || fail "$*: a reader saw an error: $(sort "$DIR/reads" | uniq -c)"
}
