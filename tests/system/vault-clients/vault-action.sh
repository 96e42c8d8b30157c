#!/usr/bin/env bash
# What a step of a workflow does with vault-action, which the runner gives its inputs and two files for what it sets. The argument
# is the program: the action's own source, or its bundle.
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NODE_PATH=/usr/local/lib/jarvis-test-tools/vault-action/node_modules

fail() { echo "vault-action: $1: $(cat "$work/said")" >&2; exit 1; }

# action INPUT=VALUE...: as action.yml has the others by default.
action() {
    : >"$work/env"
    : >"$work/output"
    local inputs=(url="$VAULT_ADDR" method=token exportEnv=true exportToken=false outputToken=false jwtTtl=3600 tlsSkipVerify=false
        ignoreNotFound=false namespace= role= path= token= roleId= secretId= extraHeaders= pki= secretEncodingType=
        caCertificate= clientCertificate= jwtPrivateKey= jwtKeyPassword= jwtGithubAudience= clientKey= authPayload= "$@") given=() input
    for input in "${inputs[@]}"; do
        input=INPUT_${input%%=*}=${input#*=}
        given+=("$(tr '[:lower:]' '[:upper:]' <<<"${input%%=*}")=${input#*=}")
    done
    env GITHUB_ENV="$work/env" GITHUB_OUTPUT="$work/output" "${given[@]}" node "$program" >"$work/said" 2>&1
}

# sets FILE NAME VALUE: the runner's file has it, between two lines of the same word.
sets() {
    local found
    found=$(awk -v name="$2<<" 'index($0, name) == 1 { end = substr($0, length(name) + 1); next } $0 == end { end = "" } end' "$work/$1")
    [ "$found" = "$3" ] || fail "$2 is $found"
}

refused() {
    local words=$1
    shift
    ! action "$@" || fail "not refused"
    grep -qF -- "$words" "$work/said" || fail "no \"$words\""
}

value='correct horse "ö"'
action token="$APP_TOKEN" secrets="
    secret/data/app_password value | PASSWORD ;
    secret/data/app_password?version=$OLD value | OLD_PASSWORD ;
    secret/data/team/db/user value | DB_USER ;
    kv/app_password value | BY_V1 ;
    secret/data/app_account * | ACCOUNT_" || fail "the secrets"
for file in env output; do
    sets "$file" PASSWORD "$value"
    sets "$file" OLD_PASSWORD 'the first'
    sets "$file" DB_USER 'the value of team.db.user'
    sets "$file" BY_V1 "$value"
done
sets env ACCOUNT_VALUE '{"type":"service_account"}'
grep -qxF "::add-mask::$value" "$work/said" || fail "the value is not masked"

action method=approle roleId=app secretId="$APP_TOKEN" exportToken=true secrets='secret/data/app_password value' || fail "approle"
sets env VALUE "$value"
sets env VAULT_TOKEN "$APP_TOKEN"

action method=kubernetes role=pod kubernetesTokenPath="$POD_JWT_FILE" secrets='secret/data/app_password value' || fail "kubernetes"
sets env VALUE "$value"
# The JWT comes from the runner, which is not here: this answers as it does.
exec {runner}< <(exec node --input-type=module -e '
    import { createServer } from "node:http";
    const server = createServer(({ headers, url }, answer) => {
        const asked = headers.authorization === "Bearer runner" && url === "/?id=1&audience=jarvis-secretsd";
        answer.end(JSON.stringify({ value: asked ? process.env.CI_JWT : "" }));
    });
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));')
answering=$!
trap 'kill "$answering"; rm -rf "$work"' EXIT
read -r port <&"$runner"
export ACTIONS_ID_TOKEN_REQUEST_TOKEN=runner ACTIONS_ID_TOKEN_REQUEST_URL="http://127.0.0.1:$port/?id=1"
action method=jwt role=ci jwtGithubAudience=jarvis-secretsd secrets='secret/data/app_password value' || fail "jwt"
sets env VALUE "$value"

refused 'was not found' token="$APP_TOKEN" secrets='secret/data/app_missing value'
refused 'Response code 403' token="$APP_TOKEN" secrets='secret/data/other_secret value'
refused 'Response code 403' token="$NOTHING_TOKEN" secrets='secret/data/app_password value'
refused 'permission denied' method=approle roleId=deploy secretId="$APP_TOKEN" secrets='secret/data/app_password value'
refused 'no namespaces' token="$APP_TOKEN" namespace=team secrets='secret/data/app_password value'
action token="$APP_TOKEN" ignoreNotFound=true secrets='secret/data/app_missing value; secret/data/app_password value' ||
    fail "what is not there is not ignored"
sets env VALUE "$value"
echo "vault-action: all of it"
