#!/usr/bin/env bash
# The programs of contrib/appliers against a real PostgreSQL, Redis and nginx: what each does, that it can be done again, which
# value works when, what they say when something is wrong, and that no value is in a log, an argument or the environment.
source "$(dirname "$0")/lib.sh"
source tests/system/appliers/servers.sh
need curl initdb jq nginx openssl pg_isready psql python3 redis-cli redis-server setpriv strace
need_root

DIR=$(mktemp -d)
chmod 711 "$DIR"
trap stop_servers EXIT
appliers=$PWD/contrib/appliers
TRACE=()

# call STATUS PROGRAM ACTION JSON ARGUMENT...: runs it as the daemon does. What it prints is then in $DIR/printed, and what it
# says, in which no value may be, in $DIR/said.
call() {
    local expected=$1 program=$2 action=$3 json=$4 status=0
    shift 4
    (cd / && env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        "${TRACE[@]}" "$appliers/$program" "$action" "$@" <<<"$json" >"$DIR/printed" 2>"$DIR/said") || status=$?
    [ "$status" = "$expected" ] || fail "$program $action $*: status $status, not $expected: $(cat "$DIR/said")"
    if [ "$status" = 0 ]; then
        [ ! -s "$DIR/said" ] || fail "$program $action: done, but says $(cat "$DIR/said")"
    else
        [ "$(grep -c '' "$DIR/said")" = "$(grep -cE "^(.*/)?$program" "$DIR/said")" ] || fail "$program $action says $(cat "$DIR/said")"
        nowhere_seen "$DIR/said"
    fi
}

# said WORDS: the last program said that.
said() { grep -qF -- "$1" "$DIR/said" || fail "not '$1' is said, but: $(cat "$DIR/said")"; }

change() { jq -nc --arg a "$1" --arg o "$2" --arg n "$3" '{action: $a, name: "s", old: {kid: "s-1", value: $o}, new: {value: $n}}'; }
check() { jq -nc --arg v "$1" '{action: "verify", name: "s", kid: "s-1", value: $v}'; }
ending() {
    jq -nc --arg o "$1" --arg c "$2" '{action: "retire", name: "s", old: {kid: "s-1", value: $o}, current: {kid: "s-2", value: $c}}'
}

# apply STATUS PROGRAM OLD NEW ARGUMENT...; verify STATUS PROGRAM VALUE …; retire STATUS PROGRAM OLD CURRENT …
apply() { call "$1" "$2" apply "$(change apply "$3" "$4")" "${@:5}"; }
verify() { call "$1" "$2" verify "$(check "$3")" "${@:4}"; }
retire() { call "$1" "$2" retire "$(ending "$3" "$4")" "${@:5}"; }
# prepare PROGRAM OLD GENERATED ARGUMENT...: the value is then in $VALUE.
prepare() {
    call 0 "$1" prepare "$(change prepare "$2" "$3")" "${@:4}"
    VALUE=$(cat "$DIR/printed")
    printf '%s\n' "$VALUE" >>"$DIR/values"
}
# traced COMMAND...: one of these, while it is watched which programs are started, with which arguments and environment.
traced() { TRACE=(strace -f -qq -v -s 65536 -e trace=execve -o "$DIR/trace") && "$@" && TRACE=(); }
# is_unseen COUNT: so many were, at least, and none got a value in this way.
is_unseen() {
    [ "$(grep -c execve "$DIR/trace")" -ge "$1" ] || fail "too few programs were started: $(cat "$DIR/trace")"
    nowhere_seen "$DIR/trace"
}

# What is asked wrongly, alike for each of them.
secret
old=$VALUE
for program in postgres redis file nginx; do
    call 2 "$program" frobnicate '{}'
    said usage
    call 2 "$program" verify "$(change apply "$old" "$old")"
    said 'not one for verify'
    call 2 "$program" verify '{"action":"verify","name":"s","value":""}'
    call 2 "$program" verify '{"action":"verify","action":"verify","name":"s","value":"v"}'
    call 2 "$program" verify "[\"$old\"]"
    call 2 "$program" verify "$old"
    said 'not JSON'
    call 2 "$program" apply '{"action":"apply","name":"s","old":{"value":"v"}}'
    said 'new has no value'
    verify 2 "$program" "$old"
    said missing
    verify 2 "$program" "$old" frob=1
    said 'unknown argument'
