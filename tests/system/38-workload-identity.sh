#!/usr/bin/env bash
# Workload identity as the handbook describes it: Kubernetes, GitHub Actions and GitLab CI. Their JWTs have the form that their
# documentation gives, and another implementation signs them, with keys that are made here and published over TLS.
#
# The issuers' names lead to this host, and files lie at the system's paths, so this runs where nobody else sees that.
source "$(dirname "$0")/lib.sh"
need basenc curl ip jose jq kubectl openssl unshare
need_root
[ -n "${ALONE:-}" ] || ALONE=yes exec unshare --mount --net --propagation private tests/system/38-workload-identity.sh
page=docs/workload-identity.md

ip link set lo up
new_state
# More fail here in a minute than are otherwise looked at.
sed -i 's/^\[security\]/&\nauth_failures_per_minute = 0/' "$DIR/config.toml"
mkdir -p /etc/jarvis-secretsd "$DIR/keys" "$DIR/pages/.well-known" "$DIR/pages/openid/v1" "$DIR/pages/oauth/discovery" "$DIR/bin"
mount -t tmpfs none /etc/jarvis-secretsd
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH

# The issuers, and what each of them publishes.
github=https://token.actions.githubusercontent.com gitlab=https://gitlab.example.com
kubernetes=https://kubernetes.default.svc.cluster.local
declare -A jwks=([github]=.well-known/jwks [gitlab]=oauth/discovery/keys [kubernetes]=openid/v1/jwks)
names=("${github#*//}" "${gitlab#*//}")
{ cat /etc/hosts; printf '127.0.0.1 %s\n' "${names[@]}"; } >"$DIR/hosts"
mount --bind "$DIR/hosts" /etc/hosts
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=issuers -keyout "$DIR/tls.key" \
    -out "$DIR/tls.pem" -addext "subjectAltName=IP:127.0.0.1,DNS:${names[0]},DNS:${names[1]}" 2>/dev/null
export CURL_CA_BUNDLE=$DIR/tls.pem KUBECONFIG=$DIR/kubeconfig
jq -n --arg ca "$DIR/tls.pem" '{apiVersion: "v1", kind: "Config", "current-context": "c",
    contexts: [{name: "c", context: {cluster: "c", user: "u"}}],
    clusters: [{name: "c", cluster: {server: "https://127.0.0.1", "certificate-authority": $ca}}],
    users: [{name: "u", user: {token: "t"}}]}' >"$KUBECONFIG"
/usr/bin/python3 - "$DIR" >"$DIR/issuers.log" 2>&1 <<'END' &
import functools, http.server, ssl, sys

directory = sys.argv[1]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory + "/pages")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(directory + "/tls.pem", directory + "/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
HOSTILE=$!
is_up() { (: </dev/tcp/127.0.0.1/443) 2>/dev/null; }
await "the issuers can be asked" is_up

# new_key ISSUER: it has another key, and publishes that alone.
new_key() {
    jose jwk gen -i '{"alg":"RS256"}' | jq --arg kid "$1-$((++keys))" '. + {kid: $kid}' >"$DIR/keys/$1"
    jose jwk pub -i "$DIR/keys/$1" | jq '{keys: [del(.key_ops) + {use: "sig"}]}' >"$DIR/pages/${jwks[$1]}"
}
keys=0
for issuer in github gitlab kubernetes; do new_key "$issuer"; done
jq -n --arg issuer "$kubernetes" '{issuer: $issuer, jwks_uri: "https://10.0.0.1/openid/v1/jwks",
    id_token_signing_alg_values_supported: ["RS256"]}' >"$DIR/pages/.well-known/openid-configuration"

