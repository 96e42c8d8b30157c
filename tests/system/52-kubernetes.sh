#!/usr/bin/env bash
# The manifests for Kubernetes, used as the handbook says. They are held against the schemas of Kubernetes and its Pod Security
# Standard; then podman runs the pod of the StatefulSet, in a network of its own, on volumes laid out as the kubelet does it.
source "$(dirname "$0")/lib.sh"
python=/usr/local/lib/jarvis-test-tools/kubernetes-validate/bin/python
need buildah busybox catatonit curl etcd ip jq kubectl kubernetes-validate node openssl podman "$python" runc unshare
need_root

DIR=$(mktemp -d)
trap clean_up EXIT
if [ "${1:-}" != inside ]; then
    unshare --net --mount true 2>/dev/null || { echo "missing: the right to make namespaces" >&2; exit 77; }
    make_static
    # What is mounted in there is gone with it. lib.sh has changed the directory.
    BINARY=$BINARY unshare --net --mount "tests/system/$(basename "$0")" inside
    exit
fi

ip link set lo up
chmod 755 "$DIR"
export DIR CONTAINERS_CONF=$DIR/containers.conf
printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' >"$CONTAINERS_CONF"
storage=(--root "$DIR/storage" --runroot "$DIR/run" --storage-driver vfs)
# Without systemd nothing would ask podman's own health checks, and podman says so with every command.
podman() {
    command podman "${storage[@]}" --runtime runc --cgroup-manager cgroupfs "$@" 2>"$DIR/podman" ||
        { local status=$?; cat "$DIR/podman" >&2; return "$status"; }
}
build() { buildah "${storage[@]}" bud --quiet --isolation chroot --format docker "$@" >/dev/null; }
trap end EXIT
end() {
    podman pod rm --all --force --time 0 >/dev/null || true
    [ -z "${ETCD:-}" ] || kill "$ETCD" || true
    ! mountpoint --quiet "$DIR/audit" || umount "$DIR/audit"
    clean_up
}

# The handbook's commands meet no registry and no cluster here. What they would apply is kept instead, and the pod is podman's.
name=jarvis-secretsd-0 container=jarvis-secretsd-0-jarvis-secretsd URL=http://127.0.0.1:8081
docker() {
    case $1 in
        build) build --build-arg BINARY=prebuilt "${@:2}" ;;
        push) ;;
        run) podman run --network host "${@:2}" ;;
    esac
}
kubectl() {
    case $* in
        *' create secret '*) command kubectl "$@" --dry-run=client --output json >"$DIR/secret.json" ;;
        'apply -f '*) cp "$3" "$DIR/namespace.yaml" ;;
        'apply -k .') render ;;
        'label namespace '*)
            command kubectl create namespace "$3" --dry-run=client --output json |
                command kubectl label --local --filename - --output json "${@:4}" >"$DIR/labelled.json"
            ;;
        *' port-forward '*) echo "$*" >"$DIR/forwarded" ;;
        *" exec $name -- "*) podman exec "$container" "${@:6}" ;;
    esac
}
render() {
    { cat "$DIR/namespace.yaml" && echo --- && command kubectl kustomize .; } >"$DIR/rendered.yaml"
    "$python" -c 'import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)' \
        <"$DIR/rendered.yaml" >"$DIR/rendered.json"
}
# rendered FILTER: what jq finds in what would be applied, by kind. spec FILTER: the same in the pod's template.
rendered() { jq -cer "map({(.kind): .}) | add | $1" "$DIR/rendered.json"; }
spec() { rendered ".StatefulSet.spec.template.spec | $1"; }
# pasted_here HEADING [N]: the Nth commands below that heading of the handbook's page.
pasted_here() { pasted "$handbook/install/kubernetes.md" "$@"; }

mkdir "$DIR/checkout"
cp -r Dockerfile.scratch contrib dist "$DIR/checkout"
handbook=$PWD/docs pod_security=$PWD/tests/system/kubernetes/pod-security.mjs
cd "$DIR/checkout" || exit
! command kubectl kustomize contrib/kubernetes >/dev/null 2>&1 || fail "it can be applied without a policy of one's own"

