#!/usr/bin/env bash
# The package for Debian: installed, started, upgraded, removed and purged with the handbook's commands, in a container where nothing
# of it is there yet; on this system, or, as 59-packages-debian-13.sh has it, on another. Here, the package for RPM too.
source "$(dirname "$0")/lib.sh"
need apt-get curl jq make nfpm nsenter openssl systemd-nspawn
need_root

# systemd keeps the key of a host on no disk that is only memory, as /tmp may be.
export TMPDIR=/var/tmp
source tests/system/nspawn.sh
with_rpm=''
[ "$SYSTEM" != / ] || { need rpm && with_rpm=yes; }

fail() { fail_with_journal "$@"; }

page=docs/install/packages.md debian='## Debian and Ubuntu'
state=/var/lib/jarvis-secretsd etc=/etc/jarvis-secretsd
units='jarvis-secretsd.service jarvis-secretsd.socket jarvis-secretsd-credentials.socket jarvis-secretsd-backup.timer'

# run COMMANDS: as root does it, where the package lies that is looked at. What it says is then in $DIR/said, without what dpkg's
# terminal adds.
where=now
run() {
    local status=0
    inside env -i PATH="$PATH" HOME=/root sh -ec "cd /srv/packages/$where; $1" </dev/null >"$DIR/said" 2>&1 || status=$?
    sed -i 's/\r$//' "$DIR/said"
    return "$status"
}
# paste HEADING [N]: a block of the page.
paste() { run "$(pasted "$page" "$@")" || fail "$1, block ${2:-1}: $(cat "$DIR/said")"; }
says() { grep -qF -- "$1" "$DIR/said" || fail "it does not say \"$1\": $(cat "$DIR/said")"; }
is() { [ "$(inside systemctl show -P "$2" "$1")" = "$3" ]; }
process() { inside systemctl show -P MainPID jarvis-secretsd; }
# serves_password: root, who is admin, reads the password that was made first.
serves_password() { [ "$(inside env HOME=/root jarvis-secretsd get postgres_password)" = "$password" ] || fail "another value"; }
# owners: whose the state is on the disk, which depends on the version of systemd.
owners() { inside find -L "$state" -printf '%P %U:%G %m\n' | sort; }
# is_the_user: the daemon is the package's user.
is_the_user() {
    local user
    user=$(inside stat -c %u "/proc/$(process)")
    inside grep -q "^jarvis-secretsd:x:$user:" /etc/passwd || fail "it is user $user: $(inside cat /etc/passwd)"
}

# The packages of this version, and those of the next one, in which two files have changed that the operator may change too. Other
# tests use dist, so they are made in a checkout of the test's own.
make_static
copy_source
mkdir -p "$DIR/packages/now" "$DIR/packages/next" "$DIR/source/dist"
cp -r CHANGELOG.md LICENSE* packaging "$DIR/source/"
cp dist/jarvis-secretsd-*-musl* "$DIR/source/dist/"
for make in "$(pasted "$page" "$debian")" ${with_rpm:+'make rpm'}; do
    (cd "$DIR/source" && bash -ec "$make") >"$DIR/made" 2>&1 || fail "$(cat "$DIR/made")"
