#!/usr/bin/env bash
# Monitoring: the handbook's tables say what /metrics says, the rules and the dashboard are valid, and each of their
# expressions finds its data in a real Prometheus that watches a real daemon, which then fires the alerts that it should.
source "$(dirname "$0")/lib.sh"
source tests/system/dashboard/lib.sh
schema=/usr/local/lib/jarvis-test-tools/grafana/bin/python
need "$schema" curl jq prometheus promtool

new_state
trap 'stop_prometheus; clean_up' EXIT

try "the handbook's checks fail" bash -euo pipefail -c "$(pasted docs/monitoring.md '## Prometheus')"
# What the handbook copies into the system's directories goes below DIR here.
mkdir -p "$DIR"/root/etc/{prometheus,grafana/provisioning/dashboards}
copies=$(pasted docs/monitoring.md '## Prometheus' 3 && pasted docs/monitoring.md '## Grafana')
copies=$(sed -E "s#([ >])/(etc|var)/#\1$DIR/root/\2/#g" <<<"$copies")
try "the handbook's copies fail" bash -euo pipefail -c "$copies"
try "the rules are not where they should be" promtool check rules "$DIR/root/etc/prometheus/jarvis-secretsd.rules.yml"
try "the dashboard is not where Grafana looks" cmp "$DASHBOARD" "$DIR/root/var/lib/grafana/dashboards/${DASHBOARD##*/}"
try "Grafana would not understand" "$schema" tests/system/dashboard/check.py "$DASHBOARD"
sed -n 's/.* alert: //p; s/.*severity: \([a-z]*\).*/\1/p' contrib/prometheus/jarvis-secretsd.rules.yml | paste -d ' ' - - |
    sort >"$DIR/rules"
rows '## When an alert fires' | tr -d '\`|' | awk '{ print $1, $2 }' | sort >"$DIR/rows"
try "the handbook's table has other alerts than the rules" diff "$DIR/rows" "$DIR/rules"
echo "the rules pass their tests, and Grafana's schema knows the dashboard"

# What is counted of appliers is there where there are any.
printf '[rotation.%s]\napply = ["/usr/bin/true"]\nverify = ["/usr/bin/true"]\n' applied >>"$DIR/config.toml"
start_daemon
start_prometheus 1s

load() {
    repeat 1 admin /secret -d '{"name":"postgres_password","generate":true,"rotation":"auto"}'
    repeat 5 db /secret/postgres_password
    repeat 5 db /secrets
    repeat 2 admin /rotate -d '{"names":["postgres_password"]}'
    repeat 30 backend /secret/postgres_password
    repeat 30 stranger /secrets
    churn
}

# The expressions with their panel and legend, and with Grafana's variables as it fills them in: all instances, six hours,
# and four scrapes of the usual 15 seconds.
# A row has panels of its own, about several daemons on one vault, for which one alone has no data.
jq -r '.panels[] | select(.type != "row") | .title as $title | .targets[] | [$title, .legendFormat, .expr] | @tsv' "$DASHBOARD" |
    sed "s|\$instance|(${URL#*://})|g; s|\$__rate_interval|1m|g; s|\$__range|6h|g" >"$DIR/expressions"
! grep -F '$' "$DIR/expressions" || fail "Grafana has another value for that"

# What is zero on a daemon that is well and young; everything else was done, or is there.
stats='Manual rotation due|(Audit failures|Decryption errors) \(in this range\)'
lines='failures|errors|refused|evicted|timed out|due, .*|past their grace|pending|failed compactions'
zero="^($stats|.*	($lines))	"
# panels_have_data: whether each expression finds numbers, and others than zero where there must be some.
panels_have_data() {
    local line values
    load
    drawn=()
    while IFS= read -r line; do
        values=$(ask "${line##*	}") || fail "Prometheus refuses: $line: $(cat "$DIR/result")"
        lacking=$line
        drawn[${line%%	*}]=$((${drawn[${line%%	*}]:-0} + $(wc -l <<<"$values")))
        [ -n "$values" ] && ! grep -q NaN <<<"$values" || return 1
        if [[ $line =~ $zero ]]; then
            ! grep -qvx 0 <<<"$values" || fail "not zero: $line: $values"
        else
            grep -qvx 0 <<<"$values" || return 1
        fi
    done <"$DIR/expressions"
}
lacking=''
declare -A drawn
deadline=$((SECONDS + PATIENCE))
until panels_have_data; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no data, or nothing but zero: $lacking"
    sleep 0.3
