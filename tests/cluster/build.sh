# shellcheck shell=bash
# What a node is made of: packages, programs, charts. Sourced by tests/cluster/run, from the repository's top folder.

cluster=$PWD/target/cluster
export CLUSTER_BINARIES=$cluster/bin CLUSTER_CHARTS=$cluster/charts
mkdir -p "$CLUSTER_BINARIES" "$CLUSTER_CHARTS"

# timed NAME COMMAND...: runs the command and prints how long it took.
timed() {
    local name=$1 begin=$SECONDS
    shift
    "$@"
    printf -- '-- %s: %d s\n' "$name" "$((SECONDS - begin))"
}

install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive timed "packages ${missing[*]}" \
        apt-get install -qq --no-install-recommends "${missing[@]}" > "$cluster/apt.log" 2>&1 || {
        cat "$cluster/apt.log" >&2
        return 1
    }
}

# go_build FOLDER MODULE-FILE OUTPUT PACKAGE... with linker flags in $linker
go_build() {
    local folder=$1 module=$2 output=$3
    shift 3
    (cd "$folder" && CGO_ENABLED=0 go build -modfile="$module" -trimpath -ldflags="-s -w ${linker:-}" -o "$output" "$@")
}

build_tests() {
    (cd tests/cluster && go vet ./... && go test -c -o "$CLUSTER_BINARIES/cluster.test" .)
}

# build_kubernetes VERSION: the control plane, kubelet and the stand-ins of the driver's sidecars.
build_kubernetes() {
    local module=go.mod version linker
    [ "$1" = 1.34 ] || module=v$1.mod
    export CLUSTER_KUBERNETES=$CLUSTER_BINARIES/kubernetes-$1
    version=$(cd tests/cluster/kubernetes && go list -modfile="$module" -m -f '{{.Version}}' k8s.io/kubernetes)
    # The programs tell each other their versions, and refuse those that do not fit.
    linker="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1"
    linker+=" -X k8s.io/component-base/version.gitMinor=${1#1.}"
    timed "Kubernetes $1" go_build tests/cluster/kubernetes "$module" "$CLUSTER_KUBERNETES/" ./hyperkube ./sidecar
}

# build_containerd KUBERNETES-VERSION: Debian's containerd, or for newer kubelets, which need version 2, that of its Go module.
build_containerd() {
    export CLUSTER_CONTAINERD=
    [ "$1" != 1.34 ] || return 0
    CLUSTER_CONTAINERD=$CLUSTER_BINARIES/containerd
    local module=github.com/containerd/containerd/v2 linker
    linker="-X $module/version.Version=$(cd tests/cluster/containerd && go list -m -f '{{.Version}}' $module)"
    timed "containerd for Kubernetes $1" go_build tests/cluster/containerd go.mod "$CLUSTER_CONTAINERD/" \
        $module/cmd/containerd $module/cmd/containerd-shim-runc-v2 $module/cmd/ctr
}

# build_provider PROFILE: the provider and the emulator, as they are released or as the tests have built them.
build_provider() {
    if [ "$1" = debug ]; then
        timed "provider and emulator, debug" cargo build --quiet --locked --bins
        provider_binaries=$PWD/target/debug
    else
        # Static, as the images are.
        local host
        host=$(rustc --version --verbose | sed -n 's/^host: //p')
        RUSTFLAGS='-C target-feature=+crt-static' timed "provider and emulator, $1" \
            cargo build --quiet --locked --bins --profile "$1" --target "$host"
        provider_binaries=$PWD/target/$host/$1
    fi
    export KEYVAULT_CSI_PROVIDER=$provider_binaries/keyvault-csi-provider
    export KEYVAULT_EMULATOR=$provider_binaries/keyvault-emulator
}

