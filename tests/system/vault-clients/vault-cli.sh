#!/usr/bin/env bash
# What a person does with vault-cli, which knows version 1 of KV.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "vault-cli: $*" >&2; exit 1; }

printf 'url: %s\nbase_path: kv/\n' "$VAULT_ADDR" >"$work/vault.yml"
cli() { VAULT_CLI_TOKEN=$token "$VAULT_CLI" --config-file "$work/vault.yml" "$@"; }
same() { [ "$2" = "$3" ] || fail "$1: $2"; }
refused() {
    local words=$1
    shift
    ! cli "$@" >"$work/said" 2>&1 || fail "$* is not refused: $(cat "$work/said")"
    grep -qF -- "$words" "$work/said" || fail "$*: no \"$words\": $(cat "$work/said")"
}

value='correct horse "ö"'
token=$APP_TOKEN
same get "$(cli get app_password value)" "$value"
same "get in a folder" "$(cli get team/db/user value)" 'the value of team.db.user'
same list "$(cli list team)" $'db/\nweb'
same "the list of all" "$(cli list | grep -c '^other_secret$')" 0
# shellcheck disable=SC2016
same env "$(cli env --envvar app_password:value=PASSWORD -- sh -c 'printf %s "$PASSWORD"')" "$value"
same "get-all" "$(cli get-all team/db | grep -c 'the value of team.db')" 2
cli lookup-token | grep -q 'display_name: token-app' || fail lookup-token
refused 'not found' get app_missing value
refused 'permission denied' get other_secret value
refused 'permission denied' set app_cli value=mine

token=$DEPLOY_TOKEN
cli set app_cli value=mine >/dev/null
same set "$(cli get app_cli value)" mine
cli set app_cli user=u password=p >/dev/null
same "set, a map" "$(cli get app_cli user) $(cli get app_cli password)" 'u p'
cli delete app_cli >/dev/null
refused 'not found' get app_cli value
echo "$(VAULT_CLI_CONFIG_FILE=no "$VAULT_CLI" --version | sed -n 1p): all of it"
