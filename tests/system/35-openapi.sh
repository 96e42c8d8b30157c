#!/usr/bin/env bash
# contrib/openapi.json has no finding of redocly, and schemathesis finds no answer that is not as it says.
. "$(dirname "$0")/lib.sh"
need curl jq redocly schemathesis

export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

new_state
# A client that may do everything, on its name alone.
cat >"$DIR/policy.toml" <<'END'
[clients.admin]
allow = ["*"]
END
start_daemon
# Another master key, for the call that puts the vault under it.
(umask 077 && head -c 32 /dev/urandom >"$DIR/secrets/master.key.next")
expect 200 nobody GET /openapi.json
cmp "$DIR/answer" contrib/openapi.json || fail "another document is served than stands in contrib"

{
    redocly lint --config tests/system/openapi/redocly.yaml --format=json contrib/openapi.json >"$DIR/lint" 2>"$DIR/lint.log" &&
        jq -e '.totals == {errors: 0, warnings: 0, ignored: 0}' "$DIR/lint" >/dev/null
} || fail "redocly says: $(cat "$DIR/lint" "$DIR/lint.log")"

# It leaves files where it is started.
config=$PWD/tests/system/openapi/schemathesis.toml
(cd "$DIR" && schemathesis --config-file "$config" run "$URL/openapi.json" --url "$URL" -H 'X-Jarvis-Client: admin') \
    >"$DIR/report" || fail "schemathesis says: $(cut -c 1-500 "$DIR/report")"
sed -n '/^Test cases:/,/^$/p' "$DIR/report"
# A version that a secret can go back to is none that is made up.
expect 200 admin POST /secret '{"name":"rolled_back","value":"a"}'
kid=$(jq -r .kid "$DIR/answer")
expect 200 admin POST /secret '{"name":"rolled_back","value":"b"}'
expect 200 admin POST /secret/rolled_back/rollback "{\"kid\":\"$kid\"}"
# It got through to what every call does, and not only to its refusals.
expect 200 nobody GET /metrics
jq -r '.paths | to_entries[] | .key as $path | .value | keys[] | select(. != "parameters" and . != "head") | "\($path) \(.)"' \
    contrib/openapi.json | while read -r path method; do
    sample="jarvis_secretsd_http_requests_total{route=\"$path\",method=\"${method^^}\",status=\"200\"}"
    grep -qF "$sample" "$DIR/answer" || fail "it was never answered 200: $method $path"
done

# The daemon is as well as before, and what it wrote about all this is whole.
expect 200 nobody GET /healthz
! grep -qi panic "$DIR/log" || fail "a handler panicked"
stop_daemon
"$BINARY" audit verify "$DIR/audit/audit.jsonl"