# The charts of this provider and of the Go provider, each with the driver's chart that it was released with; the two
# drivers; and the Go provider.
build_charts() {
    HELM=$(deploy/helm.sh)
    export HELM HELM_CACHE_HOME=$cluster/helm HELM_CONFIG_HOME=$cluster/helm HELM_DATA_HOME=$cluster/helm
    deploy/driver-chart.sh
    PROMETHEUS_OPERATOR_CRDS=$(deploy/operator-crds.sh)
    export PROMETHEUS_OPERATOR_CRDS
    local driver=sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver
    timed "driver 1.6.0" go_build tests/driver go.mod "$CLUSTER_BINARIES/secrets-store-csi-1.6.0" $driver
    timed "driver 1.5.6" go_build tests/driver driver-v1.5.mod "$CLUSTER_BINARIES/secrets-store-csi-1.5.6" $driver
    local go_provider=github.com/Azure/secrets-store-csi-driver-provider-azure
    timed "Go provider" go_build tests/peer go.mod "$CLUSTER_BINARIES/provider-go" $go_provider/cmd
    copy_chart tests/peer go.mod $go_provider charts/csi-secrets-store-provider-azure go-provider
    (cd tests/peer && cp "$(go list -m -f '{{.Dir}}' $go_provider)/deployment/provider-azure-installer.yaml" \
        "$CLUSTER_CHARTS/go-provider.yaml")
    copy_chart tests/driver driver-v1.5.mod sigs.k8s.io/secrets-store-csi-driver charts/secrets-store-csi-driver driver-1.5.6
    copy_chart tests/external-secrets go.mod github.com/external-secrets/external-secrets config/crds/bases external-secrets
    mkdir -p "$CLUSTER_CHARTS/go-provider/charts"
    cp -r "$CLUSTER_CHARTS/driver-1.5.6" "$CLUSTER_CHARTS/go-provider/charts/secrets-store-csi-driver"
}

# copy_chart FOLDER MODULE-FILE MODULE PATH NAME: a chart, or the CRDs of one, out of a Go module.
copy_chart() {
    local module
    module=$(cd "$1" && go list -modfile="$2" -m -f '{{.Dir}}' "$3")
    rm -rf "${CLUSTER_CHARTS:?}/$5"
    cp -r "$module/$4" "$CLUSTER_CHARTS/$5"
    chmod -R u+w "$CLUSTER_CHARTS/$5"
}

build_workloads() {
    cc -static -O2 -o "$CLUSTER_BINARIES/pause" tests/cluster/pause/pause.c
    timed "Velero's credential loader" go_build tests/cluster/velero go.mod "$CLUSTER_BINARIES/velero-credentials" .
}

# The hierarchies in which kubelet and the container runtime make cgroups.
cgroup_hierarchies() {
    awk '{ for (field = 7; $field != "-"; field++); if ($(field + 1) ~ /^cgroup2?$/) print $5 }' /proc/self/mountinfo
}

# remove_stale_cgroups: those of nodes whose script was killed.
remove_stale_cgroups() {
    local hierarchy folder
    for hierarchy in $(cgroup_hierarchies); do
        for folder in "$hierarchy"/keyvault-csi-cluster-*; do
            if [ -d "$folder" ] && ! kill -0 "${folder##*-}" 2> /dev/null; then
                remove_cgroups "/${folder##*/}"
            fi
        done
    done
}

make_cgroups() {
    local hierarchy
    for hierarchy in $(cgroup_hierarchies); do
        mkdir -p "$hierarchy$1"
        # A cpuset without CPUs and memory takes no process.
        if [ -e "$hierarchy$1/cpuset.cpus" ]; then
            cat "$hierarchy/cpuset.cpus" > "$hierarchy$1/cpuset.cpus"
            cat "$hierarchy/cpuset.mems" > "$hierarchy$1/cpuset.mems"
        fi
    done
}

# The processes have ended, so the cgroups are empty; the kernel may need a moment to see it.
remove_cgroups() {
    local hierarchy attempt
    for hierarchy in $(cgroup_hierarchies); do
        for attempt in 1 2 3 4 5 6 7 8 9 10; do
            [ -d "$hierarchy$1" ] || break
            find "$hierarchy$1" -depth -type d -exec rmdir {} + 2> /dev/null || sleep 0.1
        done
        [ ! -d "$hierarchy$1" ] || echo "tests/cluster/run: cgroup $hierarchy$1 is still in use (attempt $attempt)" >&2
    done
}

# stop_node PROCESS SIGNAL: passes a signal on to the first process of the node's namespaces, which stops the node in order.
stop_node() {
    local first
    first=$(pgrep --parent "$1") && kill -s "$2" "$first"
}