done
for panel in "${!drawn[@]}"; do
    [ "${drawn[$panel]}" -le 8 ] || fail "$panel has ${drawn[$panel]} lines, more than there are colors to tell apart"
done
echo "$(wc -l <"$DIR/expressions") expressions of the dashboard find their data, eight lines a panel at most"

# Every rule is evaluated, and what it compares is there: with `bool`, a comparison says 0 or 1 instead of leaving out.
# That no daemon is watched shows in data that are not there, so its data are looked for. One daemon alone has no data for the
# rules about several.
curl -fsS "$PROMETHEUS/api/v1/rules" >"$DIR/rules"
[ "$(jq '[.data.groups[].rules[]] | length' "$DIR/rules")" = "$(grep -c ' alert: ' contrib/prometheus/jarvis-secretsd.rules.yml)" ] ||
    fail "Prometheus has other rules: $(cat "$DIR/rules")"
jq -r '.data.groups[] | select(.name == "jarvis-secretsd") | .rules[] | [.name, .query] | @tsv' "$DIR/rules" |
    sed -E 's/absent\((.*)\)/\1/; s/ (==|<|>) / \1 bool /g' >"$DIR/expressions"
while IFS=$'\t' read -r alert expression; do
    values=$(ask "$expression") || fail "Prometheus refuses $alert: $(cat "$DIR/result")"
    [ -n "$values" ] || fail "$alert has no data: $expression"
done <"$DIR/expressions"
echo "$(wc -l <"$DIR/expressions") alert rules have what they compare"

# fire ALERT...: whether these alerts fire, and no others. Those that wait (`for`) do not fire yet.
fire() {
    curl -fsS "$PROMETHEUS/api/v1/alerts" >"$DIR/alerts"
    [ "$(jq -r '.data.alerts[] | select(.state == "firing") | .labels.alertname' "$DIR/alerts" | sort | xargs)" = "$*" ]
}
await "the denials and the failures to authenticate have fired, and nothing else" \
    fire JarvisSecretsdAuthenticationFailures JarvisSecretsdPolicyDenials
jq -e '[.data.alerts[].annotations[] | select(test("expanding template|<no value>"))] == []' "$DIR/alerts" >/dev/null ||
    fail "an annotation is not filled in: $(cat "$DIR/alerts")"
echo "what was denied has fired its alerts, and nothing else has"

# The handbook's table of metrics is what the daemon says of itself.
asked=$(pasted docs/monitoring.md '# Monitoring')
try "the handbook's calls fail" bash -euo pipefail -c "${asked//http:\/\/127.0.0.1:8081/"$URL"}"
grep -q '"status":"ok"' "$DIR/checks" && grep -q '^jarvis_secretsd_healthy 1$' "$DIR/checks" || fail "not well: $(cat "$DIR/checks")"
expect 200 nobody GET /metrics
metrics_of "$DIR/answer" >"$DIR/metrics"
rows '## Metrics' >"$DIR/rows"
try "the handbook's table (<) is not what /metrics says (>)" diff "$DIR/rows" "$DIR/metrics"
echo "the handbook has a row for each of $(wc -l <"$DIR/metrics") metrics"

stop_daemon
waits() {
    curl -fsS "$PROMETHEUS/api/v1/alerts" >"$DIR/alerts"
    jq -e '.data.alerts | any(.labels.alertname == "JarvisSecretsdDown" and .state == "pending")' "$DIR/alerts" >/dev/null
}
await "the alert that it is down waits for its minute" waits
echo "a daemon that was stopped is missed"