# jwt ISSUER CLAIMS [HEADER]: a JWT that the issuer has signed, valid from now on for ten minutes.
jwt() {
    local now header=${3:-}
    now=$(date +%s)
    jq -cn --argjson now "$now" --argjson claims "$2" '{iat: $now, nbf: ($now - 5), exp: ($now + 600)} + $claims' >"$DIR/claims"
    jq -cn --slurpfile key "$DIR/keys/$1" --argjson header "${header:-"{}"}" '{protected: ({alg: "RS256", kid: $key[0].kid} + $header)}' \
        >"$DIR/signature"
    jose jws sig -I "$DIR/claims" -k "$DIR/keys/$1" -s "$(cat "$DIR/signature")" -c
}
# https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
of_kubernetes=$(jq -n --arg iss "$kubernetes" '{aud: ["jarvis-secretsd"], iss: $iss, jti: "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
    "kubernetes.io": {namespace: "shop", node: {name: "127.0.0.1", uid: "58456cb0-dd00-45ed-b797-5578fdceaced"},
        pod: {name: "till-69cbfb9798-jv9gn", uid: "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
        serviceaccount: {name: "till", uid: "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"}, warnafter: 1700081020},
    sub: "system:serviceaccount:shop:till"}')
# https://docs.github.com/en/actions/concepts/security/openid-connect
of_github=$(jq -n --arg iss "$github" '{jti: "example-id", sub: "repo:acme/web:ref:refs/heads/main", aud: "jarvis-secretsd",
    ref: "refs/heads/main", sha: "example-sha", repository: "acme/web", repository_owner: "acme", actor_id: "12",
    repository_visibility: "private", repository_id: "74", repository_owner_id: "65", run_id: "example-run-id", run_number: "10",
    run_attempt: "2", runner_environment: "github-hosted", actor: "octocat", workflow: "example-workflow", head_ref: "",
    base_ref: "", event_name: "workflow_dispatch", ref_type: "branch",
    job_workflow_ref: "acme/automation/.github/workflows/oidc.yml@refs/heads/main", iss: $iss}')
# https://docs.gitlab.com/ci/secrets/id_token_authentication/
of_gitlab=$(jq -n --arg iss "$gitlab" '{namespace_id: "72", namespace_path: "acme", project_id: "20", project_path: "acme/api",
    user_id: "1", user_login: "sample-user", user_email: "sample-user@example.com",
    user_identities: [{provider: "github", extern_uid: "2435223452345"}], pipeline_id: "574", pipeline_source: "push", job_id: "302",
    ref: "main", ref_type: "branch", ref_path: "refs/heads/main", ref_protected: "true", groups_direct: ["acme/one", "other/two"],
    environment: "production", environment_protected: "false", deployment_tier: "testing", environment_action: "start",
    runner_id: 1, runner_environment: "self-hosted", sha: "714a629c0b401fdce83e847fc9589983fc6f46bc", project_visibility: "public",
    ci_config_ref_uri: "gitlab.example.com/acme/api//.gitlab-ci.yml@refs/heads/main",
    jti: "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", iss: $iss, sub: "project_path:acme/api:ref_type:branch:ref:main",
    aud: "jarvis-secretsd"}')

# Configuration and policy are the page's: the first of its blocks, with the other two issuers, and the rest.
(cd /etc/jarvis-secretsd && eval "$(pasted "$OLDPWD/$page" '## GitHub Actions')" && eval "$(pasted "$OLDPWD/$page" '## GitLab CI')")
told=$(cd /etc/jarvis-secretsd && eval "$(pasted "$OLDPWD/$page" '## Kubernetes')")
[ "$told" = "$kubernetes" ] || fail "the cluster calls itself $told"
awk -v config="$DIR/config.toml" -v policy="$DIR/policy.toml" '/^```/ { inside = $0 == "```toml"; count += inside; next }
    inside { print >>(count == 1 ? config : policy) }' "$page"
printf '[[jwt_issuers]]\nissuer = "%s"\naudience = "jarvis-secretsd"\njwks_path = "/etc/jarvis-secretsd/%s.jwks"\n' \
    "$gitlab" gitlab "$kubernetes" kubernetes >>"$DIR/config.toml"
"$BINARY" check --config "$DIR/config.toml" >"$DIR/checked"
[ "$(grep -c '^JWKS of .*: good, 1 key' "$DIR/checked")" = 3 ] || fail "check says: $(cat "$DIR/checked")"
start_daemon
for secret in shop_password web_password api_password; do
    expect 200 admin POST /secret "{\"name\":\"$secret\",\"value\":\"of $secret\"}"
done

# read_as JWT SECRET: the status of the answer, which is then in $DIR/answer.
read_as() {
    curl -sS -o "$DIR/answer" -w '%{http_code}' -H "Authorization: Bearer $1" "$URL/secret/$2"
}
# admits ISSUER CLAIMS SECRET, refuses ISSUER CLAIMS SECRET REASON [HEADER]: what happens to such a JWT.
admits() {
    local status
    status=$(read_as "$(jwt "$1" "$2")" "$3")
    [ "$status" = 200 ] && [ "$(jq -r .value "$DIR/answer")" = "of $3" ] || fail "$3: $status $(cat "$DIR/answer")"
}
refuses() {
    local status
    status=$(read_as "$(jwt "$1" "$2" "${5:-}")" "$3")
    [ "$status" = 401 ] || fail "$4: $status $(cat "$DIR/answer")"
    [ "$(tail -n 1 "$DIR/audit/audit.jsonl" | jq -r .detail)" = "$4" ] || fail "$4, but: $(tail -n 1 "$DIR/audit/audit.jsonl")"
}
with() { jq -c ". + $2" <<<"$1"; }

admits kubernetes "$of_kubernetes" shop_password
[ "$(tail -n 1 "$DIR/audit/audit.jsonl" | jq -c '[.client, .jwt.issuer, .jwt.subject]')" = \
    "[\"shop\",\"$kubernetes\",\"system:serviceaccount:shop:till\"]" ] || fail "audited is $(tail -n 1 "$DIR/audit/audit.jsonl")"
admits github "$of_github" web_password
admits gitlab "$of_gitlab" api_password
nobodys="JWT that no client's policy entry names"
refuses kubernetes "$(with "$of_kubernetes" '{sub: "system:serviceaccount:shop:other"}')" shop_password "$nobodys"
refuses github "$(with "$of_github" '{sub: "repo:evil/web:ref:refs/heads/main"}')" web_password "$nobodys"
refuses github "$(with "$of_github" '{ref: "refs/pull/7/merge"}')" web_password "$nobodys"
refuses gitlab "$(with "$of_gitlab" '{ref_protected: "false"}')" api_password "$nobodys"
refuses gitlab "$(with "$of_gitlab" '{aud: "https://vault.example.com"}')" api_password 'JWT for another audience'
refuses kubernetes "$(with "$of_kubernetes" '{exp: 1700000000}')" shop_password 'expired JWT'
refuses gitlab "$of_github" web_password "JWT signed by a key that the issuer's JWKS file does not have"
refuses gitlab "$of_github" web_password 'JWT with a wrong signature' "{\"kid\":\"$(jq -r .kid "$DIR/keys/github")\"}"
[ "$(read_as "$(jwt github "$of_github")" shop_password)" = 403 ] || fail "a secret of another client: $(cat "$DIR/answer")"
echo "JWTs as Kubernetes, GitHub and GitLab sign them are credentials, and no others"

# As a pod does, with the file that the kubelet keeps fresh.
export JARVIS_SECRETSD_ADDR=$URL JARVIS_SECRETSD_TOKEN_FILE=$DIR/token
(umask 077 && jwt kubernetes "$of_kubernetes" >"$DIR/token")
eval "$(pasted "$page" '## Kubernetes' 2)" >"$DIR/answer" 2>"$DIR/noise"
[ "$(jq -r .value "$DIR/answer")" = 'of shop_password' ] || fail "a pod is told: $(cat "$DIR/answer")"
[ "$(jarvis-secretsd get shop_password)" = 'of shop_password' ] || fail "the client command reads something else"
[ "$(JARVIS_SECRETSD_TOKEN_FILE='' JARVIS_SECRETSD_TOKEN=$(jwt gitlab "$of_gitlab") jarvis-secretsd get api_password)" = \
    'of api_password' ] || fail "the client command reads something else in a job"

# The issuers have other keys, and nobody has told the daemon by a signal.
old=$(jwt github "$of_github")
new_key github && new_key gitlab
eval "$(pasted "$page" '## Keep the keys fresh')"
is_admitted() { [ "$(read_as "$(jwt "$1" "$2")" "$3")" = 200 ]; }
await "the new key of GitHub is in force" is_admitted github "$of_github" web_password
await "the new key of GitLab is in force" is_admitted gitlab "$of_gitlab" api_password
[ "$(read_as "$old" web_password)" = 401 ] || fail "the old key is still accepted"
# What an issuer in trouble answers takes no key away.
echo '<html>502</html>' >"$DIR/pages/${jwks[github]}"
cp /etc/jarvis-secretsd/github.jwks "$DIR/kept"
(set +e && eval "$(pasted "$page" '## Keep the keys fresh')") 2>"$DIR/noise"
cmp /etc/jarvis-secretsd/github.jwks "$DIR/kept" || fail "a page without keys was taken for a key set"
kill -HUP "$PID"
is_reloaded() { grep -q 'Policy reloaded' "$DIR/log"; }
await "the daemon has read all again" is_reloaded
admits github "$of_github" web_password
echo "keys are fetched and replaced at work, and a page without keys replaces none"

stop_daemon
"$BINARY" audit verify "$DIR/audit/audit.jsonl" >"$DIR/verified" || fail "$(cat "$DIR/verified")"
! grep -qE 'eyJ[A-Za-z0-9_-]{20}' "$DIR/audit/audit.jsonl" "$DIR/log" || fail "a JWT was written down"