# From nothing to what a cluster would get.
eval "$(pasted_here '# Kubernetes')" >"$DIR/initialized"
# token CLIENT: what init has made.
token() { cat "../tokens/$1"; }
eval "$(pasted_here '# Kubernetes' 2)" >"$DIR/checked" || fail "the image cannot start so: $(cat "$DIR/checked")"
eval "$(pasted_here '# Kubernetes' 3)"
[ "$(spec '.containers[0].image')" = "$IMAGE:$TAG" ] || fail "another image is run"
! grep -q jst_ "$DIR/rendered.json" || fail "a token would be sent to the cluster"
! grep -qE '^kind: (Secret|Namespace|PersistentVolumeClaim)' <(command kubectl kustomize .) ||
    fail "kubectl delete -k . would delete what cannot be made again"
echo "the handbook's commands make what a cluster is to get"

# are_valid COUNT: so many objects would be applied, all of them valid, and the pod keeps to the standard.
are_valid() {
    local version
    for version in 1.25 1.37; do
        kubernetes-validate --strict --kubernetes-version "$version" "$DIR/rendered.yaml" >"$DIR/valid" 2>&1 ||
            fail "not valid for Kubernetes $version: $(cat "$DIR/valid")"
        [ "$(grep -c ' passed ' "$DIR/valid")" = "$1" ] || fail "not all was looked at: $(cat "$DIR/valid")"
    done
    node "$pod_security" <"$DIR/rendered.json" >"$DIR/findings" || fail "the standard was not looked at"
    [ ! -s "$DIR/findings" ] || fail "not restricted: $(cat "$DIR/findings")"
}
are_valid 5
sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$DIR/rendered.yaml" >"$DIR/misspelt.yaml"
! kubernetes-validate --strict "$DIR/misspelt.yaml" >"$DIR/valid" 2>&1 || fail "a misspelt field is not noticed"
grep -q "'readOnlyRootFileSystem' was unexpected" "$DIR/valid" || fail "something else is refused: $(cat "$DIR/valid")"
echo "all objects are valid for Kubernetes 1.25 and 1.37, and a misspelt field is not"

while read -r change; do
    jq "map(if .kind == \"StatefulSet\" then .spec.template.spec |= ($change) else . end)" "$DIR/rendered.json" |
        node "$pod_security" >"$DIR/findings"
    [ -s "$DIR/findings" ] || fail "the standard lets this pass: $change"
done <<'CHANGES'
del(.securityContext.seccompProfile)
.securityContext.runAsUser = 0
.hostNetwork = true
.volumes += [{name: "host", hostPath: {path: "/"}}]
del(.containers[0].securityContext.runAsNonRoot)
del(.containers[0].securityContext.allowPrivilegeEscalation)
del(.initContainers[0].securityContext.capabilities)
CHANGES
[ "$(rendered '.Namespace.metadata.labels["pod-security.kubernetes.io/enforce"]')" = restricted ] ||
    fail "the cluster does not enforce the standard"
echo "the pod keeps to the standard \"restricted\""

# What refers to something refers to something that is there.
# shellcheck disable=SC2016
rendered '.StatefulSet.spec.template as $pod | $pod.spec.containers[0] as $daemon | .NetworkPolicy.spec as $network |
    all(.StatefulSet.spec.selector.matchLabels, .Service.spec.selector, $network.podSelector.matchLabels;
        . == $pod.metadata.labels) and
    .StatefulSet.spec.serviceName == .Service.metadata.name and
    $pod.spec.volumes[0].configMap.name == .ConfigMap.metadata.name and
    all($daemon | .startupProbe, .livenessProbe, .readinessProbe; .httpGet.port == $daemon.ports[0].name) and
    .Service.spec.ports[0].targetPort == $daemon.ports[0].name and
    $network.ingress[0].ports == [{port: $daemon.ports[0].containerPort}] and $network.egress == []' >/dev/null ||
    fail "something refers to nothing"
