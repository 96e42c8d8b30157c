#!/usr/bin/env bash
# The examples for other people's programs, against a daemon that speaks TLS: Ansible, mise and direnv are run as they are. External
# Secrets Operator's and Terraform's own code cannot be had here: their schemas judge the examples, and small programs do with them
# what theirs would, by the template functions and the language that they use. What is refused is said.
source "$(dirname "$0")/lib.sh"
tools=/usr/local/lib/jarvis-test-tools
mise=$(echo "$tools"/mise/node_modules/@jdxcode/*/bin/mise)
playbook=$tools/ansible/bin/ansible-playbook
schema=$tools/terraform-http/node_modules/@cdktf/provider-http/lib/data-http/index.d.ts
need direnv go jq node openssl "$mise" "$playbook"

new_state
examples=$PWD/contrib/examples
(cd "$DIR" && bash -euo pipefail -c "$(pasted "$REPOSITORY/docs/access.md" '## TLS')" 2>openssl.log) || fail "$(cat "$DIR/openssl.log")"
printf '\n[server.tls]\ncert_path = "%s"\nkey_path = "%s"\n' "$DIR/tls.pem" "$DIR/tls.key" >>"$DIR/config.toml"
SCHEME=https CURL=(curl --cacert "$DIR/ca.pem")

# client NAME RIGHTS: a policy entry with a token, which is then in $DIR/NAME.token.
client() {
    "$BINARY" token --output "$DIR/$1.token" "$1" 2>/dev/null >>"$DIR/policy.toml"
    echo "$2" >>"$DIR/policy.toml"
}
client shop $'allow = ["shop_*"]\nadmin = true'
client reader 'allow = ["shop_*"]'
client other 'allow = []'
start_daemon
export JARVIS_SECRETSD_ADDR=$URL JARVIS_SECRETSD_CA=$DIR/ca.pem JARVIS_SECRETSD_TOKEN_FILE=$DIR/shop.token
token=$(cat "$DIR/shop.token")
mkdir "$DIR/bin"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH

# A value that a careless program would break.
password=$'p"a\\s$HOME ${HOME} {{ w }} <ö>\nsecond line'
printf %s "$password" | jarvis-secretsd set --exact shop_database_password >/dev/null
kid=$(jarvis-secretsd set shop_session_key --generate --json | jq -r .kid)
session_key=$(jarvis-secretsd get shop_session_key)
jarvis-secretsd rotate shop_session_key >/dev/null
current=$(jarvis-secretsd get shop_session_key)
[ "$session_key" != "$current" ]

# same WHAT FOUND EXPECTED
same() { [ "$2" = "$3" ] || fail "$1: $2"; }
# refused WORDS COMMAND...: the command fails, and its message holds the words.
refused() {
    local words=$1
    shift
    ! "$@" >"$DIR/said" 2>&1 || fail "$1 does not fail: $(cat "$DIR/said")"
    grep -qF -- "$words" "$DIR/said" || fail "$1 does not say \"$words\": $(cat "$DIR/said")"
}
versions() { jarvis-secretsd versions "$1" --json | jq '.versions | length'; }

export GOPATH=/usr/share/gocode GO111MODULE=off GOCACHE=$DIR/go
for program in webhook terraform; do
    go build -o "$DIR/bin/$program" "tests/system/examples/$program.go"
done

# External Secrets Operator.
node tests/system/examples/external-secrets.mjs "$examples/external-secrets.yaml" >"$DIR/said" || fail "$(cat "$DIR/said")"
same "the kinds" "$(sort -u "$DIR/said" | tr '\n' ,)" "ExternalSecret is checked,PushSecret is checked,SecretStore is checked,"
# shellcheck disable=SC2016
for mistake in 's/jsonPath:/jsonpath:/' 's/refreshInterval: 5m/refreshIntervall: 5m/' 's/remoteKey:/key:/' 's/type: ConfigMap/type: Map/'; do
    sed "$mistake" "$examples/external-secrets.yaml" >"$DIR/mistaken.yaml"
    ! node tests/system/examples/external-secrets.mjs "$DIR/mistaken.yaml" >"$DIR/said" || fail "the schemas permit $mistake"
done
# Nowhere else but in its own cluster is the daemon called so.
node tests/system/examples/external-secrets.mjs --store "$examples/external-secrets.yaml" |
    sed "s|https://jarvis-secretsd.jarvis-secretsd:8081|$URL|" >"$DIR/store.json"
grep -qF "$URL/" "$DIR/store.json" || fail "the daemon has another address in the example"
# eso TOKEN CALL...
eso() { webhook "$DIR/store.json" "$1" "$DIR/ca.pem" "${@:2}"; }
same "ESO reads" "$(eso "$token" get shop_database_password)" "$password"
same "ESO reads the older version" "$(eso "$token" get shop_session_key "$kid")" "$session_key"
same "ESO reads the current version" "$(eso "$token" get shop_session_key)" "$current"
refused 'Secret does not exist' eso "$token" get shop_missing
refused 'endpoint gave error 403' eso "$token" get postgres_password
refused 'endpoint gave error 401' eso jst_wrong get shop_session_key
for time in first second; do
    printf %s "$password" | eso "$token" push shop_webhook_key key
    same "after the $time push" "$(jarvis-secretsd get shop_webhook_key)" "$password"
    same "versions after the $time push" "$(versions shop_webhook_key)" 1
done
printf changed | eso "$token" push shop_webhook_key
same "after a push of another value" "$(jarvis-secretsd get shop_webhook_key)" changed
same "versions after that" "$(versions shop_webhook_key)" 2
# A name as the provider's own fields have.
printf %s "$password" | refused 'endpoint gave error 403' eso "$token" push key key
refused 'endpoint gave error 403' eso "$(cat "$DIR/reader.token")" push shop_webhook_key key </dev/null
refused 'endpoint gave error 405' eso "$token" delete shop_webhook_key
jarvis-secretsd delete shop_webhook_key --force >/dev/null
echo "External Secrets Operator's webhook reads, also a version, and pushes what has changed"

# Ansible.
mkdir "$DIR/home" "$DIR/shop"
export HOME=$DIR/home
export LC_ALL=C.UTF-8 ANSIBLE_HOME=$DIR/ansible ANSIBLE_NOCOWS=1 SSL_CERT_FILE=$DIR/ca.pem
# play TOKEN: what it prints is in $DIR/played.
play() {
    JARVIS_SECRETSD_TOKEN=$1 "$playbook" -i 127.0.0.1, -c local -e "ansible_python_interpreter=$tools/ansible/bin/python" -e "shop_directory=$DIR/shop" \
        -vvv "$examples/ansible.yaml" >"$DIR/played" 2>&1
}
play "$token" || fail "Ansible: $(cat "$DIR/played")"
same "Ansible's lookup" "$(cat "$DIR/shop/database-password")" "$password"
same "Ansible's module" "$(cat "$DIR/shop/session-key")" "$current"
same "the mode" "$(stat -c %a "$DIR/shop/session-key")" 600
same "Ansible's secrets" "$(versions shop_webhook_key)" 1
grep -q 'changed=3 ' "$DIR/played" || fail "Ansible: $(cat "$DIR/played")"
play "$token" || fail "Ansible: $(cat "$DIR/played")"
grep -q 'changed=0 ' "$DIR/played" || fail "Ansible, again: $(cat "$DIR/played")"
! grep -qF -e "$current" -e 'second line' -e "$token" "$DIR/played" || fail "Ansible has printed a value or the token"
jarvis-secretsd delete shop_session_key --force >/dev/null
for attempt in "$token/there is no secret shop_session_key" 'jst_wrong/HTTP Error 401'; do
    ! play "${attempt%%/*}" || fail "Ansible has not failed"
    grep -qF "${attempt#*/}" "$DIR/played" || fail "Ansible does not say ${attempt#*/}: $(cat "$DIR/played")"
done
echo "Ansible reads and stores, changes nothing the second time, and prints no value"

# Terraform.
mkdir "$DIR/terraform"
cp "$examples/terraform.tf" "$DIR/terraform/main.tf"
cp "$DIR/ca.pem" "$DIR/terraform/"
while read -r kind name; do
    # shellcheck disable=SC2001
    camel=$(sed 's/_\(.\)/\U\1/g' <<<"$name")
    case $kind in
        argument) grep -q "^    readonly $camel?\?: " "$schema" ;;
        attribute) grep -q "^    get $camel(): " "$schema" ;;
    esac || fail "the data source has no $kind $name"
    echo "$kind $name"
