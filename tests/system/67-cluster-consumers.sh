#!/usr/bin/env bash
# What a client has read at one daemon, every other knows: a retirement right after it is refused. Who asks etcd finds no names.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

begin_on_loopback
"$BINARY" token webserver >"$DIR/token" 2>"$DIR/token.log"
printf '[clients.webserver]\nallow = ["*"]\n%s\n' "$(sed -n 2p "$DIR/token")" >>"$DIR/policy.toml"
start_cluster

# store NODE VALUE: a new version of the secret there. Prints its kid.
store() {
    at "$1"
    expect 200 admin POST /secret "{\"name\":\"payments\",\"value\":\"$2\"}"
    jq -r .kid "$DIR/answer"
}

# as_webserver NODE PATH: what the other client is answered there. It has a token and no certificate.
as_webserver() {
    curl -sS --max-time 60 --connect-to "localhost:8443:${ADDRESS[$1]}:8443" --cacert "$TLS/ca.pem" \
        -H "Authorization: Bearer $(sed -n 1p "$DIR/token")" "https://localhost:8443$2"
}

# reads NODE VALUE
reads() {
    as_webserver "$1" /secret/payments >"$DIR/read"
    [ "$(jq -r .value "$DIR/read")" = "$2" ] || fail "the client is answered: $(cat "$DIR/read")"
}

for round in 1 2 3; do
    old=$(store host-a "old $round")
    reads host-b "old $round"
    store host-c "new $round" >/dev/null
    for node in "${NODES[@]}"; do
        at "$node"
        expect 409 admin POST /secret/payments/retire '{}'
        [ "$(jq -c '[.error, .consumers[0].client, .consumers[0].kid]' "$DIR/answer")" = \
            "[\"consumers_behind\",\"webserver\",\"$old\"]" ] || fail "$node says: $(cat "$DIR/answer")"
    done
    reads host-c "new $round"
    at host-a
    expect 200 admin POST /secret/payments/retire '{}'
    [ "$(jq -r '.retired | length' "$DIR/answer")" -ge 1 ] || fail "nothing was retired: $(cat "$DIR/answer")"
    [ "$(as_webserver host-b "/secret/payments?kid=$old" | jq -r .error)" = gone ] || fail "host-b still serves $old"
done
echo "a daemon retires nothing that a client of another one still needs"

ask_etcd get "$PREFIX" --prefix --write-out json >"$DIR/dump"
jq -r '.kvs[] | .key, .value | @base64d' "$DIR/dump" >"$DIR/names"
! grep -aqe payments -e webserver "$DIR/names" || fail "a name stands in etcd: $(grep -ae payments -e webserver "$DIR/names")"
keys_of_reads() { ask_etcd get "${PREFIX}reads/" --prefix --keys-only | grep -c /reads/; }
[ "$(keys_of_reads)" -gt 3 ] || fail "etcd has no reads: $(cut -c 1-200 "$DIR/names")"
echo "and etcd shows who has read what to nobody"
