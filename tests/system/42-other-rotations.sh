#!/usr/bin/env bash
# The other appliers called by the daemon: PostgreSQL with one role, as the handbook sets it up, Redis, a file, nginx. What is
# served works after each rotation, and the value before works as long as it should. Then the handbook's commands for a value that
# has leaked.
source "$(dirname "$0")/lib.sh"
source tests/system/appliers/servers.sh
need curl initdb jq nginx openssl pg_isready psql python3 redis-cli redis-server setpriv
need_root

new_state
chmod 711 "$DIR"
trap stop_servers EXIT
start_postgres
sql postgres <<<'CREATE DATABASE app'
declare -A first
for name in postgres redis mail web; do
    secret
    first[$name]=$VALUE
done
sql <<<"SET log_statement = none; CREATE ROLE app LOGIN PASSWORD '${first[postgres]}'"
passfile "$DIR/redis-admin"
hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }
printf 'user %s\n' "default off" "app on #$(hash "${first[redis]}") ~* +ping" \
    "admin on #$(hash "$VALUE") +acl|setuser +acl|getuser +acl|save" >"$DIR/users.acl"
start_redis
start_nginx
echo "web_a:$(openssl passwd -6 -stdin <<<"${first[web]}")" >"$DIR/www/htpasswd"
chgrp www-data "$DIR/www/htpasswd"
chmod 640 "$DIR/www/htpasswd"
printf %s "${first[mail]}" >"$DIR/mail"

new_programs
cp contrib/appliers/{*.py,postgres,redis,file,nginx} "$PROGRAMS"
# shellcheck disable=SC2016
printf '#!/bin/sh\ncp "${1#from=}" "${2#to=}"\n' >"$PROGRAMS/reload"
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec cmp -s - "${1#with=}"\n' >"$PROGRAMS/check"
chmod 755 "$PROGRAMS"/{reload,check}

# What stands in the programs' heads as an example is a good configuration.
for program in postgres redis file nginx; do
    awk '/^    \[rotation/ { inside = 1 } !/^    / { inside = 0 } inside' "$PROGRAMS/$program"
done | sed "s|/usr/local/libexec/jarvis-secretsd|$PROGRAMS|" | cat "$DIR/config.toml" - >"$DIR/examples.toml"
"$BINARY" check --config "$DIR/examples.toml" >"$DIR/report" 2>&1 || fail "the examples: $(cat "$DIR/report")"
grep -q "^appliers of $(grep -c '^ *\[rotation\.' "$DIR/examples.toml") secrets: good" "$DIR/report" || fail "the examples: $(cat "$DIR/report")"

# rotation NAME PROGRAM ACTIONS ARGUMENT...: the table of a secret.
rotation() {
    local name=$1 program=$2 actions=$3 action
    shift 3
    echo "[rotation.$name]"
    for action in $actions; do
        echo "$action = [$(printf '"%s", ' "$PROGRAMS/$program" "$action" "$@")]"
    done
}
{
    awk '/^## / { below = $0 == "## Rotating external systems" }
        below && /^```/ { inside = $0 == "```toml"; next }
        below && inside' docs/rotation.md |
        sed "s|/usr/local/libexec/jarvis-secretsd|$PROGRAMS|; s|127.0.0.1:5432|127.0.0.1:$POSTGRES_PORT|"
    rotation redis_password redis 'apply verify retire' "server=redis://127.0.0.1:$REDIS_PORT" user=app admin=admin \
        "admin_passfile=$DIR/redis-admin"
    rotation mail_password file 'apply verify' "path=$DIR/mail" --reload "$PROGRAMS/reload" "from=$DIR/mail" "to=$DIR/loaded" \
        --check "$PROGRAMS/check" "with=$DIR/loaded"
    rotation web_login nginx 'prepare' users=web_a,web_b
    rotation web_login nginx 'apply retire' "path=$DIR/www/htpasswd" users=web_a,web_b | tail -n +2
    rotation web_login nginx 'verify' "url=http://127.0.0.1:$NGINX_PORT/protected" users=web_a,web_b | tail -n +2
} >>"$DIR/config.toml"
start_daemon

