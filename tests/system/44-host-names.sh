#!/usr/bin/env bash
# What is for anyone, under the names that a host has: at an address of the network under any name, as Prometheus asks where the
# daemon is a service of Kubernetes; at a loopback address of the same daemon only under one that no web page can have led there.
source "$(dirname "$0")/lib.sh"
need curl ip unshare
in_own_network "$@"

new_state
printf '[clients.admin]\ntoken_sha256 = []\n' >"$DIR/policy.toml"
sed -i 's/127\.0\.0\.1:0/0.0.0.0:8081/' "$DIR/config.toml"
start_daemon

# status ADDRESS HOST PATH
status() { curl -s -o "$DIR/answer" -w '%{http_code}' -H "Host: $2" "http://$1:8081$3"; }

for path in /metrics /openapi.json; do
    [ "$(status 192.0.2.1 jarvis-secretsd.secrets:8081 "$path")" = 200 ] || fail "$path: a name of the network is refused"
    [ "$(status 127.0.0.1 localhost:8081 "$path")" = 200 ] || fail "$path: localhost is refused"
    [ "$(status 127.0.0.1 evil.example:8081 "$path")" = 421 ] || fail "$path: a rebound name is answered"
done
[ "$(status 127.0.0.1 evil.example:8081 /healthz)" = 200 ] || fail "the health is shown under some names only"
echo "at an address of the network any name will do, at a loopback address none that a web page can have led there"
stop_daemon
