#!/usr/bin/env bash
# From a .env file to the daemon: the command and the script for hosts with curl alone store the same values or refuse the
# same files, and what the handbook says works as it stands there.
# The dollar signs are those of the files.
# shellcheck disable=SC2016
source "$(dirname "$0")/lib.sh"
need awk curl jq python3 strace

start_daemon
mkdir "$DIR/bin" "$DIR/files" "$DIR/work"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH HOME=$DIR JARVIS_SECRETSD_ADDR=$URL JARVIS_SECRETSD_CLIENT=admin
unset XDG_CONFIG_HOME
script=$PWD/contrib/migrate-env-secrets.sh

# run STATUS PROGRAM...: what it prints is in $DIR/out, and what it says of failures in $DIR/err.
run() {
    local expected=$1 status=0
    shift
    "$@" >"$DIR/out" 2>"$DIR/err" </dev/null || status=$?
    [ "$status" = "$expected" ] || fail "$*: status $status instead of $expected: $(cat "$DIR/out" "$DIR/err")"
}

# values PREFIX: what the daemon holds under names that begin so, without the prefix, a JSON object a line.
values() {
    local name
    expect 200 admin GET /secrets
    for name in $(jq -r --arg prefix "$1" '.secrets[].name | select(startswith($prefix))' "$DIR/answer"); do
        expect 200 admin GET "/secret/$name"
        jq -c --arg name "${name#"$1"}" '{$name, value}' "$DIR/answer"
    done
}

# file NAME TEXT: a file, in which printf has replaced the escapes.
file() {
    # shellcheck disable=SC2059
    printf "$2" >"$DIR/files/$1"
}
file plain 'A=1\nB.c-d_2 = two words \nexport C: x=y:z==\n\n  D\t=\tv\t\n'
file comments '# A=0\nA=1 # one\nB=a#b\nC=#c\nD="x"#y\n\t# end\nE=\047x # y\047 # z\n#'
file quotes 'A="a \\"b\\" \\t\\n\\\\ \\x $$ \\$B \\${B}"\nB=\047\\n "\\\047" $B ${B\047\nC=a"b\047c\\n\n'
file lines 'KEY="-----BEGIN-----\nabc+/=\n\n-----END-----\n"\nB=\047x\n  y\\\nz\047\nC=1'
file windows '\357\273\277A=1\r\nB="x\r\ny"\r\nC=\r\nD=\0472\047 # c\r\n'
file dollars 'A=pa$$word\nB=a$ b$1$(c)$\nC="$-$$"\n'
file control 'A="\\a\\b\\f\\v\\r"\nB=a\001\033b\177\n'
file unicode 'A=p\303\244ss\342\202\254\nB="\360\237\224\221"\nC=a\302\240b\n'
file export 'export=1\nexported=2\nexport  X=3\n'
file long "A=$(head -c 65536 /dev/zero | tr '\0' x)\n"
file too_long "A=$(head -c 65537 /dev/zero | tr '\0' x)\n"
file unclosed 'A=1\nB="2\n'
file behind 'A="1" B=2\n'
file no_value 'A= # none\n'
file tab 'A=1\t# one\n'
file escaped 'A=a\\$b\n'
file octal 'A="\\0123"\n'
file dollar_escape 'A="$\\$B"\n'
file invalid 'A=p\344ss\n'
file nul 'A=1\nB=a\000b\n'
file carriage 'A=1\rB=2\r'
file space_in_name 'A B=1\n'
file brackets 'A[0]=1\n'
file no_name '=1\n'
file odd_space 'A=1\302\240\n'
file odd_space_before 'A=\343\200\2001\n'
file twice 'A=1\nB=2\na=3\n'
file empty 'A=\nB=\047\047\n'
file nothing '\n'

stored=0 refused=0
for path in "$DIR"/files/*; do
    name=${path##*/}
    if jarvis-secretsd import --prefix "import.$name." "$path" >"$DIR/out" 2>&1; then
        run 0 "$script" --prefix "script.$name." "$path"
        [ ! -s "$DIR/err" ] || fail "$name: $(cat "$DIR/err")"
        values "import.$name." >"$DIR/import"
        values "script.$name." >"$DIR/script"
        [ -s "$DIR/import" ] || fail "$name: nothing was stored"
        diff "$DIR/import" "$DIR/script" || fail "$name: the script has stored something else than import"
        stored=$((stored + 1))
    else
        run 1 "$script" --prefix "script.$name." "$path"
        [ -z "$(values "import.$name.")$(values "script.$name.")" ] || fail "$name: something was stored all the same"
        refused=$((refused + 1))
    fi
done
[ "$stored $refused" = "10 19" ] || fail "$stored files were stored and $refused refused"
[ "$(values import.quotes. | sed -n 1p)" = '{"name":"a","value":"a \"b\" \t\n\\ \\x $ $B ${B}"}' ] ||
    fail "another value: $(values import.quotes. | sed -n 1p)"