eval "$(pasted_here '# Kubernetes' 4)"
[ "$(cat "$DIR/forwarded")" = \
    "$(rendered '.Service | "-n \(.metadata.namespace) port-forward service/\(.metadata.name) \(.spec.ports[0].port)"')" ] ||
    fail "this leads elsewhere: $(cat "$DIR/forwarded")"
eval "$(pasted_here '## Clients in the cluster')"
jq -e --argjson needed "$(rendered '.NetworkPolicy.spec.ingress[0].from[0].namespaceSelector.matchLabels')" \
    '.metadata.labels | contains($needed)' "$DIR/labelled.json" >/dev/null ||
    fail "a namespace with that label is not let in: $(cat "$DIR/labelled.json")"

# From here on, the pod. A busybox of this host under the name of the public one: its cat, and its shell, which runs that.
mkdir "$DIR/busybox" "$DIR/audit" "$DIR/vault"
cp "$(command -v busybox)" "$DIR/busybox/busybox"
printf 'FROM scratch\nCOPY busybox /bin/cat\nCOPY busybox /bin/sh\n' >"$DIR/busybox/Dockerfile"
build --tag "$(spec '.initContainers[0].image')" "$DIR/busybox"
# As local-path makes its volumes.
chmod 777 "$DIR/vault"
# So small that it can be filled.
mount -t tmpfs -o size=256k,mode=755 none "$DIR/audit"

# give_group DIRECTORY: what the kubelet does with a volume when it mounts it, by fsGroup and fsGroupChangePolicy.
give_group() {
    local group policy
    group=$(spec .securityContext.fsGroup)
    policy=$(spec .securityContext.fsGroupChangePolicy)
    [[ "$policy $(stat -c '%g %A' "$1")" != "OnRootMismatch $group drwxrws"* ]] || return 0
    find "$1" ! -type l -exec chgrp "$group" {} + -exec chmod ug+rw {} +
    find "$1" -type d -exec chmod ug+x,g+s {} +
}