done
cp "$DIR"/source/dist/*_amd64.deb ${with_rpm:+"$DIR"/source/dist/*.x86_64.rpm} "$DIR/packages/now/"
echo '# New in this version.' | tee -a "$DIR/source/contrib/systemd/config.toml" >>"$DIR/source/packaging/policy.toml"
for format in deb ${with_rpm:+rpm}; do
    "$DIR/source/packaging/package.sh" "$format" amd64 dist/jarvis-secretsd-x86_64-unknown-linux-musl 9.0.0-rc.1 "$DIR/packages/next"
done
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
[ "$(cd "$DIR/packages" && ls now/*.deb next/*.deb)" = "next/jarvis-secretsd_9.0.0~rc.1-1_amd64.deb
now/jarvis-secretsd_$version-1_amd64.deb" ] || fail "other versions: $(ls "$DIR"/packages/*)"

boot_to_install --bind="$DIR/packages:/srv/packages" --bind="$DIR/source:/srv/source"

paste "$debian" 2
cp "$DIR/said" "$DIR/installed"
while read -r line; do
    grep -qxF -- "$line" "$DIR/installed" || fail "it does not say what comes next, \"$line\": $(cat "$DIR/installed")"
done <<<"$(pasted "$page" "$debian" 3)"
for unit in $units; do
    is "$unit" ActiveState inactive || fail "$unit is started"
    is "$unit" UnitFileState disabled || fail "$unit will be started"
done
[ "$(inside stat -c '%a %U %G' $etc/config.toml $etc/policy.toml | sort -u)" = '640 root jarvis-secretsd' ] ||
    fail "others may read them: $(inside ls -l $etc)"
for file in share/man/man8/jarvis-secretsd.8.gz share/bash-completion/completions/jarvis-secretsd \
    share/zsh/vendor-completions/_jarvis-secretsd share/fish/vendor_completions.d/jarvis-secretsd.fish \
    share/doc/jarvis-secretsd/jarvis-secretsd.cdx.json.gz; do
    inside test -s "/usr/$file" || fail "$file is not there"
done
echo "installed, and nothing is started"

paste "$debian" 3
[ "$(inside systemctl show -P StatusText jarvis-secretsd)" = Serving ] || fail "it is not started"
paste "$debian" 4
says 'postgres_password '
password=$(inside env HOME=/root jarvis-secretsd get postgres_password)
[ "${#password}" = 32 ] || fail "no such value was generated: $password"
is_the_user
owners >"$DIR/owners"
# Nobody but root is admin.
status=0
run 'setpriv --reuid 4711 --regid 4711 --clear-groups jarvis-secretsd get postgres_password' || status=$?
[ "$status" = 4 ] || fail "another user gets status $status: $(cat "$DIR/said")"
run "curl -sS -o /dev/null -w '%{http_code}' -H 'X-Jarvis-Client: admin' http://127.0.0.1:8081/secrets"
[ "$(cat "$DIR/said")" = 401 ] || fail "a header makes a client admin: $(cat "$DIR/said")"
echo "started as the package says, it serves root and nobody else"

# What the operator has changed. Nobody is asked, as there is no terminal.
run "printf '[security]\nrotation_days = 30\n' >>$etc/config.toml
    printf '[clients.shop]\nallow = [\"postgres_password\"]\nunix_uid = [4711]\n' >>$etc/policy.toml
    systemctl reload jarvis-secretsd
    cp $etc/config.toml $etc/policy.toml /root/
    mkdir -p /etc/apt/apt.conf.d
    echo 'Dpkg::Options { \"--force-confdef\"; \"--force-confold\"; };' >/etc/apt/apt.conf.d/no-terminal"
kept() { run "cd /root; cmp config.toml $etc/config.toml; cmp policy.toml $etc/policy.toml" || fail "$(cat "$DIR/said")"; }

# A client that asks all the time. A request that the daemon gets in the moment in which it stops may have to be repeated.
: >"$DIR/answers"
inside sh -c 'while [ ! -e /run/enough ]; do curl -fsS http://127.0.0.1:8081/healthz && echo; done' >"$DIR/answers" 2>&1 &
asking=$!
has_answers() { [ "$(grep -c '"status":"ok"' "$DIR/answers")" -ge "$1" ]; }
await "it is asked" has_answers 3
before=$(process)
where=next
paste '## Upgrade'
says 'before-upgrade.tar: '
[ "$(inside dpkg-query -W -f '${Version} ${db:Status-Abbrev}' jarvis-secretsd)" = '9.0.0~rc.1-1 ii ' ] || fail "another version"
[ "$(process)" != "$before" ] || fail "it was not restarted"
await "it is asked again" has_answers $(($(grep -c '"status":"ok"' "$DIR/answers") + 3))
inside touch /run/enough
wait "$asking"
! grep -v '"status":"ok"\|^$\|^curl: (5[26])' "$DIR/answers" >&2 || fail "a client was turned away"
kept
inside test -e $etc/config.toml.dpkg-dist || fail "the new configuration is not beside the old one"
is_the_user
owners | diff "$DIR/owners" - || fail "the state has other owners or modes"
serves_password
run "setpriv --reuid 4711 --regid 4711 --clear-groups jarvis-secretsd get postgres_password" || fail "$(cat "$DIR/said")"
run "jarvis-secretsd audit verify $state/audit/audit.jsonl" || fail "$(cat "$DIR/said")"
echo "upgraded while it serves: no client is turned away, and state and changed files are kept"

# again: what an upgrade does, with the package that is there.
again() { run 'apt-get install --reinstall ./jarvis-secretsd_*_amd64.deb' || fail "$(cat "$DIR/said")"; }
before=$(process)
run "echo 'unknown = 1' >>$etc/config.toml"
again
says 'unknown key'
says 'NOT restarted'
[ "$(process)" = "$before" ] || fail "it was restarted"
serves_password
run "cp -p /root/config.toml $etc/; systemctl stop jarvis-secretsd.socket jarvis-secretsd-credentials.socket jarvis-secretsd"
again
is jarvis-secretsd ActiveState inactive || fail "what was stopped is started"
echo "what the new version refuses ends no daemon, and what is stopped stays so"

run 'systemctl start jarvis-secretsd; apt-get -y remove jarvis-secretsd' || fail "$(cat "$DIR/said")"
for unit in $units; do is "$unit" ActiveState inactive || fail "$unit still runs"; done
inside sh -c '! command -v jarvis-secretsd' || fail "the program is still there"
kept
where=next paste "$debian" 2
run 'systemctl start jarvis-secretsd' || fail "$(cat "$DIR/said")"
serves_password
echo "removed and installed again, it goes on"

run 'apt-get -y purge jarvis-secretsd' || fail "$(cat "$DIR/said")"
! inside test -e $etc || fail "the configuration is still there: $(inside ls $etc)"
left=$(inside find /etc/systemd/system -name 'jarvis-secretsd*')
[ -z "$left" ] || fail "still enabled: $left"
says 'To destroy them, and every secret with them, as root:'
destroy=$(grep '^rm -r ' "$DIR/said")
inside test -s $state/secrets/vault.json || fail "the purge has destroyed the vault"

if [ -n "$with_rpm" ]; then
    # Debian's own rpm thinks that it should not be used here. Where it should, there is no program of Debian's.
    run 'mkdir /root/debian; mv /usr/bin/deb-systemd-* /root/debian/'
    where=now
    run 'rpm --force-debian --nodeps --install jarvis-secretsd-*.x86_64.rpm' || fail "$(cat "$DIR/said")"
    says 'The master key of an earlier installation is there.'
    start=$(grep '^systemctl enable --now ' "$DIR/said")
    for unit in $units; do is "$unit" ActiveState inactive || fail "$unit is started"; done
    run 'rpm --verify --nodeps jarvis-secretsd' || fail "not as it was packaged: $(cat "$DIR/said")"
    run "$start" || fail "$(cat "$DIR/said")"
    serves_password
    run "printf '[security]\nrotation_days = 30\n' >>$etc/config.toml; cp $etc/config.toml /root/; cp $etc/policy.toml /root/"
    before=$(process)
    where=next
    run 'rpm --force-debian --nodeps --upgrade jarvis-secretsd-*.x86_64.rpm' || fail "$(cat "$DIR/said")"
    [ "$(process)" != "$before" ] || fail "it was not restarted"
    run "cmp /root/config.toml $etc/config.toml; test -e $etc/config.toml.rpmnew" || fail "$(cat "$DIR/said")"
    serves_password
    is_the_user
    run 'rpm --force-debian --erase jarvis-secretsd' || fail "$(cat "$DIR/said")"
    for unit in $units; do is "$unit" ActiveState inactive || fail "$unit still runs"; done
    [ -z "$(inside find /etc/systemd/system -name 'jarvis-secretsd*')" ] || fail "it is still enabled"
    [ "$destroy" = "$(grep '^rm -r ' "$DIR/said")" ] || fail "another command destroys it: $(cat "$DIR/said")"
    run 'mv /root/debian/* /usr/bin/'
    echo "the package for RPM does the same, and finds what the purge has left"
fi
run "$destroy" || fail "$(cat "$DIR/said")"
! inside test -e "$state/" || fail "something is left: $(inside find "$state/")"
echo "a purge keeps the vault, and says what destroys it"

# A host that was set up with `make install`, whose daemon is a user that exists only while it runs.
run 'userdel jarvis-secretsd
    ! grep ^jarvis-secretsd: /etc/group || groupdel jarvis-secretsd
    [ ! -e /usr/lib/*/libnss_systemd.so.2 ] || printf "passwd: files systemd\ngroup: files systemd\n" >/etc/nsswitch.conf'
from_source() { inside env -i PATH="$PATH" HOME=/root sh -ec "cd /srv/source; $1" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"; }
from_source "$(pasted docs/install/systemd.md '## The daemon as a service')"
from_source "$(pasted docs/install/systemd.md '## The daemon as a service' 2)"
password=$(inside env HOME=/root jarvis-secretsd get postgres_password)
! inside grep -q ^jarvis-secretsd: /etc/passwd || fail "it has a user already"
run "cp $etc/config.toml $etc/policy.toml /root/"
where=now
paste '## From `make install` to a package'
serves_password
run 'systemctl restart jarvis-secretsd'
serves_password
kept
is_the_user
[ "$(inside readlink "/proc/$(process)/exe")" = /usr/bin/jarvis-secretsd ] || fail "it is not the package's"
# Who leaves those files where they are is told.
run 'cp /usr/lib/systemd/system/jarvis-secretsd.service /usr/local/lib/systemd/system/
    /var/lib/dpkg/info/jarvis-secretsd.postinst configure 9'
says 'hides the one of this package'
echo "a package takes over what 'make install' has set up"
