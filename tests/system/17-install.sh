#!/usr/bin/env bash
# make install: what it puts where, with which modes, whatever the umask; and that it is found and fits there.
source "$(dirname "$0")/lib.sh"
need make mandoc mman systemd-analyze

DIR=$(mktemp -d)
trap clean_up EXIT

# install_to PREFIX [DESTDIR]: with the binary under test, which is not built again.
install_to() {
    (umask 077 && make --silent --assume-old="$BINARY" install BINARY="$BINARY" PREFIX="$1" DESTDIR="${2:-}")
}

sort -k 2 >"$DIR/expected" <<'END'
755 bin/jarvis-secretsd
644 lib/systemd/system/jarvis-secretsd-backup.service
644 lib/systemd/system/jarvis-secretsd-backup.timer
644 lib/systemd/system/jarvis-secretsd-credentials.socket
644 lib/systemd/system/jarvis-secretsd.service
644 lib/systemd/system/jarvis-secretsd.socket
644 libexec/jarvis-secretsd/applier.py
755 libexec/jarvis-secretsd/backup-vault.sh
755 libexec/jarvis-secretsd/file
755 libexec/jarvis-secretsd/migrate-env-secrets.sh
755 libexec/jarvis-secretsd/nginx
755 libexec/jarvis-secretsd/postgres
644 libexec/jarvis-secretsd/postgresql.py
755 libexec/jarvis-secretsd/redis
644 share/doc/jarvis-secretsd/appliers/README.md
644 share/bash-completion/completions/jarvis-secretsd
644 share/doc/jarvis-secretsd/compose.client.yaml
644 share/doc/jarvis-secretsd/compose.ha.yaml
644 share/doc/jarvis-secretsd/compose.yaml
644 share/doc/jarvis-secretsd/config.toml
644 share/doc/jarvis-secretsd/grafana-dashboard-secrets.json
644 share/doc/jarvis-secretsd/examples/README.md
644 share/doc/jarvis-secretsd/examples/ansible.yaml
644 share/doc/jarvis-secretsd/examples/direnv.envrc
644 share/doc/jarvis-secretsd/examples/external-secrets.yaml
644 share/doc/jarvis-secretsd/examples/mise.toml
644 share/doc/jarvis-secretsd/examples/read_secret.go
644 share/doc/jarvis-secretsd/examples/read_secret.mjs
644 share/doc/jarvis-secretsd/examples/read_secret.py
644 share/doc/jarvis-secretsd/examples/read_secret.rs
644 share/doc/jarvis-secretsd/examples/read_secret.sh
644 share/doc/jarvis-secretsd/examples/terraform.tf
644 share/doc/jarvis-secretsd/key-sources/README.md
644 share/doc/jarvis-secretsd/key-sources/credential/daemon.conf
644 share/doc/jarvis-secretsd/key-sources/credential/jarvis-key.socket
644 share/doc/jarvis-secretsd/key-sources/credential/jarvis-key@.service
644 share/doc/jarvis-secretsd/key-sources/filter/backup.conf
644 share/doc/jarvis-secretsd/key-sources/filter/daemon.conf
644 share/doc/jarvis-secretsd/key-sources/filter/jarvis-key-unwrap.socket
644 share/doc/jarvis-secretsd/key-sources/filter/jarvis-key-unwrap@.service
644 share/doc/jarvis-secretsd/key-sources/filter/jarvis-key-wrap.socket
644 share/doc/jarvis-secretsd/key-sources/filter/jarvis-key-wrap@.service
644 share/doc/jarvis-secretsd/key-sources/key-source.conf
644 share/doc/jarvis-secretsd/kubernetes/config.toml
644 share/doc/jarvis-secretsd/kubernetes/ha/config.toml
644 share/doc/jarvis-secretsd/kubernetes/ha/kustomization.yaml
644 share/doc/jarvis-secretsd/kubernetes/ha/networkpolicy.yaml
644 share/doc/jarvis-secretsd/kubernetes/ha/nodes.yaml
644 share/doc/jarvis-secretsd/kubernetes/ha/poddisruptionbudget.yaml
644 share/doc/jarvis-secretsd/kubernetes/ha/service.yaml
644 share/doc/jarvis-secretsd/kubernetes/ha/statefulset.yaml
644 share/doc/jarvis-secretsd/kubernetes/kustomization.yaml
644 share/doc/jarvis-secretsd/kubernetes/namespace.yaml
644 share/doc/jarvis-secretsd/kubernetes/networkpolicy.yaml
644 share/doc/jarvis-secretsd/kubernetes/service.yaml
644 share/doc/jarvis-secretsd/kubernetes/statefulset.yaml
644 share/doc/jarvis-secretsd/nginx/jarvis-secretsd.conf
644 share/doc/jarvis-secretsd/openapi.json
644 share/doc/jarvis-secretsd/openapi-vault.json
644 share/doc/jarvis-secretsd/openrc/jarvis-secretsd.confd
644 share/doc/jarvis-secretsd/openrc/jarvis-secretsd.initd
644 share/doc/jarvis-secretsd/policy.toml
644 share/doc/jarvis-secretsd/prometheus/jarvis-secretsd.rules.test.yml
644 share/doc/jarvis-secretsd/prometheus/jarvis-secretsd.rules.yml
644 share/doc/jarvis-secretsd/prometheus/prometheus.yml
644 share/doc/jarvis-secretsd/systemd/cluster.conf
644 share/doc/jarvis-secretsd/systemd/config.toml
644 share/fish/vendor_completions.d/jarvis-secretsd.fish
644 share/man/man1/jarvis-secretsd.1
644 share/man/man5/jarvis-secretsd-audit-log.5
644 share/man/man5/jarvis-secretsd-config.5
644 share/man/man5/jarvis-secretsd-policy.5
644 share/man/man8/jarvis-secretsd.8
644 share/zsh/site-functions/_jarvis-secretsd
END
for prefix in /usr/local /usr; do
    root=$DIR/root$prefix
    install_to "$prefix" "$DIR/root"
    find "$DIR/root" -type f -printf "%m %P\n" | sed "s|${prefix#/}/||" | sort -k 2 >"$DIR/found"
    diff "$DIR/expected" "$DIR/found" >&2 || fail "PREFIX=$prefix: other files, or with other modes (> is what was found)"
    [ -z "$(find "$DIR/root" -type d ! -perm 755 -print)" ] || fail "PREFIX=$prefix: a directory that others cannot read"
    cmp --silent "$BINARY" "$root/bin/jarvis-secretsd" || fail "PREFIX=$prefix: another binary"
    grep -qxF "ExecStart=$prefix/bin/jarvis-secretsd" "$root/lib/systemd/system/jarvis-secretsd.service" ||
        fail "PREFIX=$prefix: the unit starts something else"
    [ "$prefix" = /usr/local ] || ! grep -rlF /usr/local/ "$root/lib" "$root/libexec" "$root/share" ||
        fail "PREFIX=$prefix: these files name another"
    for page in man/*; do
        page=${page##*/} section=${page##*.} name=${page%.*}
        MANPATH=$root/share/man mman -w "$section" "$name" >"$DIR/found" 2>/dev/null ||
            fail "PREFIX=$prefix: no manual page $page"
        mandoc "$(cat "$DIR/found")" | grep -i "^$name($section)" >"$DIR/title" ||
            fail "PREFIX=$prefix: another page than $page"
    done
    for shell in bash-completion/completions/jarvis-secretsd zsh/site-functions/_jarvis-secretsd \
        fish/vendor_completions.d/jarvis-secretsd.fish; do
        grep -q ' __complete ' "$root/share/$shell" || fail "PREFIX=$prefix: $shell completes nothing"
    done
    rm -r "$DIR/root"
    echo "PREFIX=$prefix: $(wc -l <"$DIR/expected") files"
done

# systemd looks for the program where the unit says that it is. An older one says of one line that it does not know it. The drop-in
# is looked at with all that it can have in it.
install_to "$DIR/prefix"
units=$DIR/prefix/lib/systemd/system
mkdir "$units/jarvis-secretsd.service.d"
sed 's/^#\([A-Z]\)/\1/' "$DIR/prefix/share/doc/jarvis-secretsd/systemd/cluster.conf" >"$units/jarvis-secretsd.service.d/cluster.conf"
systemd-analyze --man=no verify "$units"/jarvis-secretsd*.{service,socket,timer} >"$DIR/found" 2>&1 || fail "systemd-analyze: $(cat "$DIR/found")"
! grep -v 'Failed to parse service type, ignoring: notify-reload$' "$DIR/found" >&2 || fail "systemd finds fault with the units"
systemd-analyze security --offline=true --no-pager --threshold=15 "$units/jarvis-secretsd.service" >"$DIR/found" 2>&1 ||
    fail "with the drop-in it is left too much: $(tail -n 1 "$DIR/found")"
grep -q 'allow list with non-localhost entries' "$DIR/found" || fail "the drop-in permits no address: $(cat "$DIR/found")"
echo "systemd finds no fault with the units, nor with the drop-in"

# The same of each source of the master key.
sources=$DIR/prefix/share/doc/jarvis-secretsd/key-sources
for source in key-source.conf filter/daemon.conf credential/daemon.conf; do
    sed 's/^#\([A-Z]\)/\1/' "$sources/$source" >"$units/jarvis-secretsd.service.d/key-source.conf"
    cp "$sources"/*/*.service "$sources"/*/*.socket "$units/"
    systemd-analyze --man=no verify "$units"/jarvis-*.{service,socket} >"$DIR/found" 2>&1 || fail "systemd-analyze: $(cat "$DIR/found")"
    ! grep -v 'Failed to parse service type, ignoring: notify-reload$' "$DIR/found" >&2 || fail "systemd finds fault with $source"
    systemd-analyze security --offline=true --no-pager --threshold=17 "$units/jarvis-secretsd.service" >"$DIR/found" 2>&1 ||
        fail "with $source it is left too much: $(tail -n 1 "$DIR/found")"
done
for unit in "$units"/jarvis-key*@.service; do
    systemd-analyze security --offline=true --no-pager --threshold=15 "$unit" >"$DIR/found" 2>&1 ||
        fail "$unit is left too much: $(tail -n 1 "$DIR/found")"
done
echo "nor with those of the sources of the master key"