# lay_out VOLUME: the files of the Secret that was made last, as the kubelet mounts them. They are root's, the group may read them,
# and they stand behind links, which are exchanged when the Secret changes.
lay_out() {
    local mode file data
    [ "$(jq -r '.metadata | .namespace + "/" + .name' "$DIR/secret.json")" = \
        "$(rendered ".Namespace.metadata.name + \"/\" + (.StatefulSet.spec.template.spec.volumes[] | select(.name == \"$1\").secret.secretName)")" ] ||
        fail "the handbook makes another Secret"
    mode=$(printf %o "$(spec ".volumes[] | select(.name == \"$1\").secret.defaultMode")")
    mkdir -p "$DIR/$1/..1"
    ln -s ..1 "$DIR/$1/..data"
    while read -r file data; do
        base64 -d <<<"$data" >"$DIR/$1/..1/$file"
        chmod "$mode" "$DIR/$1/..1/$file"
        ln -s "..data/$file" "$DIR/$1/$file"
    done < <(jq -r '.data | to_entries[] | "\(.key) \(.value)"' "$DIR/secret.json")
    find "$DIR/$1" -exec chgrp "$(spec .securityContext.fsGroup)" {} + -exec chmod g+r {} +
}
lay_out secret

# pod CHANGE: the pod that the StatefulSet is a template of, with the ConfigMap, for podman 4.3. That has neither Secrets nor
# fsGroup, so that these volumes are directories that were prepared; it maps no ports in the host's network, and would run an
# init container again and again.
pod() {
    rendered .ConfigMap
    echo ---
    rendered '.StatefulSet.spec.template | {apiVersion: "v1", kind: "Pod", metadata, spec} |
        .metadata.name = "'$name'" | .spec.restartPolicy = "Never" | del(.spec.containers[].ports) |
        .spec.volumes |= map(if .secret then {name, hostPath: {path: "\(env.DIR)/\(.name)"}} else . end) +
            (["vault", "audit"] | map({name: ., hostPath: {path: "\(env.DIR)/\(.)"}})) | '"$1"
}
# start [CHANGE]: the pod, on the volumes as they are.
start() {
    give_group "$DIR/vault"
    give_group "$DIR/audit"
    pod "${1:-.}" >"$DIR/pod.yaml"
    podman kube play --network host "$DIR/pod.yaml" >/dev/null || fail "the pod is not started"
}
# stop: SIGTERM, and SIGKILL after a while. It must not come to that.
stop() {
    local status
    podman stop --time "$(spec .terminationGracePeriodSeconds)" "$container" >/dev/null
    status=$(podman inspect --format '{{.State.ExitCode}}' "$container")
    [ "$status" = 0 ] || fail "the daemon ended with status $status"
    podman kube down "$DIR/pod.yaml" >/dev/null
}
log() { command podman "${storage[@]}" logs "$container" >"$DIR/log" 2>&1; }

# probe WHICH: the status with which that probe is answered.
probe() { curl -s -o "$DIR/answer" -w '%{http_code}' "$URL$(spec ".containers[0].$1.httpGet.path")"; }
is_ready() { [ "$(probe readinessProbe)" = 200 ]; }
has_ended() { [ "$(podman inspect --format '{{.State.Status}}' "$container")" = exited ]; }
# await WHAT COMMAND: until the command succeeds.
await() {
    local deadline=$((SECONDS + PATIENCE))
    until "$2"; do
        [ "$SECONDS" -lt "$deadline" ] || { log || true; fail "waited too long until the pod $1"; }
        sleep 0.1
    done
}
# ask STATUS CLIENT METHOD PATH [BODY]: with the client's token.
ask() { CURL=(curl -H "Authorization: Bearer $(token "$2")") && expect "$@"; }

# Without the init container there is no key, and none is made that would be gone with the pod.
start 'del(.spec.initContainers)'
await "has ended" has_ended
log
grep -q 'master.key: Read-only file system' "$DIR/log" || fail "it ended for another reason"
[ -z "$(find "$DIR/vault" "$DIR/audit" -type f)" ] || fail "it has made something"
rm "$DIR/log"
podman kube down "$DIR/pod.yaml" >/dev/null
echo "without the master key nothing is made and nothing started"

start
await "is ready" is_ready
[ "$(probe startupProbe)" = 200 ] || fail "it is ready and has not started"
log
grep -q '/opt/jarvis/secrets: anybody can write to it (mode 2777).*; trust_shared_paths permits it' "$DIR/log" ||
    fail "a volume that anybody can write to is not warned about: $(cat "$DIR/log")"
rm "$DIR/log"
process=/proc/$(podman inspect --format '{{.State.Pid}}' "$container")
grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp:)' "$process/status" | tr '\t' ' ' | sort >"$DIR/rights"
diff "$DIR/rights" - <<'RIGHTS' || fail "it has other rights"
CapAmb: 0000000000000000
CapBnd: 0000000000000000
CapEff: 0000000000000000
CapInh: 0000000000000000
CapPrm: 0000000000000000
Gid: 65532 65532 65532 65532
NoNewPrivs: 1
Seccomp: 2
Uid: 65532 65532 65532 65532
RIGHTS
# mounted POINT: whether it is ro or rw.
mounted() { awk -v point="$1" '$5 == point { split($6, option, ","); print option[1] }' "$process/mountinfo"; }
[ "$(mounted /) $(mounted /etc/jarvis-secretsd) $(mounted /run/jarvis-secretsd)" = "ro ro ro" ] ||
    fail "it could write elsewhere than to its volumes"
echo "it runs as user 65532, read-only, without a capability"

