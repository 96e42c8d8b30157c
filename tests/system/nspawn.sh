# What the tests share that boot an init system, in a container made of one /usr and nothing else: that of this host, or of the
# system whose root directory SYSTEM names. To be sourced behind lib.sh.
# shellcheck shell=bash

SYSTEM=${SYSTEM:-/}
need "$SYSTEM/usr/bin/env"
# Two containers of one name, or on one system's directory, get in each other's way.
alone tests/system/nspawn.sh
DIR=$(mktemp -d)
NSPAWN='' INIT=''
trap end EXIT

# boot OPTION...: starts the container, with these options of systemd-nspawn.
boot() {
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0 systemd-nspawn --quiet --directory="$SYSTEM" --volatile=yes --register=no --keep-unit \
        --private-network --machine=jarvis-secretsd --console=pipe "$@" </dev/null >"$DIR/console" 2>&1 &
    NSPAWN=$!
}

# boot_systemd OPTION...: the same, and waits until systemd is up in it. No program sends signals there, as on a minimal Debian 13.
boot_systemd() {
    local hidden=()
    [ ! -e "$SYSTEM/usr/bin/kill" ] || hidden=(--bind-ro=/dev/null:/usr/bin/kill)
    # A container is mostly not let use Landlock.
    boot --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' "${hidden[@]}" "$@" \
        --boot systemd.unit=basic.target
    await "systemd is up" is_up systemctl is-active --quiet basic.target
    echo "booted: $(inside systemctl --version | head -n 1)"
}

# is_up COMMAND...: whether this, which tells, succeeds in the container. INIT then names its first process.
is_up() {
    kill -0 "$NSPAWN" 2>/dev/null || { INIT='' && fail "the container has ended: $(cat "$DIR/console")"; }
    INIT=$(tr -d ' ' 2>/dev/null <"/proc/$NSPAWN/task/$NSPAWN/children")
    [ -n "$INIT" ] && inside "$@" 2>/dev/null
}

# fail_with_journal WHY: fails, and shows the end of the journal, if systemd is up.
fail_with_journal() {
    echo "$*" >&2
    [ -z "$INIT" ] || inside journalctl --no-pager -n 20 >&2
    exit 1
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

# copy_source: makes $DIR/source, a checkout in which the program is built.
copy_source() {
    mkdir -p "$DIR/source/target/release"
    cp -r Cargo.lock Cargo.toml Makefile contrib etc man src "$DIR/source/"
    cp "$BINARY" "$DIR/source/target/release/"
}

# boot_with_source: boots it with that at /srv/source, with an empty /usr/local, and with what systemd keeps of a host on a disk.
boot_with_source() {
    mkdir "$DIR/state"
    boot_systemd --tmpfs=/usr/local --bind="$DIR/state:/var/lib/systemd" --bind="$DIR/source:/srv/source"
}

# boot_to_install OPTION...: boots it so that packages can be installed in it, as far as the system has what they depend on; with an
# empty /usr/local, and with what systemd keeps of a host on a disk.
boot_to_install() {
    local hidden=()
    # On this host, it may forbid packages to start anything.
    [ ! -e "$SYSTEM/usr/sbin/policy-rc.d" ] || hidden=(--bind-ro=/dev/null:/usr/sbin/policy-rc.d)
    mkdir "$DIR/state" "$DIR/usr"
    cp -r "$SYSTEM/var/lib/dpkg" "$DIR/dpkg"
    # Owners and modes that other packages were given, and groups that are not there.
    : >"$DIR/dpkg/statoverride"
    boot_systemd --overlay="$SYSTEM/usr:$DIR/usr:/usr" --bind="$DIR/dpkg:/var/lib/dpkg" --tmpfs=/usr/local \
        --bind="$DIR/state:/var/lib/systemd" "${hidden[@]}" "$@"
}
