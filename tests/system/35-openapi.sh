#!/usr/bin/env bash
# contrib/openapi.json and contrib/openapi-vault.json have no finding of redocly, and schemathesis finds no answer that is not as
# they say.
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

# lint DOCUMENT RULES: redocly finds nothing.
lint() {
    {
        redocly lint --config "tests/system/openapi/$2" --format=json "contrib/$1" >"$DIR/lint" 2>"$DIR/lint.log" &&
            jq -e '.totals == {errors: 0, warnings: 0, ignored: 0}' "$DIR/lint" >/dev/null
    } || fail "redocly says: $(cat "$DIR/lint" "$DIR/lint.log")"
}
lint openapi.json redocly.yaml
lint openapi-vault.json redocly-vault.yaml

# try_out DOCUMENT CONFIG HEADER: the answers are as it says.
try_out() {
    local document=$PWD/contrib/$1 config=$PWD/tests/system/openapi/$2
    # It leaves files where it is started.
    (cd "$DIR" && schemathesis --config-file "$config" run "$document" --url "$URL" -H "$3") >"$DIR/report" ||
        fail "schemathesis says: $(cut -c 1-500 "$DIR/report")"
    sed -n '/^Test cases:/,/^$/p' "$DIR/report"
}
try_out openapi.json schemathesis.toml 'X-Jarvis-Client: admin'
# A version that a secret can go back to is none that is made up.
expect 200 admin POST /secret '{"name":"rolled_back","value":"a"}'
kid=$(jq -r .kid "$DIR/answer")
expect 200 admin POST /secret '{"name":"rolled_back","value":"b"}'
expect 200 admin POST /secret/rolled_back/rollback "{\"kid\":\"$kid\"}"
# It got through to what every call does, and not only to its refusals.
expect 200 nobody GET /metrics
# was_done DOCUMENT: each call of it was answered as one that is done, where it says that there is such an answer.
was_done() {
    local path method status
    jq -r '.paths | to_entries[] | .key as $path | .value | to_entries[] | select(.key != "parameters" and .key != "head")
        | .key as $method | .value.responses | keys[] | select(startswith("20")) | "\($path) \($method) \(.)"' "contrib/$1" |
        while read -r path method status; do
            sample="jarvis_secretsd_http_requests_total{route=\"$path\",method=\"${method^^}\",status=\"$status\"}"
            grep -qF "$sample" "$DIR/answer" || fail "it was never answered $status: $method $path"
        done
}
was_done openapi.json

# The same of Vault's API, to a client with a token.
stop_daemon
"$BINARY" token vault >"$DIR/token" 2>/dev/null
token=$(head -n 1 "$DIR/token")
printf '[clients.vault]\nallow = ["*"]\nadmin = true\n%s\n' "$(tail -n 1 "$DIR/token")" >"$DIR/policy.toml"
sed -i -e 's/^\[server\]$/&\nvault_api = true/' -e 's/^\[security\]$/&\nauth_failures_per_minute = 0/' "$DIR/config.toml"
start_daemon
try_out openapi-vault.json schemathesis-vault.toml "X-Vault-Token: $token"
# Logins are made with what nobody makes up.
for login in "approle {\"role_id\":\"vault\",\"secret_id\":\"$token\"}" "jwt {\"jwt\":\"$token\"}" "kubernetes {\"jwt\":\"$token\"}"; do
    for method in PUT POST; do
        expect 200 nobody "$method" "/v1/auth/${login%% *}/login" "${login#* }"
    done
done
expect 200 nobody GET /metrics
was_done openapi-vault.json

# The daemon is as well as before, and what it wrote about all this is whole.
expect 200 nobody GET /healthz
! grep -qi panic "$DIR/logs" "$DIR/log" || fail "a handler panicked"
stop_daemon
"$BINARY" audit verify "$DIR/audit/audit.jsonl"
