#!/usr/bin/env bash
# Clients of Vault and OpenBao against the daemon with Vault's API: hvac in three versions, Ansible's collection, vault-cli, four
# packages for node, vault-action and vaultrs. Each of them reads, lists, stores and deletes what it can, tells what is missing from
# what it may not have, and shows the sentence where it is refused.
source "$(dirname "$0")/lib.sh"
source tests/system/vault-clients/lib.sh
ansible=$tools/ansible/bin
need cargo curl jose jq node /usr/bin/python3 "$ansible/ansible-playbook" "$tools/vault-cli/bin/vault-cli"
[ -d "$tools/vault-clients/node_modules" ] || { echo "missing: the packages of node (make deps installs what is needed)" >&2; exit 77; }
/usr/bin/python3 -c 'import hvac' 2>/dev/null || { echo "missing: python3-hvac (make deps installs what is needed)" >&2; exit 77; }

built=${CARGO_TARGET_DIR:-target}/vault-clients
cargo build --quiet --locked --manifest-path "$clients/vaultrs/Cargo.toml" --target-dir "$built"
start_vault_api
export VAULT_CLI=$tools/vault-cli/bin/vault-cli
run hvac "$ansible/python" "$clients/hvac_app.py" app_hvac_new
run hvac-debian /usr/bin/python3 "$clients/hvac_app.py" app_hvac_old
run vault-cli "$clients/vault-cli.sh"
for package in node-vault litehex-node-vault hashi-vault-js node-vault-client; do
    run "$package" node "$clients/$package.mjs"
done
run vault-action "$clients/vault-action.sh" "$clients/vault-action/entry.js"
run vaultrs "$built/debug/vaultrs-client"
run ansible env LC_ALL=C.UTF-8 HOME="$DIR" ANSIBLE_HOME="$DIR/ansible" ANSIBLE_COLLECTIONS_PATH="$tools/ansible" \
    ANSIBLE_HASHI_VAULT_AUTH_METHOD=token ANSIBLE_HASHI_VAULT_TOKEN="$APP_TOKEN" ANSIBLE_NOCOLOR=1 \
    "$ansible/ansible-playbook" -i 127.0.0.1, -c local -e "ansible_python_interpreter=$ansible/python" "$clients/ansible.yaml"
judge
stop_daemon
