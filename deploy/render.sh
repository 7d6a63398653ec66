#!/usr/bin/env bash
# Renders deploy/manifests from the chart, for installations without Helm. With --check it writes
# nothing, and fails if they differ from the rendered chart. HELM is the path of another helm.
set -euo pipefail
cd "$(dirname "$0")"

case ${1:-} in
"" | --check) ;;
*)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac

./driver-chart.sh
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

# Only the provider: the driver publishes its own manifests.
render() {
    local name=$1
    shift
    {
        echo "# Rendered from deploy/charts/keyvault-csi-provider by deploy/render.sh; change it there."
        echo "# The image is not published: replace it with your own."
        "${HELM:-helm}" template csi-secrets-store-provider-azure charts/keyvault-csi-provider \
            --namespace kube-system --set secrets-store-csi-driver.install=false "$@" |
            grep -v -e '^$' -e '^# Source: ' -e 'app.kubernetes.io/managed-by: ' -e 'helm.sh/chart: '
    } > "$rendered/$name.yaml"
}

render provider
render provider-hardened --set linux.hostNetwork=false

if [ "${1:-}" = --check ]; then
    diff -ru manifests "$rendered" || {
        echo "deploy/manifests is not what the chart renders; run deploy/render.sh" >&2
        exit 1
    }
else
    mkdir -p manifests
    cp "$rendered"/*.yaml manifests/
fi
