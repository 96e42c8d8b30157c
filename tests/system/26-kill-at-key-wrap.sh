#!/usr/bin/env bash
# key wrap, key unwrap and a rekey of a wrapped key, killed at each call that changes a file: the key in its place always opens the
# vault, in the clear or wrapped, and doing it again completes it.
source "$(dirname "$0")/lib.sh"
need cmp curl jq strace
need_root

source tests/system/kill.sh
new_state
config=$DIR/config.toml
start_daemon
expect 200 admin POST /secret '{"name":"postgres_password","value":"live"}'
stop_daemon

# A filter belongs where nobody else can write.
filters=$(mktemp -d /var/lib/jarvis-filters.XXXX)
trap 'clean_up; rm -r "$filters"' EXIT
chmod 755 "$filters"
printf '#!/bin/sh\nprintf wrapped:; base64 -w0 | tr A-Za-z N-ZA-Mn-za-m\n' >"$filters/wrap"
printf '#!/bin/sh\nsed s/^wrapped:// | tr N-ZA-Mn-za-m A-Za-z | base64 -d\n' >"$filters/unwrap"
chmod 755 "$filters"/*
cat >>"$config" <<EOF
[master_key]
unwrap = ["$filters/unwrap"]
wrap = ["$filters/wrap"]
max_failures = 3
EOF

# jarvis WORD...: the command, which has to succeed.
jarvis() { "$BINARY" "$@" --config "$config" >"$DIR/said" 2>&1 || fail "$* has failed: $(cat "$DIR/said")"; }

mkdir "$DIR/clear" "$DIR/wrapped"
cp -a "$DIR/secrets" "$DIR/audit" "$DIR/clear"
jarvis key wrap
cp -a "$DIR/secrets" "$DIR/audit" "$DIR/wrapped"

# lay FORM: the state as it was with a key in this form.
lay() {
    rm -rf "$DIR/secrets" "$DIR/audit"
    cp -a "$DIR/$1/secrets" "$DIR/$1/audit" "$DIR/"
}

key=$DIR/secrets/master.key

# opens: whether the key in its place, in either form, opens the vault.
opens() {
    if [ "$(stat -c %s "$key")" = 32 ]; then
        cmp -s "$key" "$DIR/clear/secrets/master.key" || fail "the key in the clear is another one"
    else
        jarvis key check
    fi
}

for way in wrap unwrap; do
    case $way in wrap) from=clear to=wrapped ;; unwrap) from=wrapped to=clear ;; esac
    kills=0
    for call in "${CALLS[@]}"; do
        for ((n = 1; ; n++)); do
            lay "$from"
            killed "" "$call" "$n" "$BINARY" key "$way" --config "$config" || break
            kills=$((kills + 1))
            opens
            [ "$(stat -c %s "$key")" != "$(stat -c %s "$DIR/$from/secrets/master.key")" ] ||
                jarvis key "$way"
            cmp -s "$key" "$DIR/$to/secrets/master.key" || fail "killed at $call $n, key $way was not completed"
        done
    done
    [ "$kills" -ge 5 ] || fail "only $kills steps of key $way were found"
    echo "key $way was killed at $kills steps; each time the key was there, and another one completed it"
done

kills=0
for call in "${CALLS[@]}"; do
    for ((n = 1; ; n++)); do
        lay wrapped
        killed "" "$call" "$n" "$BINARY" rekey --config "$config" || break
        kills=$((kills + 1))
        jarvis key check
        start_daemon
        expect 200 db GET /secret/postgres_password
        stop_daemon
        jarvis rekey
        jarvis key check
        [ ! -e "$key.next" ] || fail "the new key is not in its place"
        ! cmp -s "$key" "$DIR/wrapped/secrets/master.key" || fail "the old key is still in its place"
    done
done
[ "$kills" -ge 15 ] || fail "only $kills steps of rekey were found"
echo "a rekey of a wrapped key was killed at $kills steps; each time the vault could be opened, and another one completed it"
