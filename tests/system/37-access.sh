#!/usr/bin/env bash
# The handbook's commands about configuration, policy, tokens and the Unix socket do what they say, as they are pasted.
source "$(dirname "$0")/lib.sh"
need curl jq

new_state
sed -i "s|^\[paths\]|unix_socket = \"$DIR/sock\"\n\n&|" "$DIR/config.toml"
mkdir "$DIR/bin"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CONFIG=$DIR/config.toml
top=$PWD
# paste PAGE HEADING [N]: runs a block in $DIR, with the paths and the port of this daemon. What it prints is in $DIR/out and
# $DIR/err, how it ends in $status.
paste() {
    local block
    block=$(pasted "$top/docs/$1" "${@:2}")
    block=${block//http:\/\/127.0.0.1:8081/$URL}
    block=${block//\/run\/jarvis-secretsd/$DIR}
    block=${block//\/etc\/jarvis-secretsd/$DIR}
    block=${block//\/opt\/jarvis/$DIR}
    status=0
    (cd "$DIR" && bash -euo pipefail -c "$block") >"$DIR/out" 2>"$DIR/err" || status=$?
}
# ends STATUS WORDS: the block has ended so, and printed this.
ends() {
    [ "$status" = "$1" ] || fail "status $status: $(cat "$DIR/out" "$DIR/err")"
    grep -qF -- "$2" "$DIR/out" "$DIR/err" || fail "it is not said: $2: $(cat "$DIR/out" "$DIR/err")"
}

paste configuration.md '# Configuration'
ends 0 "configuration $DIR/config.toml: good"

# The entry that is printed, with what the client may read.
paste access.md '# Access'
ends 0 'token_sha256 = ["'
{
    echo 'default_deny = true'
    sed 's/^\[clients.backend\]$/&\nallow = ["jwt_signing_key", "brave_*"]/' "$DIR/out"
    printf '[clients.local]\nallow = ["jwt_signing_key"]\nunix_uid = [%s]\n[clients.admin]\nallow = ["*"]\n' "$(id -u)"
} >"$DIR/policy.toml"
paste access.md '# Access' 2
ends 0 'good, 3 client rules'

start_daemon
for name in jwt_signing_key brave_api_key; do
    expect 200 admin POST /secret "{\"name\":\"$name\",\"value\":\"value of $name\"}"
done
paste access.md '# Access' 3
ends 0 '"value":"value of jwt_signing_key"'
paste access.md '## Unix socket'
ends 0 '"value":"value of jwt_signing_key"'

paste access.md '### Before a policy takes effect'
ends 0 'backend may read brave_api_key: [clients.backend] allows brave_*'
ends 0 'backend may not change brave_api_key: [clients.backend] is not an administrator'
sed '/^allow = \["jwt_signing_key", "brave_\*"\]$/d' "$DIR/policy.toml" >"$DIR/new.toml"
paste access.md '### Before a policy takes effect' 2
ends 1 'of 4 accesses 1 would have been lost and 0 gained'
grep -q '^loses  backend  read  jwt_signing_key ' "$DIR/out" || fail "what is lost is not reported: $(cat "$DIR/out")"
stop_daemon
echo "the handbook's commands about access and configuration work"
