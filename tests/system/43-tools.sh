#!/usr/bin/env bash
# Programs that have room for one credential only: each sends a token in its own way, and the daemon knows the client by it.
source "$(dirname "$0")/lib.sh"
need curl jq wget

new_state
read -r token hash <<<"$("$BINARY" token backend 2>/dev/null | sed 's/.*"\(.*\)".*/\1/' | tr '\n' ' ')"
printf '[clients.backend]\nallow = ["*"]\ntoken_sha256 = ["%s"]\n' "$hash" >"$DIR/policy.toml"
start_daemon
host=${URL#http://}
(umask 077 && printf 'machine %s\nlogin backend\npassword %s\n' "${host%:*}" "$token" >"$DIR/netrc")

# read_by WHAT COMMAND...: it prints the list of secrets.
read_by() {
    local what=$1
    shift
    "$@" >"$DIR/answer" 2>"$DIR/noise" || fail "$what: $(cat "$DIR/answer" "$DIR/noise")"
    jq -e '.secrets == []' "$DIR/answer" >/dev/null || fail "$what reads: $(cat "$DIR/answer")"
    [ "$(tail -n 1 "$DIR/audit/audit.jsonl" | jq -r '.event + " " + .client')" = "list_secrets backend" ] ||
        fail "$what is taken for another client: $(tail -n 1 "$DIR/audit/audit.jsonl")"
    echo "$what"
}

read_by "curl -u client:token" curl -fsS -u "backend:$token" "$URL/secrets"
read_by "curl -u :token" curl -fsS -u ":$token" "$URL/secrets"
read_by "curl with the name and the token in the URL" curl -fsS "http://backend:$token@$host/secrets"
read_by "curl --netrc-file" curl -fsS --netrc-file "$DIR/netrc" "$URL/secrets"
read_by "curl --oauth2-bearer" curl -fsS --oauth2-bearer "$token" "$URL/secrets"
read_by "wget --auth-no-challenge" wget -qO - --auth-no-challenge --user=backend --password="$token" "$URL/secrets"
! curl -fsS -u "other:$token" "$URL/secrets" >"$DIR/answer" 2>&1 || fail "the token makes its holder any client"
stop_daemon