values=$(values script.windows. | jq -c .value | tr '\n' ' ')
[ "$values" = '"1" "x\r\ny" "2" ' ] || fail "other values: $values"
echo "command and script store the same of $stored files, and nothing of $refused"

# What only the command does, the script refuses, and says where.
file variable 'A=1\nB=x$A\n'
run 1 "$script" "$DIR/files/variable"
grep -q "files/variable:2: a variable, which only jarvis-secretsd import expands" "$DIR/err" || fail "$(cat "$DIR/err")"
file bare 'A=1\nHOME\n'
run 1 "$script" "$DIR/files/bare"
grep -q "files/bare:2: a name without a value" "$DIR/err" || fail "$(cat "$DIR/err")"

# Both print the same, and show no value.
file some 'NEW=hunter2\nOLD=hunter2\nNONE=\n'
expect 200 admin POST /secret '{"name":"old","value":"before"}'
for options in --dry-run '--dry-run --replace' '' --replace; do
    status=$([ -n "$options" ] && echo 0 || echo 1)
    # shellcheck disable=SC2086
    run "$status" jarvis-secretsd import $options "$DIR/files/some"
    sort "$DIR/out" "$DIR/err" | sed 's/^jarvis-secretsd: //' >"$DIR/by-command"
    if [ "$options" = --replace ]; then
        expect 200 admin DELETE /secret/new
        expect 200 admin POST /secret '{"name":"old","value":"before"}'
    fi
    # shellcheck disable=SC2086
    run "$status" "$script" $options "$DIR/files/some"
    sort "$DIR/out" "$DIR/err" | sed 's/^migrate-env-secrets.sh: //' >"$DIR/by-script"
    diff "$DIR/by-command" "$DIR/by-script" || fail "the script says something else with $options"
    ! grep -q hunter2 "$DIR/by-command" "$DIR/by-script" || fail "a value was printed"
    if [ "$options" = '' ]; then
        grep -q 'exist already: old; --replace' "$DIR/err" || fail "$(cat "$DIR/err")"
        expect 404 admin GET /secret/new
        expect 200 admin GET /secret/old
        [ "$(jq -r .value "$DIR/answer")" = before ] || fail "it was replaced"
    fi
done
expect 200 admin GET /secret/old
[ "$(jq -r .value "$DIR/answer")" = hunter2 ] || fail "it was not replaced"
kid=$(jq -r .kid "$DIR/answer")
for program in 'jarvis-secretsd import' "$script"; do
    # shellcheck disable=SC2086
    run 0 $program "$DIR/files/some"
    [ "$(grep -cxE 'unchanged: (old|new)' "$DIR/out")" = 2 ] || fail "what is unchanged is not reported: $(cat "$DIR/out")"
done
expect 200 admin GET /secret/old
[ "$(jq -r .kid "$DIR/answer")" = "$kid" ] || fail "it has got another version"
echo "they say the same too, with --dry-run, with --replace and without, and make no version of a value that is there"

# from_input FILE PROGRAM...: with the file on its standard input.
from_input() {
    local input=$1
    shift
    "$@" <"$input"
}
for program in 'jarvis-secretsd import' "$script"; do
    # shellcheck disable=SC2086
    run 0 from_input "$DIR/files/quotes" $program --prefix="input.${program##*[/ ]}." -
    ! grep -q 'still holds' "$DIR/out" || fail "a file is to be deleted where there was none: $(cat "$DIR/out")"
    # shellcheck disable=SC2086
    run 1 from_input "$DIR/files/behind" $program -
    grep -q ': standard input:1' "$DIR/err" || fail "no place is reported: $(cat "$DIR/err")"
done
values import.quotes. >"$DIR/import"
for program in import migrate-env-secrets.sh; do
    values "input.$program." | diff "$DIR/import" - || fail "$program stores something else from standard input"
done
run 1 from_input "$DIR/files/nul" "$script" -
grep -q ': standard input:2: a NUL byte' "$DIR/err" || fail "$(cat "$DIR/err")"
echo "they read standard input alike, with the prefix behind an equals sign"