done < <(terraform --arguments "$DIR/terraform") >"$DIR/known"
grep -q '^argument request_headers$' "$DIR/known" && grep -q '^attribute response_body$' "$DIR/known" || fail "$(cat "$DIR/known")"
export TF_VAR_jarvis_url=$URL TF_VAR_jarvis_token=$token
same Terraform "$(terraform "$DIR/terraform")" "shop_database_password = $password"
TF_VAR_jarvis_token=jst_wrong refused 'jarvis-secretsd: 401: ' terraform "$DIR/terraform"
sed -i 's|/secret/shop_|/secret/postgres_|' "$DIR/terraform/main.tf"
refused 'jarvis-secretsd: 403: client shop not allowed to access postgres_database_password' terraform "$DIR/terraform"
echo "Terraform's data source reads, and its condition says what is refused"

# mise and direnv.
mkdir "$DIR/mise" "$DIR/direnv"
cp "$examples/mise.toml" "$DIR/mise/"
cp "$examples/direnv.envrc" "$DIR/direnv/.envrc"
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME
# The shells look for the file of the directory that they are in.
print='printf %s "$DATABASE_PASSWORD"'
in_mise() { (cd "$DIR/mise" && "$mise" "$@"); }
in_direnv() { (cd "$DIR/direnv" && direnv "$@"); }
in_mise trust --quiet
in_direnv allow
same mise "$(in_mise exec -- sh -c "$print")" "$password"
same direnv "$(in_direnv exec . sh -c "$print" 2>/dev/null)" "$password"
in_mise env --redacted >"$DIR/said"
grep -q '^export DATABASE_PASSWORD=' "$DIR/said" || fail "mise redacts nothing: $(cat "$DIR/said")"
JARVIS_SECRETSD_TOKEN_FILE=$DIR/other.token refused 'client other not allowed' in_mise exec -- echo ran
! grep -qx ran "$DIR/said" || fail "mise has run the command"
JARVIS_SECRETSD_TOKEN_FILE=$DIR/other.token refused 'client other not allowed' in_direnv exec . echo ran
! grep -qx ran "$DIR/said" || fail "direnv has run the command"
echo "mise and direnv set the variable, and run nothing if it cannot be read"
stop_daemon
