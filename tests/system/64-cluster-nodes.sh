#!/usr/bin/env bash
# Who may be a daemon of a cluster: one with its master key, and a name of its own. One that comes later has everything, also
# what is known of readers; and when the daemon that leads is gone, another one does.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

begin_on_loopback

# refuses_to_start NODE WORDS: its daemon ends, and its log says that.
refuses_to_start() {
    local status=0
    start_node "$1"
    await "the daemon of $1 ends" has_ended "${NODE_PID[$1]}"
    wait "${NODE_PID[$1]}" || status=$?
    unset "NODE_PID[$1]"
    [ "$status" != 0 ] || fail "the daemon of $1 ended with status 0"
    grep -qE "$2" "$DIR/$1/log" || fail "the log of $1 does not say $2"
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# In a cluster no master key is made: it would be another one on each node.
rm "$DIR/host-a/secrets/master.key"
refuses_to_start host-a 'master\.key.*init --cluster'
[ ! -e "$DIR/host-a/secrets/master.key" ] || fail "a master key was made"
cp -p "$DIR/master.key" "$DIR/host-a/secrets/"
: >"$DIR/host-a/log"
start_cluster
at host-a
expect 200 admin POST /secret '{"name":"a","value":"first"}'
first=$(jq -r .kid "$DIR/answer")

new_node stranger 24
(umask 077 && head -c 32 /dev/urandom >"$DIR/stranger/secrets/master.key")
refuses_to_start stranger 'master key'
new_node twin 25
sed -i 's/^node = .*/node = "host-b"/' "$DIR/twin/config.toml"
refuses_to_start twin 'host-b'
echo "a daemon without the master key, with another one, or with another's name does not start"

# What one has answered, all know.
at host-b
expect 200 admin GET /secret/a
at host-c
expect 200 admin POST /secret '{"name":"a","value":"second"}'
second=$(jq -r .kid "$DIR/answer")
at host-a
expect 409 admin POST /secret/a/retire '{}'
for node in host-a host-b host-c; do
    at "$node"
    expect 200 admin GET /secret/a/consumers
    [ "$(jq -r '.consumers[] | select(.client == "admin").kid' "$DIR/answer")" = "$first" ] || fail "$node: $(cat "$DIR/answer")"
done
new_node host-d 26
NODES+=(host-d)
start_node host-d
await "host-d is well" is_well host-d
at host-d
expect 200 admin GET /secret/a
[ "$(jq -r .kid "$DIR/answer")" = "$second" ] || fail "host-d: $(cat "$DIR/answer")"
expect 200 admin GET "/secret/a?kid=$first"
at host-b
expect 200 admin GET /secret/a/consumers
[ "$(jq -r '.consumers[] | select(.client == "admin").kid' "$DIR/answer")" = "$second" ] || fail "host-b: $(cat "$DIR/answer")"
at host-a
expect 200 admin POST /secret/a/retire '{}'
at host-c
expect 410 admin GET "/secret/a?kid=$first"
echo "what one daemon has answered, all know, and one that is new"

# Those who wait for a change learn of it wherever it is made.
at host-d
"${CURL[@]}" -sS -H 'X-Jarvis-Client: admin' -H "If-None-Match: $second" "$URL/secret/a?wait=60s" >"$DIR/waited" &
waits=$!
at host-b
expect 200 admin POST /secret '{"name":"a","value":"third"}'
wait "$waits"
[ "$(jq -r .value "$DIR/waited")" = third ] || fail "who waited got $(cat "$DIR/waited")"
echo "who waits at one daemon learns of what another one changes"

leads() { leading_node >"$DIR/leader" && [ "$(cat "$DIR/leader")" != "${gone:-}" ]; }
for end in stop_node kill_node; do
    gone=''
    await "a daemon leads" leads
    gone=$(cat "$DIR/leader")
    "$end" "$gone"
    await "another daemon leads" leads
    start_node "$gone"
    await "$gone is well" is_well "$gone"
done
explains_all
echo "when the daemon that leads is stopped or killed, another one does"
