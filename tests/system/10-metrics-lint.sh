#!/usr/bin/env bash
# promtool finds nothing to say about /metrics, which counts what was done and shows no secret.
source "$(dirname "$0")/lib.sh"
need curl jq promtool

name=metrics_canary_name
value=metrics-canary-value

start_daemon
expect 200 admin POST /secret "{\"name\":\"$name\",\"value\":\"$value\"}"
expect 200 admin GET "/secret/$name"
expect 403 db GET "/secret/$name"
expect 404 admin GET /secret/never_created
expect 404 admin GET /no/such/path
expect 200 admin POST /rotate "{\"names\":[\"$name\"]}"
expect 200 admin GET "/secret/$name"
rotated=$(jq -er .value "$DIR/answer")
[ "$rotated" != "$value" ] || fail "the value was not rotated"
# A head over the limit is answered by the connection layer.
status=$(curl -s -o "$DIR/answer" -w '%{http_code}' -H "X-Long: $(printf '%020000d' 0)" "$URL/healthz" || true)
[ "$status" = 431 ] || fail "a head that is too long: expected 431, got $status"

curl -fsS -D "$DIR/head" -o "$DIR/page" "$URL/metrics"
grep -qi '^content-type: text/plain; version=0\.0\.4' "$DIR/head" || fail "wrong media type: $(cat "$DIR/head")"

findings=$(promtool check metrics <"$DIR/page" 2>&1) || fail "promtool ended with status $?: $findings"
[ -z "$findings" ] || fail "promtool says: $findings"

for sample in \
    'http_requests_total{route="/secret/{name}",method="GET",status="200"} 2' \
    'http_requests_total{route="/secret/{name}",method="GET",status="403"} 1' \
    'http_requests_total{route="/secret/{name}",method="GET",status="404"} 1' \
    'http_requests_total{route="/rotate",method="POST",status="200"} 1' \
    'http_requests_total{route="none",method="none",status="431"} 1' \
    'http_request_duration_seconds_count{route="/secret"} 1' \
    'policy_decisions_total{decision="denied"} 1' \
    'secrets 1' \
    'versions 2' \
    'healthy 1'; do
    grep -qxF "jarvis_secretsd_$sample" "$DIR/page" || fail "/metrics does not say $sample: $(cat "$DIR/page")"
done

for secret in "$name" "$value" "$rotated"; do
    ! grep -qF -- "$secret" "$DIR/page" || fail "/metrics shows $secret"
done

stop_daemon