done
mkdir "$DIR/alone"
cp "$appliers"/{postgres,redis,file,nginx} "$DIR/alone"
appliers=$DIR/alone
for program in postgres redis file nginx; do
    verify 2 "$program" "$old"
    said 'No module'
done
appliers=$PWD/contrib/appliers
echo "what is asked wrongly is refused"

# weak_verifier ROUNDS: what PostgreSQL keeps of the password on standard input, after so many iterations.
weak_verifier() { PYTHONPATH=$appliers /usr/bin/python3 -B -c 'import postgresql, sys
postgresql.ITERATIONS = int(sys.argv[1])
print(postgresql.verifier(sys.stdin.readline().strip()))' "$1"; }

# PostgreSQL, one role: by itself.
start_postgres
sql postgres <<<'CREATE DATABASE app'
secret
first=$VALUE
passfile "$DIR/rotator"
rotator=$VALUE
sql <<END
SET log_statement = none;
CREATE ROLE own LOGIN PASSWORD '$first';
CREATE ROLE app NOLOGIN;
CREATE ROLE app_a LOGIN IN ROLE app;
CREATE ROLE app_b LOGIN IN ROLE app;
ALTER ROLE app_a SET role = 'app';
ALTER ROLE app_b SET role = 'app';
CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '$rotator';
GRANT app_a, app_b TO rotator WITH ADMIN OPTION;
CREATE ROLE $(id -un) LOGIN CREATEROLE;
END
server=postgresql://127.0.0.1:$POSTGRES_PORT/app
one=("server=$server" role=own)
secret
second=$VALUE
verify 0 postgres "$first" "${one[@]}"
verify 1 postgres "$second" "${one[@]}"
said 28P01
traced apply 0 postgres "$first" "$second" "${one[@]}"
is_unseen 1
verify 1 postgres "$first" "${one[@]}"
verify 0 postgres "$second" "${one[@]}"
apply 0 postgres "$first" "$second" "${one[@]}"
verify 0 postgres "$second" "${one[@]}"
retire 0 postgres "$first" "$second" "${one[@]}"
verify 0 postgres "$second" "${one[@]}"
PGPASSWORD=$second psql -X -q "postgresql://own@127.0.0.1:$POSTGRES_PORT/app" -c 'SELECT 1' >"$DIR/answer" || fail "psql is refused"
secret
apply 2 postgres "$first" "$VALUE" "${one[@]}"
said 'neither the old password nor the new one'
call 2 postgres prepare "$(change prepare "$second" "$first")" "${one[@]}"
apply 2 postgres "$second" "pässword" "${one[@]}"
said ASCII
# By an administrator, over the socket as who we are.
apply 0 postgres "$second" "$first" "${one[@]}" "admin=postgresql://$(id -un)@:$POSTGRES_PORT/app?host=$DIR/postgres"
verify 0 postgres "$first" "${one[@]}"
echo "PostgreSQL: a role's password is changed, by itself and by an administrator"

# An apply that is killed while the server is at it, here because somebody holds a lock that it needs: until it is known how that
# ends, verify says nothing.
mkfifo "$DIR/lock"
sql <"$DIR/lock" &
locker=$!
SERVERS+=("$locker")
exec 3>"$DIR/lock"
echo 'BEGIN; LOCK TABLE pg_authid IN SHARE MODE;' >&3
await "the lock is held" counts pg_locks "relation = 'pg_authid'::regclass AND mode = 'ShareLock' AND granted"
"$appliers/postgres" apply "${one[@]}" <<<"$(change apply "$first" "$second")" &
applies=$!
await "the server is at it" counts pg_stat_activity "application_name LIKE '% changes %' AND wait_event_type = 'Lock'"
kill -9 "$applies"
wait "$applies" 2>"$DIR/shell" || true
verify 1 postgres "$second" "${one[@]}"
verify 1 postgres "$first" "${one[@]}" &
waits=$!
await "verify has logged in" counts pg_stat_activity "application_name = 'jarvis-secretsd'"
echo 'COMMIT;' >&3
wait "$waits" || fail "verify has not waited for the end"
echo '\q' >&3
wait "$locker"
exec 3>&-
verify 0 postgres "$second" "${one[@]}"
apply 0 postgres "$second" "$first" "${one[@]}"
echo "PostgreSQL: what a killed apply has left in the server is waited for"

# Two roles in turn.
by=("admin=postgresql://rotator@127.0.0.1:$POSTGRES_PORT/app" "admin_passfile=$DIR/rotator")
two=("server=$server?application_name=shop" "roles=app_a,app_b")
secret
prepare postgres 'never a URI' "$VALUE" "${two[@]}"
a=$VALUE
[[ $a == "postgresql://app_a:"*"@127.0.0.1:$POSTGRES_PORT/app?application_name=shop" ]] || fail "prepare prints $a"
verify 1 postgres "$a" "${two[@]}"
apply 0 postgres 'never a URI' "$a" "${two[@]}" "${by[@]}"
verify 0 postgres "$a" "${two[@]}"
retire 0 postgres 'never a URI' "$a" "${two[@]}" "${by[@]}"
secret
prepare postgres "$a" "$VALUE" "${two[@]}"
b=$VALUE
[[ $b == postgresql://app_b:* ]] || fail "prepare prints $b"
traced apply 0 postgres "$a" "$b" "${two[@]}" "${by[@]}"
is_unseen 1
apply 0 postgres "$a" "$b" "${two[@]}" "${by[@]}"
verify 0 postgres "$a" "${two[@]}"
verify 0 postgres "$b" "${two[@]}"
for uri in "$a" "$b"; do
    [ "$(psql -X -At "$uri" -c 'SELECT current_user')" = app ] || fail "psql is refused, or not app"
done
secret
prepare postgres "$b" "$VALUE" "${two[@]}"
c=$VALUE
apply 0 postgres "$b" "$c" "${two[@]}" "${by[@]}"
verify 1 postgres "$a" "${two[@]}"
# The first version's grace ends: its role has another password already, which stays.
retire 0 postgres "$a" "$c" "${two[@]}" "${by[@]}"
verify 0 postgres "$c" "${two[@]}"
retire 0 postgres "$a" "$b" "${two[@]}" "${by[@]}"
verify 0 postgres "$c" "${two[@]}"
retire 0 postgres "$b" "$c" "${two[@]}" "${by[@]}"
verify 1 postgres "$b" "${two[@]}"
verify 0 postgres "$c" "${two[@]}"
retire 0 postgres "$b" "$c" "${two[@]}" "${by[@]}"
apply 2 postgres "$c" "$a" "${two[@]}" "${by[@]}"
said 'prepare is missing'
verify 0 postgres "$c" "${two[@]}"
echo "PostgreSQL: two roles in turn, the old one works until it is retired or used again"

# What goes wrong.
secret
mistaken=${VALUE//[^A-Za-z]/}
echo "$mistaken" >>"$DIR/values"
for uri in "x?$mistaken=1@127.0.0.1/app" "x/$mistaken@127.0.0.1/app" "x#$mistaken@127.0.0.1/app" "5/$mistaken@127.0.0.1/app"; do
    verify 2 postgres "postgresql://app_a:$uri" "${two[@]}"
done
apply 2 postgres "$c" "$b" "${two[@]}"
said 'missing: admin='
chmod 640 "$DIR/rotator"
apply 2 postgres "$c" "$b" "${two[@]}" "${by[@]}"
said 'others may read it'
chmod 600 "$DIR/rotator"
verify 2 postgres x "server=postgresql://u@127.0.0.1/app" role=own
said 'must not hold a user'
verify 2 postgres "$first" "server=postgresql://db.internal/app" role=own
said sslmode
verify 2 postgres "$first" "server=$server?sslmod=disable" role=own
said 'sslmod is not known'
verify 2 postgres "$first" "server=postgresql://127.0.0.1:$POSTGRES_PORT/nosuch" role=own
said 3D000
apply 2 postgres "$first" "$second" "${one[@]}" "admin=postgresql://app_a@127.0.0.1:$POSTGRES_PORT/app" "admin_passfile=$DIR/rotator"
said admin=app_a
verify 2 postgres "$first" "server=postgresql://127.0.0.1:$(free_port)/app" role=own
said 'no connection'
verify 2 postgres "$first" "server=$server?sslmode=require" role=own
said TLS
as_postgres openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 3 \
    -addext 'subjectAltName = IP:127.0.0.1' -keyout "$DIR/postgres/data/server.key" -out "$DIR/postgres/data/server.crt" 2>"$DIR/openssl"
cp "$DIR/postgres/data/server.crt" "$DIR/ca.pem"
sql <<<"ALTER SYSTEM SET ssl = on"
sql <<<"SELECT pg_reload_conf()" >"$DIR/answer"
speaks_tls() { openssl s_client -starttls postgres -connect "127.0.0.1:$POSTGRES_PORT" </dev/null >"$DIR/openssl" 2>&1; }
await "PostgreSQL speaks TLS" speaks_tls
verify 0 postgres "$first" "server=$server?sslmode=verify-full&sslrootcert=$DIR/ca.pem" role=own
verify 1 postgres "$second" "server=$server?sslmode=verify-full&sslrootcert=$DIR/ca.pem" role=own
verify 2 postgres "$first" "server=$server?sslmode=verify-full" role=own
said CERTIFICATE_VERIFY_FAILED
verify 0 postgres "$first" "server=$server?sslmode=require" role=own
# A server that lets everybody in says nothing about a password; one that wants it in the clear does not get it.
lets_in() { psql -X -w "postgresql://own@127.0.0.1:$POSTGRES_PORT/app" -c 'SELECT 1' >"$DIR/answer" 2>&1; }
lets_nobody_in() { ! lets_in; }
tcp_by trust
kill -HUP "$POSTGRES"
await "PostgreSQL lets everybody in" lets_in
verify 2 postgres "$first" "${one[@]}"
said 'without a password'
tcp_by password
kill -HUP "$POSTGRES"
await "PostgreSQL lets nobody in without a password" lets_nobody_in
verify 2 postgres "$first" "${one[@]}"
said 'a method other than SCRAM-SHA-256'
# One whose password is kept so that it is guessed more easily than RFC 7677 wants it.
tcp_by scram-sha-256
kill -HUP "$POSTGRES"
sql <<END
SET log_statement = none;
ALTER ROLE own PASSWORD '$(weak_verifier 4095 <<<"$first")';
END
asks_for_scram() { [[ $(PGPASSWORD=$second psql -X -w "postgresql://own@127.0.0.1:$POSTGRES_PORT/app" -c '' 2>&1) = *'password authentication failed'* ]]; }
await "PostgreSQL wants SCRAM again" asks_for_scram
verify 2 postgres "$first" "${one[@]}"
said '4095 iterations'
apply 2 postgres "$first" "$second" "${one[@]}"
said '4095 iterations'
apply 0 postgres "$first" "$first" "${one[@]}" "admin=postgresql://$(id -un)@:$POSTGRES_PORT/app?host=$DIR/postgres"
verify 0 postgres "$first" "${one[@]}"
# One that is content with any proof, though it knows the password.
start_fake postgres <<<"$first"
verify 2 postgres "$first" "server=postgresql://127.0.0.1:$FAKE_PORT/app" role=own
said 'does not know the password'
stop "$POSTGRES"
verify 2 postgres "$first" "${one[@]}"
said 'no connection'
nowhere_seen "$DIR/postgres.log"
grep -q 'ALTER ROLE "app_b" PASSWORD' "$DIR/postgres.log" || fail "PostgreSQL logs no statements"
echo "PostgreSQL: an unknown outcome is not called refused, and no password was logged"

# Redis.
passfile "$DIR/redis-admin"
admin=$VALUE
secret
first=$VALUE
secret
second=$VALUE
hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }
printf 'user %s\n' "default off" "app on #$(hash "$first") ~* +ping" \
    "admin on #$(hash "$admin") +acl|setuser +acl|getuser +acl|save +monitor" >"$DIR/users.acl"
start_redis
: >"$DIR/monitor"
REDISCLI_AUTH=$admin redis-cli -p "$REDIS_PORT" --user admin monitor >"$DIR/monitor" 2>&1 &
SERVERS+=("$!")
monitored() { grep -q OK "$DIR/monitor"; }
await "Redis shows the commands that it gets" monitored
place=("server=redis://127.0.0.1:$REDIS_PORT" user=app)
by=(admin=admin "admin_passfile=$DIR/redis-admin")
verify 0 redis "$first" "${place[@]}"
verify 1 redis "$second" "${place[@]}"
said WRONGPASS
traced apply 0 redis "$first" "$second" "${place[@]}" "${by[@]}"
is_unseen 1
apply 0 redis "$first" "$second" "${place[@]}" "${by[@]}"
verify 0 redis "$first" "${place[@]}"
verify 0 redis "$second" "${place[@]}"
stop "$REDIS"
verify 2 redis "$first" "${place[@]}"
said 'no connection'
start_redis
# It gets a hash.
TRACE=(strace -f -qq -s 65536 -e trace=sendto -o "$DIR/sent")
apply 0 redis "$first" "$second" "${place[@]}" "${by[@]}"
TRACE=()
grep -q "SETUSER.*$(hash "$second")" "$DIR/sent" && ! grep -qF -e "$first" -e "$second" "$DIR/sent" ||
    fail "Redis gets something else: $(cat "$DIR/sent")"
# Killed between setting and saving.
REDISCLI_AUTH=$admin redis-cli -p "$REDIS_PORT" --user admin acl setuser app "#$(hash third)" >"$DIR/answer"
verify 0 redis third "${place[@]}" "${by[@]}"
grep -q "$(hash third)" "$DIR/users.acl" || fail "what works does not last"
verify 0 redis third "${place[@]}"
verify 0 redis "$first" "${place[@]}"
verify 0 redis "$second" "server=unix://$DIR/redis/socket" user=app
[ "$(REDISCLI_AUTH=$second redis-cli -p "$REDIS_PORT" --user app ping)" = PONG ] || fail "redis-cli is refused"
retire 0 redis "$first" "$second" "${place[@]}" "${by[@]}"
verify 1 redis "$first" "${place[@]}"
verify 0 redis "$second" "${place[@]}"
retire 0 redis "$first" "$second" "${place[@]}" "${by[@]}"
verify 0 redis "$second" "${place[@]}"
secret
third=$VALUE
apply 0 redis "$second" "$third" "${place[@]}" "${by[@]}"
apply 0 redis "$third" "$first" "${place[@]}" "${by[@]}"
verify 1 redis "$second" "${place[@]}"
verify 0 redis "$third" "${place[@]}"
apply 2 redis "$first" "$second" "server=redis://127.0.0.1:$REDIS_PORT" user=nosuch "${by[@]}"
said 'no user nosuch'
apply 2 redis "$first" "$second" "${place[@]}"
said NOPERM
# As systemd hands a credential over, to one who is not root: readable by the group, or by an ACL that looks so.
cp -r "$appliers" "$DIR/installed"
install -m 440 -g www-data "$DIR/redis-admin" "$DIR/credential"
appliers=$DIR/installed
TRACE=(setpriv --reuid www-data --regid www-data --clear-groups)
handed=(admin=admin "admin_passfile=$DIR/credential")
apply 0 redis "$third" "$first" "${place[@]}" "${handed[@]}"
chown nobody "$DIR/credential"
apply 2 redis "$third" "$first" "${place[@]}" "${handed[@]}"
said 'belongs to user'
chown root "$DIR/credential"
chmod 460 "$DIR/credential"
apply 2 redis "$third" "$first" "${place[@]}" "${handed[@]}"
said 'others may read it'
TRACE=()
appliers=$PWD/contrib/appliers
apply 2 redis "$third" "$first" "${place[@]}" "${by[@]}" persist=config
said 'CONFIG REWRITE fails'
apply 0 redis "$third" "$first" "${place[@]}" "${by[@]}"
verify 2 redis "$first" "server=redis://u@127.0.0.1" user=app
# A user that needs no password says nothing about one; the next rotation ends that.
as_admin() { [ "$(REDISCLI_AUTH=$admin redis-cli -p "$REDIS_PORT" --user admin "$@")" = OK ] || fail "the administrator cannot: $*"; }
as_admin acl setuser app nopass
verify 2 redis "$first" "${place[@]}" "${by[@]}"
said 'lets app in with any password'
verify 2 redis 'never set' "${place[@]}"
apply 0 redis "$third" "$first" "${place[@]}" "${by[@]}"
verify 0 redis "$first" "${place[@]}" "${by[@]}"
verify 1 redis "$second" "${place[@]}" "${by[@]}"
as_admin acl setuser app off
verify 1 redis "$first" "${place[@]}"
as_admin acl setuser app on
verify 0 redis "$first" "${place[@]}"
stop "$REDIS"
# What is no Redis, or does as if it were one.
for fake in 'lines|+OK' 'lines|-ERR' 'lines+OK|-ERR' 'lines+OK|+OK' 'lines|HTTP/1.1 400 Bad Request' 'lines|ERROR' 'lines|:1' \
    'redis|+OK|+OK' 'redis|-ERR no|+PONG' 'redis|-ERR no|:1' 'redis|-ERR no|*0' 'redis|-ERR max number of clients reached'; do
    IFS='|' read -r kind answers more <<<"$fake"
    case $kind in
        redis) start_fake redis "$answers" ${more:+"$more"} ;;
        *) start_fake lines "${kind#lines}" "$answers" ;;
    esac
    verify 2 redis "$first" "server=redis://127.0.0.1:$FAKE_PORT" user=app
    ! grep -q defect "$DIR/said" || fail "$fake: $(cat "$DIR/said")"
done
start_fake redis '-WRONGPASS no' '+OK'
verify 0 redis "$first" "server=redis://127.0.0.1:$FAKE_PORT" user=app
start_fake redis '-WRONGPASS no' '-WRONGPASS no'
verify 1 redis "$first" "server=redis://127.0.0.1:$FAKE_PORT" user=app
cp "$DIR/postgres/data/server.key" "$DIR/server.key"
tls_port=$(free_port)
start_redis --tls-port "$tls_port" --tls-cert-file "$DIR/ca.pem" --tls-key-file "$DIR/server.key" \
    --tls-ca-cert-file "$DIR/ca.pem" --tls-auth-clients no
verify 0 redis "$first" "server=rediss://127.0.0.1:$tls_port" user=app "cafile=$DIR/ca.pem"
verify 2 redis "$first" "server=rediss://127.0.0.1:$tls_port" user=app
said CERTIFICATE_VERIFY_FAILED
stop "$REDIS"
nowhere_seen "$DIR/redis.log" "$DIR/monitor" "$DIR/users.acl"
echo "Redis: both passwords work during the grace, also after a restart, and no password was sent in the clear"

# A file.
secret
first=$VALUE
secret
second=$VALUE
cat >"$DIR/reload" <<END
#!/bin/sh
[ ! -e "$DIR/die" ] || kill -9 "\$PPID"
[ ! -e "$DIR/trouble" ] || exit 3
cp "$DIR/www/password" "$DIR/loaded"
END
cat >"$DIR/check" <<END
#!/bin/sh
[ ! -e "$DIR/trouble" ] || exit 4
cmp -s - "$DIR/loaded"
END
chmod +x "$DIR/reload" "$DIR/check"
mkdir "$DIR/www"
file=("path=$DIR/www/password" --reload "$DIR/reload" --check "$DIR/check")
verify 1 file "$first" "${file[@]}"
traced apply 0 file "$second" "$first" "${file[@]}"
is_unseen 2
traced verify 0 file "$first" "${file[@]}"
is_unseen 2
verify 1 file "$second" "${file[@]}"
[ "$(stat -c %a "$DIR/www/password")" = 600 ] || fail "another mode"
apply 0 file "$first" "$second" "path=$DIR/www/password" mode=640 group=www-data newline=yes
[ "$(stat -c '%a %G' "$DIR/www/password")" = '640 www-data' ] || fail "another mode or group"
cmp -s "$DIR/www/password" - <<<"$second" || fail "another content"
lines=$'one\ntwo\n'
apply 0 file "$second" "$lines" "path=$DIR/www/lines" newline=yes
cmp -s "$DIR/www/lines" - <<<$'one\ntwo' || fail "two newlines at the end"
verify 0 file "$lines" "path=$DIR/www/lines" newline=yes
rm "$DIR/www/lines"
apply 0 file "$first" "$second" "${file[@]}"
[ "$(stat -c '%a %G' "$DIR/www/password")" = '640 www-data' ] || fail "the mode or the group does not stay"
touch "$DIR/trouble"
apply 2 file "$second" "$first" "${file[@]}"
said 'ended with status 3'
verify 2 file "$first" "${file[@]}"
verify 1 file "$second" "${file[@]}"
rm "$DIR/trouble"
verify 0 file "$first" "${file[@]}"
touch "$DIR/trouble"
verify 2 file "$first" "${file[@]}"
said 'ended with status 4'
rm "$DIR/trouble"
# What calls every value good says nothing about one.
printf '#!/bin/sh\nexit 0\n' >"$DIR/content"
chmod +x "$DIR/content"
verify 2 file "$first" "path=$DIR/www/password" --check "$DIR/content"
said 'accepts any value'
# Killed between the file and the reload.
touch "$DIR/die"
! (cd / && "$appliers/file" apply "${file[@]}" <<<"$(change apply "$first" "$second")") >"$DIR/shell" 2>&1 || fail "it was not killed"
rm "$DIR/die"
verify 0 file "$second" "${file[@]}"
cmp -s "$DIR/loaded" "$DIR/www/password" || fail "the reload was not made up for"
[ "$(ls -A "$DIR/www")" = password ] || fail "something is left over: $(ls -A "$DIR/www")"
verify 2 file "$second" path=www/password
verify 2 file "$second" "path=$DIR/www/password" --reload reload
apply 2 file "$first" "$second" "path=$DIR/www/password" mode=rw
apply 2 file "$first" "$second" "path=$DIR/nosuch/password"
echo "a file: whole, with its mode, and what reads it is notified, also after a kill"

# nginx, which heeds the first line of a user only: that is why there are two of them.
start_nginx
# as USER PASSWORD: how nginx answers.
as() { curl -s -o "$DIR/answer" -w '%{http_code}' -K - "http://127.0.0.1:$NGINX_PORT/protected" <<<"user = \"$1:$2\""; }
printf 'other:{PLAIN}o\ntwice:{PLAIN}first\ntwice:{PLAIN}second\n' >"$DIR/www/htpasswd"
[ "$(as twice first) $(as twice second) $(as other o)" = '200 401 200' ] || fail "nginx heeds other lines than the first"
url=url=http://127.0.0.1:$NGINX_PORT/protected
edit=("path=$DIR/www/htpasswd" mode=640 group=www-data)
secret
first=$VALUE
secret
second=$VALUE
traced apply 0 nginx "$first" "$second" "${edit[@]}" user=twice
is_unseen 2
apply 0 nginx "$first" "$second" "path=$DIR/www/htpasswd" user=twice
[ "$(stat -c '%a %G' "$DIR/www/htpasswd")" = '640 www-data' ] || fail "another mode or group"
verify 0 nginx "$second" "$url" user=twice
verify 1 nginx "$first" "$url" user=twice
retire 0 nginx "$first" "$second" "path=$DIR/www/htpasswd" user=twice
verify 0 nginx "$second" "$url" user=twice
secret
prepare nginx 'no user' "$VALUE" users=app_a,app_b
a=$VALUE
apply 0 nginx 'no user' "$a" "${edit[@]}" users=app_a,app_b
secret
prepare nginx "$a" "$VALUE" users=app_a,app_b
b=$VALUE
[[ $a$b == app_a:*app_b:* ]] || fail "prepare prints $a and $b"
verify 1 nginx "$b" "$url" users=app_a,app_b
apply 0 nginx "$a" "$b" "${edit[@]}" users=app_a,app_b
verify 0 nginx "$a" "$url" users=app_a,app_b
verify 0 nginx "$b" "$url" users=app_a,app_b
apply 2 nginx "$a" "$a" "${edit[@]}" users=app_a,app_b
said 'prepare is missing'
secret
prepare nginx "$b" "$VALUE" users=app_a,app_b
c=$VALUE
apply 0 nginx "$b" "$c" "${edit[@]}" users=app_a,app_b
# The first version's grace ends: its user has another password already, which stays.
retire 0 nginx "$a" "$c" "${edit[@]}" users=app_a,app_b
retire 0 nginx "$a" "$b" "${edit[@]}" users=app_a,app_b
verify 1 nginx "$a" "$url" users=app_a,app_b
verify 0 nginx "$b" "$url" users=app_a,app_b
verify 0 nginx "$c" "$url" users=app_a,app_b
traced retire 0 nginx "$b" "$c" "${edit[@]}" users=app_a,app_b
is_unseen 2
retire 0 nginx "$b" "$c" "${edit[@]}" users=app_a,app_b
verify 1 nginx "$b" "$url" users=app_a,app_b
verify 0 nginx "$c" "$url" users=app_a,app_b
[ "$(as other o)" = 200 ] || fail "the other user is gone"
verify 2 nginx "$c" "url=http://127.0.0.1:$NGINX_PORT/open" users=app_a,app_b
said 'says nothing'
verify 2 nginx "$c" "url=http://127.0.0.1:$NGINX_PORT/any" users=app_a,app_b
said 'says nothing'
verify 2 nginx "$c" "url=http://app@127.0.0.1:$NGINX_PORT/protected" users=app_a,app_b
mv "$DIR/www/htpasswd" "$DIR/www/away"
verify 2 nginx "$c" "$url" users=app_a,app_b
mv "$DIR/www/away" "$DIR/www/htpasswd"
stop "$NGINX"
verify 2 nginx "$c" "$url" users=app_a,app_b
said refused
nowhere_seen "$DIR/nginx.log" "$DIR/nginx/access.log" "$DIR/www/htpasswd"
echo "nginx: two users in turn, and the file's other lines stay"

# The start that the handbook gives to write one's own: as it stands, it can tell nothing; then for a service that is a file.
appliers=$DIR
awk '/^```/ { inside = $0 == "```python"; next } inside' contrib/appliers/README.md >"$DIR/own"
chmod +x "$DIR/own"
verify 2 own "$first"
said NotImplementedError
sed -i -e "s|raise .*have the service.*|open('$DIR/www/own', 'w').write(new)|" \
    -e "s|raise .*log in with it.*|return open('$DIR/www/own').read() == value|" "$DIR/own"
verify 2 own "$first"
apply 0 own "$first" "$second"
verify 0 own "$second"
echo "the handbook's start of another one is sound"