# store NAME VALUE: what was set by hand.
store() { expect 200 admin POST /secret "$(jq -n --arg name "$1" --arg value "$2" '{$name, $value}')"; }
mkdir "$DIR/bin"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CONFIG=$DIR/config.toml JARVIS_SECRETSD_CLIENT=admin
systemctl() {
    [ "$*" = "restart jarvis-secretsd" ] || fail "systemctl $*"
    stop_daemon
    start_daemon
    export JARVIS_SECRETSD_ADDR=$URL
}
eval "$(pasted docs/rotation.md '## Rotating external systems')" >"$DIR/said" <<<"${first[postgres]}"
grep -q '^postgres_password .*rotated' "$DIR/said" || fail "the handbook's secret is not rotated: $(cat "$DIR/said")"
store redis_password "${first[redis]}"
store mail_password "${first[mail]}"
store web_login "web_a:${first[web]}"

# current NAME: its current value is then in $VALUE, what that was before in $BEFORE.
current() {
    expect 200 admin GET "/secret/$1"
    BEFORE=$VALUE
    VALUE=$(jq -r .value "$DIR/answer")
    printf '%s\n' "$VALUE" >>"$DIR/values"
}

# Whether a value works, as the service's own clients say.
works_postgres_password() { PGPASSWORD=$1 psql -X -w "postgresql://app@127.0.0.1:$POSTGRES_PORT/app" -c 'SELECT 1' >"$DIR/said" 2>&1; }
works_redis_password() { [ "$(REDISCLI_AUTH=$1 redis-cli -p "$REDIS_PORT" --user app ping 2>"$DIR/said")" = PONG ]; }
works_mail_password() { cmp -s "$DIR/loaded" <(printf %s "$1"); }
works_web_login() { curl -fs -o "$DIR/said" -K - "http://127.0.0.1:$NGINX_PORT/protected" <<<"user = \"$1\""; }

works_postgres_password "$(jarvis-secretsd get postgres_password)" || fail "what the handbook has rotated does not work: $(cat "$DIR/said")"
! works_postgres_password "${first[postgres]}" || fail "the password before the handbook's rotation works"
echo "the handbook's commands set up the rotation of a database's password"

declare -A before after
for name in postgres_password redis_password mail_password web_login; do
    current "$name"
    for ((rotation = 1; rotation <= 3; rotation++)); do
        expect 200 admin POST /rotate "{\"names\":[\"$name\"]}"
        current "$name"
        [ "$VALUE" != "$BEFORE" ] || fail "$name: rotation $rotation has made no new version"
        "works_$name" "$VALUE" || fail "$name: what is served after rotation $rotation does not work: $(cat "$DIR/said")"
        case $name in
            redis_password | web_login) "works_$name" "$BEFORE" || fail "$name: the value before does not work" ;;
            *) ! "works_$name" "$BEFORE" || fail "$name: the value before works" ;;
        esac
    done
    before[$name]=$BEFORE after[$name]=$VALUE
done
echo "each is rotated; where two values can work, the one before does"

# roll_back NAME: to the version before the current one.
roll_back() {
    expect 200 admin GET "/secret/$1/versions"
    expect 200 admin POST "/secret/$1/rollback" "$(jq '.versions[1] | {kid}' "$DIR/answer")"
    current "$1"
}
for name in "${!before[@]}"; do
    for expected in "${before[$name]}" "${after[$name]}"; do
        roll_back "$name"
        [ "$VALUE" = "$expected" ] || fail "$name: another version was gone back to"
        "works_$name" "$VALUE" || fail "$name: what was gone back to does not work: $(cat "$DIR/said")"
    done
done
echo "each goes back to the value before, which works again, and from there to the one after it"

