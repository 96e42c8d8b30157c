#!/bin/sh
# Makes an image for each kind of machine of which `make static` has left a binary in dist, as one archive in the form of OCI:
#
#   image.sh VERSION FILE
#
# The same binaries give the same bytes: SOURCE_DATE_EPOCH, if it is set, is the time of everything.
set -eu

version=$1 file=$2
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Nothing of it stays with the user's own images.
buildah() {
    command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

buildah manifest create jarvis-secretsd >/dev/null
for platform in linux/amd64 linux/arm64; do
    case $platform in
        linux/amd64) target=x86_64-unknown-linux-musl ;;
        linux/arm64) target=aarch64-unknown-linux-musl ;;
    esac
    [ -e "dist/jarvis-secretsd-$target" ] || continue
    # The form of OCI has no health check, which buildah then says; who runs the image says how to check it.
    buildah bud --quiet --isolation chroot --format oci --manifest jarvis-secretsd --platform "$platform" \
        --timestamp "$SOURCE_DATE_EPOCH" --identity-label=false \
        --label org.opencontainers.image.title=jarvis-secretsd --label org.opencontainers.image.version="$version" \
        --label org.opencontainers.image.licenses='MIT OR Apache-2.0' \
        --build-arg BINARY=prebuilt --build-arg TARGET="$target" -f Dockerfile.scratch . >/dev/null
done
buildah manifest push --quiet --all jarvis-secretsd "oci:$work/layout:jarvis-secretsd:$version" >/dev/null
tar --create --file "$file" --directory "$work/layout" --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX .
