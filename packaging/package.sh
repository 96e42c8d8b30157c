#!/bin/sh
# Makes a package for Debian or for RPM of a binary that is there already, with its bill of materials beside it, which nfpm writes to
# DIRECTORY:
#
#   package.sh deb|rpm ARCHITECTURE BINARY VERSION DIRECTORY
#
# The architecture is amd64 or arm64 for both. The same input gives the same bytes: SOURCE_DATE_EPOCH, if it is set, is the time of
# everything. MAINTAINER is who answers for the package.
set -eu
umask 022

format=$1 ARCH=$2 binary=$(realpath "$3") VERSION=$4 directory=$(realpath "$5")
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}
MTIME=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
MAINTAINER=${MAINTAINER:-The jarvis-secretsd authors <maintainers@jarvis-secretsd.invalid>}
# How the two differ: where zsh looks for a package's completions, and what documentation is.
case $format in
    deb) ZSH=vendor-completions documentation=file ;;
    *) ZSH=site-functions documentation=doc ;;
esac
export ARCH VERSION SOURCE_DATE_EPOCH MTIME MAINTAINER ZSH

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
make --silent --assume-old="$binary" install BINARY="$binary" PREFIX=/usr DESTDIR="$stage"
doc=$stage/usr/share/doc/jarvis-secretsd
# Debian compresses them, and asks for the best compression; rpm has no rule.
install -m 644 CHANGELOG.md "$doc/changelog"
install -m 644 "$binary.cdx.json" "$doc/jarvis-secretsd.cdx.json"
gzip -9n "$stage"/usr/share/man/*/* "$doc/changelog" "$doc/jarvis-secretsd.cdx.json"
cp -r packaging/* contrib/systemd/config.toml LICENSE* "$stage"

# The text of a license stands indented, with a dot for an empty line.
{
    printf '\nLicense: Expat\n'
    sed '1,4d; s/^$/./; s/^/ /' LICENSE-MIT
} >>"$stage/copyright"

# What rpm does before it unpacks, so that files can belong to that group. systemd-sysusers(8) says so.
{
    printf '#!/bin/sh\nset -e\nsystemd-sysusers --replace=/usr/lib/sysusers.d/jarvis-secretsd.conf - <<END\n'
    cat packaging/sysusers.conf
    echo END
} >"$stage/scripts/preinstall"

# One entry for each release, and one for what is packaged now, if that has not been released yet.
{
    grep -q "^## \[$VERSION\]" CHANGELOG.md || echo "$VERSION ${MTIME%T*}"
    sed -n 's/^## \[\([0-9].*\)\] - \(.*\)$/\1 \2/p' CHANGELOG.md
} | while read -r version date; do
    printf -- '- semver: %s-1\n  date: %sT00:00:00Z\n  packager: %s\n' "$version" "$date" "$MAINTAINER"
    printf '  deb: {urgency: medium, distributions: [stable]}\n'
    printf '  changes:\n    - note: "Version %s, see changelog.gz."\n' "$version"
done >"$stage/changelog.yaml"

(
    cd "$stage"
    find usr/share/doc/jarvis-secretsd -type d -printf '  - {dst: /%p, type: dir}\n'
    find usr/share/doc/jarvis-secretsd usr/share/man -type f -printf "  - {src: %p, dst: /%p, type: $documentation}\n"
) | sort >>"$stage/nfpm.yaml"

find "$stage" -exec touch --no-dereference --date="$MTIME" {} +
cd "$stage"
nfpm package --config nfpm.yaml --packager "$format" --target "$directory/" >/dev/null
