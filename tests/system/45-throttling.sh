#!/usr/bin/env bash
# Throttling between hosts: an address that keeps failing is not looked at any more, and another one never notices. The
# hosts are addresses in a network namespace of the test's own, which reach nothing else.
source "$(dirname "$0")/lib.sh"
need curl ip jq unshare

in_own_network "$@"
new_state
read -r token hash <<<"$("$BINARY" token backend 2>/dev/null | sed 's/.*"\(.*\)".*/\1/' | tr '\n' ' ')"
printf '[clients.backend]\nallow = ["*"]\ntoken_sha256 = ["%s"]\n' "$hash" >"$DIR/policy.toml"
sed -i 's/127\.0\.0\.1:0/192.0.2.1:8081/' "$DIR/config.toml"
start_daemon

# status HOST TOKEN [FRAGMENT]: how a request of that host, with that token, is answered. Of fragments, which are not sent, curl
# makes a request each.
status() {
    curl -s -o "$DIR/answer" -D "$DIR/head" -w '%{http_code}' --interface "192.0.2.$1" \
        -H 'X-Jarvis-Client: backend' -H "Authorization: Bearer $2" "$URL/secrets${3:-}"
}

[ "$(status 2 "$token")" = 200 ] || fail "the token is not accepted"
for ((try = 1; try <= 10; try++)); do
    [ "$(status 2 wrong)" = 401 ] || fail "failure $try is not answered 401"
done
echo "ten failures a minute are answered 401"
[ "$(status 2 wrong)" = 429 ] || fail "the eleventh failure is not answered 429"
grep -qi '^retry-after: [1-9]' "$DIR/head" || fail "429 without Retry-After"
[ "$(status 2 "$token")" = 429 ] || fail "an address over the limit is still looked at"
echo "and then nothing of that address is looked at"
[ "$(status 3 "$token")" = 200 ] || fail "another address notices"
echo "another address does not notice"
# By one process, so that all of it is over within the minute.
status 2 wrong '#[1-50]' >/dev/null
lines=$(jq -s '[.[] | select(.event == "auth_failure")] | length' "$DIR/audit/audit.jsonl")
[ "$lines" = 11 ] || fail "$lines lines were written about one address"
stop_daemon