# With a token that no command line shows.
read -r token hash <<<"$(jarvis-secretsd token deploy 2>/dev/null | sed 's/.*"\(.*\)".*/\1/' | tr '\n' ' ')"
printf '[clients.deploy]\nallow = ["*"]\nadmin = true\ntoken_sha256 = ["%s"]\n' "$hash" >>"$DIR/policy.toml"
sed -i "s|^\[paths\]|unix_socket = \"$DIR/sock\"\n&|" "$DIR/config.toml"
stop_daemon
start_daemon
export JARVIS_SECRETSD_ADDR=$URL
mkdir "$DIR/shim"
cat >"$DIR/shim/curl" <<END
#!/usr/bin/env bash
printf '%s\n' "\$@" >>"$DIR/arguments"
exec "$(command -v curl)" "\$@"
END
chmod +x "$DIR/shim/curl"
(umask 077 && echo "$token" >"$DIR/token")
for address in "$URL" "unix:$DIR/sock"; do
    run 0 env PATH="$DIR/shim:$PATH" JARVIS_SECRETSD_ADDR="$address" JARVIS_SECRETSD_CLIENT=deploy \
        JARVIS_SECRETSD_TOKEN_FILE="$DIR/token" "$script" --replace "$DIR/files/some"
done
grep -qxF http://localhost/secrets "$DIR/arguments" || fail "curl was not seen: $(cat "$DIR/arguments")"
cp "$DIR/token" "$DIR/shared"
: >"$DIR/asked"
for mode in 644 640 620; do
    chmod "$mode" "$DIR/shared"
    for program in 'jarvis-secretsd import' "$script"; do
        # shellcheck disable=SC2086
        run 0 env PATH="$DIR/shim:$PATH" JARVIS_SECRETSD_TOKEN_FILE="$DIR/shared" JARVIS_SECRETSD_CLIENT=deploy \
            $program --replace "$DIR/files/some"
        sed 's/^[a-z.-]*: //' "$DIR/err" >>"$DIR/asked"
    done
