#!/usr/bin/env bash
# The programs of contrib/examples, all at the same time against one daemon: they read, notice a rotation, bear a full disk
# and a daemon that is gone for a while, end when they may not read, and never print a value.
source "$(dirname "$0")/lib.sh"
python=/usr/local/lib/jarvis-test-tools/requests/bin/python
need cargo curl go jq node python3 "$python"
need_root

new_state
mkdir -m 700 "$DIR/audit"
running=()
end() {
    [ "${#running[@]}" = 0 ] || kill "${running[@]}" 2>/dev/null || true
    umount --lazy "$DIR/audit"
    clean_up
}
trap end EXIT
mount -t tmpfs -o size=256k,mode=0700 jarvis-secretsd-test "$DIR/audit"

GO111MODULE=off GOCACHE=$DIR/go go build -o "$DIR/read_secret_go" contrib/examples/read_secret.go
cargo build --locked --quiet --example read_secret
examples=contrib/examples
declare -A programs=(
    [shell]="sh $examples/read_secret.sh"
    [python]="$python $examples/read_secret.py"
    [node]="node $examples/read_secret.mjs"
    [go]="$DIR/read_secret_go"
    [rust]="${CARGO_TARGET_DIR:-target}/debug/examples/read_secret"
)

# client NAME: a policy entry with a fresh token, which is then in $token.
client() {
    local printed
    printed=$("$BINARY" token "$1" 2>/dev/null)
    token=${printed%%$'\n'*}
    printf '[clients.%s]\nallow = ["postgres_*"]\n%s\n' "$1" "${printed#*$'\n'}" >>"$DIR/policy.toml"
}
client app
# The port stays when the daemon is started again.
start_daemon
sed -i "s/127.0.0.1:0/${URL#http://}/" "$DIR/config.toml"
expect 200 admin POST /secret '{"name":"postgres_password","generate":true}'
export JARVIS_SECRETSD_ADDR=$URL JARVIS_SECRETSD_CLIENT=app JARVIS_SECRETSD_TOKEN=$token

# all_print FILE WORDS: whether what every program has written there holds the words.
all_print() { [ "$(grep -lF -- "$2" "$DIR"/*."$1" | wc -l)" = "${#programs[@]}" ]; }
kid() { jq -r .kid "$DIR/answer"; }

for language in "${!programs[@]}"; do
    # A client that may not, or is not authenticated, prints that and ends.
    # shellcheck disable=SC2086
    ! ${programs[$language]} redis_password 1 >"$DIR/refused" 2>&1 || fail "$language: has read what it may not"
    grep -q not_authorized "$DIR/refused" || fail "$language: $(cat "$DIR/refused")"
    # shellcheck disable=SC2086
    ! JARVIS_SECRETSD_TOKEN=jst_wrong ${programs[$language]} postgres_password 1 >"$DIR/refused" 2>&1 ||
        fail "$language: has read with a wrong token"
    grep -q unauthenticated "$DIR/refused" || fail "$language: $(cat "$DIR/refused")"
    # shellcheck disable=SC2086
    ${programs[$language]} postgres_password 1 >"$DIR/$language.out" 2>"$DIR/$language.err" &
    running+=("$!")
done
echo "all end with 401 and 403"

# Nor does somebody else in the daemon's place steer a terminal, or curl.
for language in "${!programs[@]}"; do
    for statuses in 403 '200 403'; do
        # shellcheck disable=SC2086
        start_hostile $statuses
        # shellcheck disable=SC2086
        ! JARVIS_SECRETSD_ADDR=$HOSTILE_URL ${programs[$language]} postgres_password 1 >"$DIR/said" 2>&1 ||
            fail "$language: the next statuses are $statuses"
        end_hostile
        [ -s "$DIR/said" ] || fail "$language says nothing"
        steers_nothing "$DIR/said"
        [ ! -e injected ] || { rm injected && fail "$language: curl has obeyed"; }
    done
done
echo "nor do others steer a terminal"

expect 200 admin GET /secret/postgres_password
first=$(jq -r .value "$DIR/answer")
await "all have read it" all_print out "postgres_password: $(kid)"
unchanged='jarvis_secretsd_http_requests_total{route="/secret/{name}",method="GET",status="304"}'
has_unchanged() { curl -fsS -o "$DIR/answer" "$URL/metrics" && grep -qF "$unchanged" "$DIR/answer"; }
await "a poll is answered 304" has_unchanged
expect 200 admin POST /rotate '{"names":["postgres_password"]}'
expect 200 admin GET /secret/postgres_password
await "all have noticed the rotation" all_print out "postgres_password: $(kid)"
echo "all notice a rotation, by its ETag"

head -c 1M /dev/zero >"$DIR/audit/filler" 2>/dev/null || true
await "all have printed that nothing can be audited" all_print err audit_unavailable
rm "$DIR/audit/filler"
stop_daemon
await "all have noticed that nothing answers" all_print err 'no answer'
start_daemon
expect 200 admin POST /secret '{"name":"postgres_password","generate":true}'
expect 200 admin GET /secret/postgres_password
last=$(jq -r .value "$DIR/answer")
await "all have read the last version" all_print out "postgres_password: $(kid)"
echo "all outlast a full disk, and a daemon that is gone for a while"

for pid in "${running[@]}"; do
    kill "$pid" || fail "one has ended by itself"
done
[ "$(sort -u "$DIR"/*.out | wc -l)" = 3 ] || fail "other versions: $(cat "$DIR"/*.out)"
! grep -qF -e "$first" -e "$last" -e "$token" "$DIR"/*.out "$DIR"/*.err || fail "a value or a token was printed"
stop_daemon
echo "none has printed a value"