(cd .. && eval "$(pasted_here '# Kubernetes' 5 | sed 's/ curl / curl -sSf /')") >"$DIR/answers"
value=$(jq -r '.value // empty' "$DIR/answers")
[ "${#value}" = 32 ] || fail "no value is read: $(cat "$DIR/answers")"
# expect_value: db reads that.
expect_value() {
    ask 200 db GET /secret/postgres_password
    [ "$(jq -r .value "$DIR/answer")" = "$value" ] || fail "another value: $(cat "$DIR/answer")"
}
expect 401 db GET /secret/postgres_password
ask 403 backend GET /secret/postgres_password
# As a pod says it, which asks by the Service's name.
CURL+=(-H "Host: $(rendered '.Service.metadata | .name + "." + .namespace'):8081")
expect 200 backend GET /secrets
echo "a secret is made and read with tokens, and not without"

stop
start
await "is ready" is_ready
expect_value
eval "$(pasted_here '## Volumes, backup and restore')" >"$DIR/verified" || fail "the audit log does not verify"
grep -qx vault.json <(tar -tf secrets.tar) || fail "no backup has come out of the pod"
echo "the pod that takes its place continues with the same volumes"

# The pod that the handbook describes for a restore.
ask 200 admin DELETE /secret/postgres_password
stop
install -D -m 644 secrets.tar "$DIR/backup/secrets.tar"
start '.spec.containers[0] |= (.args = ["restore", "--keep-policy", "--force", "/backup/secrets.tar"] |
        del(.startupProbe, .livenessProbe, .readinessProbe) | .volumeMounts += [{name: "backup", mountPath: "/backup"}]) |
    .spec.volumes += [{name: "backup", hostPath: {path: "\(env.DIR)/backup"}}]'
await "has restored" has_ended
stop
start
await "is ready" is_ready
expect_value
echo "what was deleted comes back from the backup"

# The key for the safe, made where the key was.
passphrase="correct horse battery staple"
eval "$(pasted "$handbook/backup-and-keys.md" '### For the safe' 5 | sed 's/ -it / -i /')" <<<"$passphrase" >"$DIR/exported"
docker run --rm -i --user 0 -v "$PWD:/etc/jarvis-secretsd:ro" -v "$DIR:/safe" "$IMAGE:$TAG" \
    key import --master-key /safe/imported /safe/exported <<<"$passphrase" >"$DIR/answer"
cmp --silent ../master.key "$DIR/imported" || fail "another key was exported"
echo "the master key goes to the safe, and comes back"

! head -c 1M /dev/zero >"$DIR/audit/filler" 2>/dev/null || fail "the disk takes more than it should"
# The last block of the audit log has room for some lines more.
for ((tries = 0; tries < 100; tries++)); do
    [ "$(probe readinessProbe)" != 503 ] || break
    "${CURL[@]}" -sS -o "$DIR/answer" -H 'X-Jarvis-Client: db' "$URL/secrets"
done
[ "$(probe readinessProbe) $(probe livenessProbe)" = '503 200' ] || fail "it would be taken for well, or killed"
rm "$DIR/audit/filler"
await "is ready" is_ready
expect_value
echo "a full disk makes it unready and does not restart it"

# A mistake is reported before anything is applied.
before=$(rendered .ConfigMap.metadata.name)
cp policy.toml good.toml
sed -i 's/^token_sha256/#&/' policy.toml
status=0
(eval "$(pasted_here '## Policy and configuration')") >"$DIR/checked" 2>&1 || status=$?
[ "$status" = 78 ] || fail "clients without a credential pass: $(cat "$DIR/checked")"
[ "$(rendered .ConfigMap.metadata.name)" = "$before" ] || fail "it is applied all the same"
docker run --rm "$IMAGE:$TAG" token ci >"$DIR/ci"
{ cat good.toml && printf '[clients.ci]\nallow = ["postgres_*"]\n' && tail -n 1 "$DIR/ci"; } >policy.toml
eval "$(pasted_here '## Policy and configuration')" >"$DIR/checked" || fail "the policy is refused: $(cat "$DIR/checked")"
[ "$(rendered .ConfigMap.metadata.name)" != "$before" ] || fail "the new policy has the old one's name: no pod is replaced"
stop
start
await "is ready" is_ready
CURL=(curl -H "Authorization: Bearer $(head -n 1 "$DIR/ci")")
expect 200 ci GET /secret/postgres_password
stop
echo "a new policy is a new pod, and a mistake in it is none"

