#!/usr/bin/env bash
# The static binary: the same bytes from another directory, nothing else of the system, small, and what it is made of.
source "$(dirname "$0")/lib.sh"
validator=/usr/local/lib/jarvis-test-tools/cyclonedx/bin/python
need cargo "$validator" jq musl-gcc readelf
cargo cyclonedx --version >/dev/null 2>&1 || { echo "missing: cargo-cyclonedx (make deps installs what is needed)" >&2; exit 77; }

new_state
make_static

# A directory of another name and depth, and nothing that was built before.
there=$DIR/built/somewhere/else
mkdir -p "$there"
cp -r .git Cargo.toml Cargo.lock Makefile contrib etc src "$there"
env -u CARGO_TARGET_DIR make --silent -C "$there" static >"$DIR/log" 2>&1 || fail "make static has failed elsewhere"
diff -r dist "$there/dist" || fail "another directory gives other bytes"
echo "$(find dist -type f | wc -l) files are the same from two directories"

(cd dist && sha256sum --check --quiet SHA256SUMS) || fail "the checksums are wrong"
for binary in dist/jarvis-secretsd-*-musl; do
    size=$(stat -c %s "$binary")
    [ "$size" -le 6000000 ] || fail "$binary has $size bytes"
    readelf --wide --dynamic --sections "$binary" >"$DIR/read"
    ! grep -q NEEDED "$DIR/read" || fail "$binary needs a library"
    ! grep -qE '\.(symtab|debug_)' "$DIR/read" || fail "$binary is not stripped"
    echo "$binary: $size bytes"

    sbom=$binary.cdx.json
    "$validator" - "$sbom" <<'END' || fail "$sbom is not of its form"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
sys.exit(error and str(error))
END
    # All that cargo puts into the binary is in it.
    jq -r '.components[] | "\(.name) v\(.version)"' "$sbom" | sort -u >"$DIR/named"
    target=${binary#dist/jarvis-secretsd-}
    cargo tree --locked --package jarvis-secretsd --edges normal --prefix none --target "$target" | awk 'NR > 1 { print $1, $2 }' | sort -u >"$DIR/used"
    [ -s "$DIR/used" ] || fail "cargo names no crate"
    missing=$(comm -13 "$DIR/named" "$DIR/used")
    [ -z "$missing" ] || fail "not in $sbom: $missing"
done

# It works.
BINARY=dist/jarvis-secretsd-x86_64-unknown-linux-musl
start_daemon
expect 200 admin POST /secret '{"name":"x","value":"v"}'
stop_daemon