# Its grace is ended by hand.
expect 200 admin POST /secret/redis_password/retire '{}'
! works_redis_password "${before[redis_password]}" || fail "redis_password: the value before works though it was retired"
works_redis_password "${after[redis_password]}" || fail "redis_password: what is served does not work: $(cat "$DIR/said")"
echo "a version is retired in the external system, too"

# Fifteen days later.
stop_daemon
library=$(faketime_library)
printf '#!/bin/sh\nLD_PRELOAD=%q FAKETIME=+15d DONT_FAKE_MONOTONIC=1 exec %q "$@"\n' "$library" "$(realpath "$BINARY")" >"$DIR/later"
chmod 755 "$DIR/later"
BINARY=$DIR/later
start_daemon
is_over() { ! "works_$1" "${before[$1]}"; }
for name in "${!before[@]}"; do
    await "the value before of $name has had its grace" is_over "$name"
    "works_$name" "${after[$name]}" || fail "$name: what is served does not work any more: $(cat "$DIR/said")"
done
echo "after the grace, the one before does not"

# A server that is down: whether the new value works is then unknown. It is known when both are back.
current redis_password
stop "$REDIS"
expect 502 admin POST /rotate '{"names":["redis_password"]}'
grep -q apply_failed "$DIR/answer" || fail "another error: $(cat "$DIR/answer")"
current redis_password
[ "$VALUE" = "$BEFORE" ] || fail "another version is current"
start_redis
stop_daemon
start_daemon
await "it is known what works" is_resolved
current redis_password
[ "$VALUE" = "$BEFORE" ] && works_redis_password "$VALUE" || fail "the version before should be current, and work"
expect 200 admin POST /rotate '{"names":["redis_password"]}'
current redis_password
works_redis_password "$VALUE" || fail "what is served does not work: $(cat "$DIR/said")"
echo "a server that is down changes nothing"

# What leaks of a secret without appliers, and of one with a program to retire its values. Redis gets the new value by hand.
export JARVIS_SECRETSD_ADDR=$URL
eval "$(pasted docs/rotation.md '# Rotation')" >"$DIR/said"
expect 200 admin GET /secret/jwt_signing_key/versions
mapfile -t kids < <(jq -r '.versions[].kid' "$DIR/answer")
[ "${#kids[@]}" = 3 ] || fail "not three versions: ${kids[*]}"
[ "$(jarvis-secretsd get jwt_signing_key)" = "$(jarvis-secretsd get jwt_signing_key --kid "${kids[2]}")" ] ||
    fail "the rollback has made another value current than the first"
secret
NEW=$VALUE
current redis_password
REDISCLI_AUTH=$(cat "$DIR/redis-admin") redis-cli -p "$REDIS_PORT" --user admin acl setuser app "#$(hash "$NEW")" >"$DIR/answer"
leaked=$VALUE
works_redis_password "$leaked" || fail "the value that has leaked should work until it is replaced: $(cat "$DIR/said")"
eval "$(pasted docs/rotation.md '## A value has leaked')" >"$DIR/said"
for kid in "${kids[@]}"; do
    expect 410 admin GET "/secret/jwt_signing_key?kid=$kid"
done
! works_redis_password "$leaked" || fail "the value that has leaked works"
current redis_password
[ "$VALUE" = "$NEW" ] && works_redis_password "$NEW" || fail "the new value is not served, or does not work: $(cat "$DIR/said")"
echo "a value that has leaked is replaced, and no version before it can be read or used"

stop_daemon
"$BINARY" audit verify "$DIR/audit/audit.jsonl" >"$DIR/report" 2>&1 || fail "$(cat "$DIR/report")"
nowhere_seen "$DIR/log" "$DIR/logs" "$DIR/audit/audit.jsonl" "$DIR/postgres.log" "$DIR/redis.log" "$DIR/users.acl" "$DIR/nginx.log" \
    "$DIR/www/htpasswd"