# Several pods on one vault. The pod is the same but for what is looked at here.
before=$(spec 'del(.volumes[] | select(.configMap))')
# certificate FILE USAGE NAME [OPTION...]: for etcd, in the directory above.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=etcd -keyout "../$1.key" -out "../$1.pem" \
        -addext "extendedKeyUsage=$2" -addext "subjectAltName=$3" "${@:4}" 2>"$DIR/openssl" || fail "$(cat "$DIR/openssl")"
}
certificate etcd-ca serverAuth,clientAuth DNS:ca.invalid
signed=(-CA ../etcd-ca.pem -CAkey ../etcd-ca.key -addext basicConstraints=critical,CA:FALSE)
certificate etcd serverAuth,clientAuth DNS:etcd.example.com,IP:127.0.0.1 "${signed[@]}"
certificate etcd-client clientAuth DNS:client.invalid "${signed[@]}"
eval "$(pasted_here '## Several pods on one vault')"
are_valid 7
# shellcheck disable=SC2016
rendered '.StatefulSet.spec.replicas == 3 and .StatefulSet.spec.podManagementPolicy == "Parallel" and
    .PodDisruptionBudget.spec == {maxUnavailable: 1, selector: .StatefulSet.spec.selector} and
    .StatefulSet.spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution ==
        [{topologyKey: "kubernetes.io/hostname", labelSelector: .StatefulSet.spec.selector}] and
    [.NetworkPolicy.spec.egress[] | .ports[] | "\(.port) \(.protocol)"] == ["2379 TCP", "53 UDP", "53 TCP"]' >/dev/null ||
    fail "it would not be three pods on three hosts that reach etcd"
# shellcheck disable=SC2016
jq -e 'map({("\(.kind) \(.metadata.name)"): .spec}) | add |
    ."Service jarvis-secretsd" as $all | ."Service jarvis-secretsd-nodes" as $each |
    ."StatefulSet jarvis-secretsd".serviceName == "jarvis-secretsd-nodes" and $each.clusterIP == "None" and
    ($all | .publishNotReadyAddresses == false and .selector == $each.selector and .ports == $each.ports)' \
    "$DIR/rendered.json" >/dev/null || fail "the Services lead elsewhere"
[ "$(spec 'del(.affinity, (.volumes[] | select(.configMap or .name == "etcd")),
    (.containers[0].volumeMounts[] | select(.name == "etcd"))) | .containers[0].startupProbe.failureThreshold = 120')" = "$before" ] ||
    fail "the pod differs in more: $(spec .)"
echo "several pods are three, on three hosts, and may reach etcd and nothing else"

# One of them, on new volumes, with an etcd in the place of the site's.
lay_out etcd
sed -i 's|etcd.example.com|127.0.0.1|' ha/config.toml
render
find "$DIR/vault" "$DIR/audit" -mindepth 1 -delete
etcd --data-dir "$DIR/etcd.data" --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --trusted-ca-file ../etcd-ca.pem --cert-file ../etcd.pem --key-file ../etcd.key \
    --client-cert-auth >"$DIR/etcd.log" 2>&1 &
ETCD=$!
start
await "is ready" is_ready
ask 200 admin POST /secret '{"name":"shared","value":"by etcd"}'
stop
find "$DIR/vault" -mindepth 1 -delete
start
await "is ready" is_ready
ask 200 admin GET /secret/shared
[ "$(jq -r .value "$DIR/answer")" = "by etcd" ] || fail "another value: $(cat "$DIR/answer")"
stop
echo "a pod of them keeps its vault in etcd, as the configuration and the Secret say"
