# A daemon with Vault's API, and what the programs in this directory find there. To be sourced behind lib.sh.
# shellcheck shell=bash

clients=tests/system/vault-clients
tools=/usr/local/lib/jarvis-test-tools

# signed ISSUER SUBJECT AUDIENCE: a JWT of that issuer, for an hour.
signed() {
    local now
    now=$(date +%s)
    jq -nc --arg iss "$1" --arg sub "$2" --arg aud "$3" --argjson now "$now" '$ARGS.named | del(.now) + {iat: $now, exp: ($now + 3600)}' |
        jose jws sig -I - -k "$DIR/key.jwk" -s '{"protected": {"alg": "RS256", "kid": "k", "typ": "JWT"}}' -c
}

# accept_jwts: the daemon accepts the JWTs of two issuers, for the clients ci and pod. One is in $CI_JWT, and one in $POD_JWT_FILE.
accept_jwts() {
    local github=https://token.actions.githubusercontent.com cluster=https://kubernetes.default.svc.cluster.local issuer
    jose jwk gen -i '{"alg": "RS256", "kid": "k"}' -o "$DIR/key.jwk"
    jose jwk pub -s -i "$DIR/key.jwk" -o "$DIR/jwks"
    for issuer in "$github" "$cluster"; do
        printf '\n[[jwt_issuers]]\nissuer = "%s"\naudience = "jarvis-secretsd"\njwks_path = "%s"\n' "$issuer" "$DIR/jwks"
    done >>"$DIR/config.toml"
    cat >>"$DIR/policy.toml" <<END
[clients.ci]
allow = ["app_*"]
jwt = [{ issuer = "$github", subject = "repo:acme/web:*" }]
[clients.pod]
allow = ["app_*"]
jwt = [{ issuer = "$cluster", subject = "system:serviceaccount:shop:till" }]
END
    export POD_JWT_FILE=$DIR/pod.jwt CI_JWT OTHER_JWT
    CI_JWT=$(signed "$github" repo:acme/web:ref:refs/heads/main jarvis-secretsd)
    OTHER_JWT=$(signed "$github" repo:other/web:ref:refs/heads/main jarvis-secretsd)
    signed "$cluster" system:serviceaccount:shop:till jarvis-secretsd >"$POD_JWT_FILE"
}

# start_vault_api: a daemon whose clients are
#   app      reads what begins with app_ and team.
#   deploy   reads and changes everything
#   nothing  has a token, and may read nothing
#   ci, pod  read what begins with app_, and have a JWT
# with their tokens in $APP_TOKEN, $DEPLOY_TOKEN and $NOTHING_TOKEN; app_password has two versions, whose numbers are $OLD and $NEW.
start_vault_api() {
    new_state
    sed -i '/^bind_addr/a vault_api = true' "$DIR/config.toml"
    # They send wrong tokens more often than one address may.
    echo 'auth_failures_per_minute = 1000' >>"$DIR/config.toml"
    local client rights printed
    while read -r client rights; do
        printed=$("$BINARY" token "$client" 2>/dev/null)
        export "${client^^}_TOKEN=${printed%%$'\n'*}"
        printf '[clients.%s]\n%s\n%s\n' "$client" "$(sed 's/; /\n/' <<<"$rights")" "${printed#*$'\n'}" >>"$DIR/policy.toml"
    done <<'END'
app allow = ["app_*", "team.*"]
deploy allow = ["*"]; admin = true
nothing allow = []
END
    accept_jwts
    start_daemon
    export VAULT_ADDR=$URL OLD NEW
    expect 200 admin POST /secret '{"name":"app_password","value":"the first"}'
    OLD=$(version)
    expect 200 admin POST /secret '{"name":"app_password","value":"correct horse \"ö\""}'
    NEW=$(version)
    for name in team.db.user team.db.password team.web other_secret; do
        expect 200 admin POST /secret "{\"name\":\"$name\",\"value\":\"the value of $name\"}"
    done
    # Stored by the daemon's own API, this is a text and no map.
    expect 200 admin POST /secret '{"name":"app_account","value":"{\"type\":\"service_account\"}"}'
}

# version: the number of the current version of app_password.
version() {
    curl -fsS -H "X-Vault-Token: $DEPLOY_TOKEN" "$URL/v1/secret/metadata/app_password" | jq .data.current_version
}

declare -A programs=()
# run NAME COMMAND...: starts a client's program beside the others.
run() {
    local name=$1
    shift
    "$@" >"$DIR/$name.said" 2>&1 &
    programs[$name]=$!
}

# judge: all of them must end with status 0. Printed is the last line of what each has said, or all of it.
judge() {
    local name failed=''
    for name in "${!programs[@]}"; do
        if wait "${programs[$name]}"; then
            sed -n '/./h; ${x; p}' "$DIR/$name.said"
        else
            failed+=" $name"
            printf -- '---- %s\n' "$name" >&2
            cat "$DIR/$name.said" >&2
        fi
    done
    [ -z "$failed" ] || fail "these have failed:$failed"
    ! grep -qF -e "$APP_TOKEN" -e "$DEPLOY_TOKEN" -e "$CI_JWT" "$DIR/log" "$DIR/audit/audit.jsonl" || fail "a token is in a log"
    "$BINARY" audit verify "$DIR/audit/audit.jsonl" >/dev/null || fail "the audit log does not verify"
}
