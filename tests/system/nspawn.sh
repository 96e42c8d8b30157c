# What the tests share that boot an init system, in a container made of this host's /usr with nothing else of the host. To be
# sourced behind lib.sh.
# shellcheck shell=bash

DIR=$(mktemp -d)
NSPAWN='' INIT=''
trap end EXIT

# boot OPTION...: starts the container, with these options of systemd-nspawn.
boot() {
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0 systemd-nspawn --quiet --directory=/ --volatile=yes --register=no --keep-unit \
        --private-network --machine=jarvis-secretsd --console=pipe "$@" </dev/null >"$DIR/console" 2>&1 &
    NSPAWN=$!
}

# is_up COMMAND...: whether this, which tells, succeeds in the container. INIT then names its first process.
is_up() {
    kill -0 "$NSPAWN" 2>/dev/null || { INIT='' && fail "the container has ended: $(cat "$DIR/console")"; }
    INIT=$(tr -d ' ' 2>/dev/null <"/proc/$NSPAWN/task/$NSPAWN/children")
    [ -n "$INIT" ] && inside "$@" 2>/dev/null
}

# What follows runs in the container.
inside() { nsenter --target "$INIT" --all -- "$@"; }

end() {
    if [ -n "$NSPAWN" ]; then
        # shellcheck disable=SC2086
        kill -KILL $INIT "$NSPAWN" 2>/dev/null || true
        wait "$NSPAWN" 2>/dev/null || true
    fi
    clean_up
}
