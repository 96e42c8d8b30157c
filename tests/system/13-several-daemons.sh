#!/usr/bin/env bash
# Monitoring of several daemons on one vault: the handbook's table says what their /metrics say, each expression of the dashboard's
# row and of the rules finds its data, also that of the etcd, and what they lack without etcd fires its alert.
source "$(dirname "$0")/lib.sh"
source tests/system/dashboard/lib.sh
source tests/system/cluster.sh
need curl ip jq nsenter prometheus unshare
in_own_network "$@"

new_state
trap 'stop_prometheus; end_cluster; end_etcd; end_hosts; clean_up' EXIT
new_network
new_etcd
start_etcd
new_cluster
start_cluster

at host-a
expect 200 admin POST /secret '{"name":"postgres_password","generate":true}'
at host-b
expect 200 admin GET /secret/postgres_password
expect 200 admin GET /metrics
metrics_of "$DIR/answer" | grep -E '^. .(cluster|etcd)_' >"$DIR/metrics"
rows '### Several daemons on one vault' >"$DIR/rows"
try "the handbook's table (<) is not what /metrics says (>)" diff "$DIR/rows" "$DIR/metrics"
echo "the handbook has a row for each of $(wc -l <"$DIR/metrics") metrics of a cluster"

# What prometheus.yml has in comments, with these daemons and this etcd.
targets() { printf '"%s", ' "$@" | sed 's/, $//'; }
daemons=() members=()
for node in "${NODES[@]}"; do daemons+=("${ADDRESS[$node]}:8443"); done
for member in "${MEMBERS[@]}"; do members+=("${ADDRESS[$member]}:2379"); done
sed -E "/^scrape_configs/,\$ {
        /# (For|The) /d; s/ # (the|of) .*//; s/# //
        s|\"127.0.0.1:8081\"|$(targets "${daemons[@]}")|; s|\"10.0.0.1:2379\".*\"|$(targets "${members[@]}")|
        s|/etc/prometheus/jarvis-secretsd-ca.pem|$TLS/ca.pem\n      server_name: localhost|
        s|/etc/prometheus/etcd-(ca.pem)|$ETCD/\1|; s|/etc/prometheus/etcd-(client.*)|$ETCD/\1|
    }" contrib/prometheus/prometheus.yml >"$DIR/several.yml"
start_prometheus 1s "$DIR/several.yml"
await "all daemons and members are watched" has_data 'count(up == 1) == 6'

# load: something to be seen.
load() {
    local node
    for node in "${NODES[@]}"; do
        at "$node"
        expect 200 admin POST /rotate '{"names":["postgres_password"]}'
        expect 200 admin GET /secret/postgres_password
    done
}
jq -r '.panels[] | select(.type == "row").panels[] | .title as $title | .targets[] | [$title, .legendFormat, .expr] | @tsv' \
    "$DASHBOARD" | sed 's|\$instance|.+|g; s|\$__rate_interval|1m|g' >"$DIR/expressions"
zero='^(Trouble|.*	(conflicts|sent again|stale reads|leader changes))	'
panels_have_data() {
    local line values
    load
    while IFS= read -r line; do
        values=$(ask "${line##*	}") || fail "Prometheus refuses: $line: $(cat "$DIR/result")"
        lacking=$line
        [ -n "$values" ] && ! grep -q NaN <<<"$values" || return 1
        [[ $line =~ $zero ]] || grep -qvx 0 <<<"$values" || return 1
        [ "$(wc -l <<<"$values")" -le 8 ] || fail "more than eight lines: $line"
    done <"$DIR/expressions"
}
lacking=''
deadline=$((SECONDS + PATIENCE))
until panels_have_data; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no data, or nothing but zero: $lacking"
    sleep 0.3
done
echo "$(wc -l <"$DIR/expressions") expressions of the dashboard's row find their data"

curl -fsS "$PROMETHEUS/api/v1/rules" >"$DIR/rules"
jq -r '.data.groups[] | select(.name == "jarvis-secretsd-cluster") | .rules[] | [.name, .query] | @tsv' "$DIR/rules" |
    sed -E 's/ (==|>) / \1 bool /g' >"$DIR/expressions"
while IFS=$'\t' read -r alert expression; do
    values=$(ask "$expression") || fail "Prometheus refuses $alert: $(cat "$DIR/result")"
    [ "$(wc -l <<<"$values")" = 3 ] || fail "$alert has no data of all three: $expression: $values"
    ! grep -vx 0 <<<"$values" || fail "$alert would fire: $values"
done <"$DIR/expressions"
echo "$(wc -l <"$DIR/expressions") alert rules have what they compare, and none fires"

# fires ALERT: for how many daemons.
fires() { [ "$(ask "count(ALERTS{alertstate=\"firing\", alertname=\"$1\"})")" = 3 ]; }
kill_member etcd1
kill_member etcd2
await "the loss of etcd has fired" fires JarvisSecretsdNotConfirmed
await "so has the health of each daemon" fires JarvisSecretsdDegraded
await "so has the want of a leader" fires JarvisSecretsdNoLeader
start_member etcd1
are_over() { [ -z "$(ask 'ALERTS{alertstate="firing"}')" ]; }
await "they are over when etcd is back" are_over
echo "without most of etcd the alerts fire, and they end when it is back"
