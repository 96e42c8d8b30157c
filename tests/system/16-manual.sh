#!/usr/bin/env bash
# The manual: nothing to find fault with, and the commands of the audit log's page do what it says.
source "$(dirname "$0")/lib.sh"
need curl jq mandoc openssl

# What it says about references depends on which pages are installed. Who looks something up wants to see an example first.
faults=$(mandoc -T lint -W all man/* 2>/dev/null |
    grep -v -e ': referenced manual not found: ' -e ': sections out of conventional order: Sh [A-Z]*$' || true)
[ -z "$faults" ] || fail "$faults"
echo "mandoc finds no fault with $(find man -type f | wc -l) pages"

# literal PAGE N: its Nth block that is printed as it is.
literal() {
    awk -v wanted="$2" '
        /^\.Ed/ { inside = 0 }
        inside { gsub(/\\e/, "\\"); print }
        /^\.Bd -literal/ { inside = ++block == wanted }' "man/$1"
}

start_daemon
expect 200 admin POST /secret '{"name":"postgres_password","generate":true}'
expect 200 db GET /secret/postgres_password
stop_daemon
verify=$(literal jarvis-secretsd-audit-log.5 1) query=$(literal jarvis-secretsd-audit-log.5 3)
cd "$DIR/audit"
answer=$(bash -ec "$verify" 2>&1) || fail "a signature is not verified: $answer"
sed -i '1s/server_start/server_stop/' audit.jsonl
! bash -ec "$verify" >/dev/null 2>&1 || fail "a line that was changed is verified"
reads=$(bash -ec "$query")
[[ $reads =~ $'\tdb\t127.0.0.1:'[0-9]+$'\tsuccess'$ ]] || fail "the read of a secret is not listed: $reads"
echo "the commands in the audit log's page verify a signature, and list who has read a secret"