done
[ "$(grep -c "^warning: $DIR/shared: others than its owner may use this key (mode 06" "$DIR/asked")" = 6 ] || fail "$(cat "$DIR/asked")"
[ "$(sort -u "$DIR/asked" | wc -l)" = 3 ] || fail "the script says something else of a shared token: $(cat "$DIR/asked")"
echo hunter2 >"$DIR/shared"
chmod 600 "$DIR/shared"
run 78 env JARVIS_SECRETSD_TOKEN_FILE="$DIR/shared" "$script" "$DIR/files/some"
grep -q 'JARVIS_SECRETSD_TOKEN_FILE: must be a token' "$DIR/err" || fail "$(cat "$DIR/err")"
! grep -q hunter2 "$DIR/err" || fail "what is no token was printed"
! grep -qF -e "$token" -e hunter2 "$DIR/arguments" || fail "a command line shows a secret"
# A value that fits into no pipe; every file that is made is one that strace sees.
run 0 strace -f -qq -e trace=openat,open,creat -o "$DIR/opened" "$script" --prefix traced. "$DIR/files/long"
grep -qF "$DIR/files/long" "$DIR/opened" || fail "strace has seen nothing"
! grep -E 'O_CREAT|creat\(' "$DIR/opened" | grep -v '"/dev/' || fail "the script has written a file"
run 1 env JARVIS_SECRETSD_ADDR="$URL" JARVIS_SECRETSD_CLIENT=deploy "$script" --replace "$DIR/files/some"
grep -q 'nothing was imported: ' "$DIR/err" || fail "$(cat "$DIR/err")"
echo "the script sends a token, over TCP and the Unix socket, and shows neither it nor a value to ps or to a disk"

# Somebody else in the daemon's place, and what curl says of one.
start_hostile 403
for options in --replace --dry-run; do
    run 1 env JARVIS_SECRETSD_ADDR="$HOSTILE_URL" "$script" "$options" "$DIR/files/some"
    grep -q ': no' "$DIR/err" || fail "the message is not shown: $(cat "$DIR/err")"
    steers_nothing "$DIR/err" "$DIR/out"
done
end_hostile
mkdir "$DIR/steers"
printf '%s\n' '#!/bin/sh' "printf 'curl: (60) a certificate for \033]0;owned\007\302\2332J\n' >&2" 'exit 60' >"$DIR/steers/curl"
chmod +x "$DIR/steers/curl"
run 1 env PATH="$DIR/steers:$PATH" "$script" --replace "$DIR/files/some"
grep -q 'a certificate for' "$DIR/err" || fail "what curl says is not shown: $(cat "$DIR/err")"
grep -q 'curl failed with status 60; maybe imported' "$DIR/err" || fail "how curl failed is not shown: $(cat "$DIR/err")"
steers_nothing "$DIR/err" "$DIR/out"
echo "what a server says is shown, and steers no terminal"

# Whose address it is: all but loopback addresses and localhost may be another machine. Nobody listens at port 1.
for host in 127.0.0.1 127.9.255.1 localhost; do
    run 1 env JARVIS_SECRETSD_ADDR="http://$host:1" "$script" --dry-run "$DIR/files/some"
    ! grep -q warning "$DIR/err" || fail "$host is no other machine: $(cat "$DIR/err")"
done
for host in 127.evil.example 127.0.0.1.evil.example localhost.evil.example 127.0.0.256; do
    run 1 env RES_OPTIONS='timeout:1 attempts:1' JARVIS_SECRETSD_ADDR="http://$host:1" "$script" --dry-run "$DIR/files/some"
    grep -qF "warning: everything is sent to $host:1 unencrypted" "$DIR/err" || fail "$host: no warning: $(cat "$DIR/err")"
done
for address in http://127.0.0.1 http://user@127.0.0.1:1 http://127.0.0.1:1/path ftp://127.0.0.1:1 unix:sock; do
    for program in 'jarvis-secretsd import' "$script"; do
        # shellcheck disable=SC2086
        run 78 env JARVIS_SECRETSD_ADDR="$address" $program --dry-run "$DIR/files/some"
        grep -q 'JARVIS_SECRETSD_ADDR: must be' "$DIR/err" || fail "$address: $(cat "$DIR/err")"
    done
done
echo "an address that may be another machine's is warned about, and one of another form refused"
run 78 env JARVIS_SECRETSD_CLIENT_CONFIG="$DIR/client.toml" "$script" --dry-run "$DIR/files/some"
grep -q 'CLIENT_CONFIG: this script reads no settings file' "$DIR/err" || fail "$(cat "$DIR/err")"

# What the handbook says, as it is pasted from there, at the address of this daemon.
cd "$DIR/work"
top=$OLDPWD
cp -r "$top/contrib" .
printf 'POSTGRES_PASSWORD="from .env"\nAPI_KEY=abc\n' >.env
# block HEADING [N]: a block, in $DIR/block.
block() {
    pasted "$top/docs/migration.md" "$@" | sed "s|http://127.0.0.1:8081|$URL|; s|/etc/nginx/|$DIR/work/|" >"$DIR/block"
}
# paste_block HEADING [N]: runs a block; what it prints is in $DIR/out.
paste_block() {
    block "$@"
    bash -euo pipefail "$DIR/block" >"$DIR/out" || fail "the block of the handbook fails: $(cat "$DIR/block")"
}
paste_block '## From a .env file'
grep -qx 'new: shop_postgres_password' "$DIR/out" || fail "no dry run: $(cat "$DIR/out")"
grep -qx 'imported: shop_postgres_password' "$DIR/out" || fail "no import: $(cat "$DIR/out")"
paste_block '## From a .env file' 2
grep -qx 'unchanged: shop_postgres_password' "$DIR/out" || fail "no import by the script: $(cat "$DIR/out")"
paste_block "## Into a program's environment"
grep -qx 'PGPASSWORD=from .env' "$DIR/out" || fail "not in its variable: $(cat "$DIR/out")"
grep -qx 'SHOP_API_KEY=abc' "$DIR/out" || fail "not in the variable of its name: $(cat "$DIR/out")"
# A program that ends by itself.
ln -s "$(command -v env)" "$DIR/bin/shop"
paste_block "## Into a program's environment" 2
grep -qx 'PGPASSWORD=from .env' "$DIR/out" || fail "not in the environment of a program that is watched: $(cat "$DIR/out")"
paste_block '## Into a configuration file'
[ "$(tr '\n' '|' <app.conf)" = '[database]|password = "from .env"|greeting = "{{ name }}"|' ] || fail "$(cat app.conf)"
[ "$(stat -c %a app.conf)" = 640 ] || fail "another mode: $(stat -c %a app.conf)"
# It watches until it is ended; what it has run says which process it is.
printf '#!/bin/sh\necho "$PPID $*" >>"%s"\n' "$DIR/reloads" >"$DIR/bin/systemctl"
chmod +x "$DIR/bin/systemctl"
: >"$DIR/reloads"
echo 'auth "{{ shop_api_key }}";' >nginx.conf.in
watching=''
end() {
    [ -z "$watching" ] || kill -KILL -- "-$watching" 2>/dev/null || true
    clean_up
}
trap end EXIT
block '## Into a configuration file' 2
set -m
bash -euo pipefail "$DIR/block" 2>"$DIR/noise" &
set +m
watching=$!
# is_rendered VALUE N: the file has the value, and nginx was reloaded for the Nth time.
is_rendered() { [ "$(cat nginx.conf 2>/dev/null)" = "auth \"$1\";" ] && [ "$(wc -l <"$DIR/reloads")" = "$2" ]; }
await "the file is written" is_rendered abc 1
expect 200 admin POST /secret '{"name":"shop_api_key","value":"def"}'
await "the file is written again" is_rendered def 2
read -r pid told <"$DIR/reloads"
[ "$told" = 'reload nginx' ] || fail "something else was run: $told"
kill "$pid"
status=0
wait "$watching" || status=$?
[ "$status" = 143 ] || fail "it ended with status $status"
watching=''
cd "$top"
stop_daemon
echo "what the handbook says works, from the .env file to a program's environment and its configuration"
