#!/usr/bin/env bash
# The master key in shares, as the handbook describes it: any three of five put it back, on another host too, and two are refused. A
# program of its own, which knows only the description, opens our shares, and makes some that we open.
source "$(dirname "$0")/lib.sh"
need curl jq python3

new_state
mkdir "$DIR/bin"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CONFIG=$DIR/config.toml
key=$DIR/secrets/master.key
! jarvis-secretsd key export --shares 5 --threshold 3 2>"$DIR/refused" || fail "shares of no key"
start_daemon
expect 200 admin POST /secret '{"name":"db_password","value":"v"}'
stop_daemon
cp "$key" "$DIR/safe"
backup=$DIR/backup.tar
jarvis-secretsd backup --output "$backup" >/dev/null
vault_id=$(head -n 1 "$DIR/secrets/vault.json" | jq -r .vault_id)

# handbook N: the Nth block of commands about shares, in $DIR/shares.
mkdir "$DIR/shares"
handbook() {
    local commands
    commands=$(pasted docs/backup-and-keys.md '### In shares, for several people' "$1")
    (cd "$DIR/shares" && eval "$commands") </dev/null
}
handbook 1 >"$DIR/said"
[ "$(stat -c %a "$DIR"/shares/* | sort | uniq -c | tr -s ' ')" = ' 5 600' ] || fail "there are: $(ls -l "$DIR/shares")"

share() { echo "$DIR/shares/master.key.share.$1"; }
combinations=0
for a in 1 2 3 4 5; do
    for b in $(seq $((a + 1)) 5); do
        rm "$key"
        ! jarvis-secretsd key import "$(share "$a")" "$(share "$b")" 2>"$DIR/refused" || fail "two shares are enough"
        grep -q "2 of 3 shares are here ($a, $b); 1 more of the 5 must be" "$DIR/refused" || fail "$(cat "$DIR/refused")"
        [ ! -e "$key" ] || fail "something was written"
        cp "$DIR/safe" "$key"
        for c in $(seq $((b + 1)) 5); do
            rm "$key"
            jarvis-secretsd key import "$(share "$a")" "$(share "$b")" "$(share "$c")" >/dev/null
            cmp --silent "$key" "$DIR/safe" || fail "another key came back"
            cat "$(share "$a")" "$(share "$b")" "$(share "$c")" | python3 tests/system/shares.py combine |
                cmp --silent - "$DIR/safe" || fail "the other program does not open shares $a, $b and $c"
            combinations=$((combinations + 1))
        done
    done
done
[ "$combinations" = 10 ] || fail "$combinations combinations"
echo "any three of five put the key back, for another program too, and no two do"

for form in '5 3' '2 2' '5 5' '255 2'; do
    read -r shares threshold <<<"$form"
    python3 tests/system/shares.py split "$vault_id" "$shares" "$threshold" <"$DIR/safe" >"$DIR/made"
    rm "$key"
    tail -n "$threshold" "$DIR/made" | jarvis-secretsd key import - >/dev/null
    cmp --silent "$key" "$DIR/safe" || fail "another key came back from $threshold of $shares"
    jarvis-secretsd key check "$DIR/made" >/dev/null
    tail -n "$((threshold - 1))" "$DIR/made" >"$DIR/few"
    ! jarvis-secretsd key check "$DIR/few" 2>"$DIR/refused" || fail "fewer than $threshold are enough"
    jarvis-secretsd key export --shares "$shares" --threshold "$threshold" | tail -n "$threshold" >"$DIR/ours"
    python3 tests/system/shares.py combine <"$DIR/ours" | cmp --silent - "$DIR/safe" ||
        fail "the other program does not open $threshold of $shares"
done
echo "shares that another program has made put the key back"

# Another host, with nothing but a backup and what three holders have typed.
rm -r "${DIR:?}/secrets" "$DIR/audit"
sed -i "s|$DIR/secrets|$DIR/elsewhere/secrets|; s|$DIR/audit|$DIR/elsewhere/audit|" "$DIR/config.toml"
handbook 2 >"$DIR/said"
cmp --silent "$DIR/elsewhere/secrets/master.key" "$DIR/safe" || fail "another key came back"
jarvis-secretsd restore "$backup" >/dev/null
start_daemon
expect 200 admin GET /secret/db_password
[ "$(jq -r .value "$DIR/answer")" = v ] || fail "another value"
echo "the vault opens on another host"
