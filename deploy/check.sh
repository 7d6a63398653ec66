#!/usr/bin/env bash
# Checks what is deployed: the chart, the manifests rendered from it, alerts and
# dashboard, and the Dockerfiles. Needs Go and Python; fetches Helm, promtool (a minute or two of building)
# and the rest once, into target/deploy-tools.
# KEYVAULT_CSI_PROVIDER is the path of the provider's binary, which must accept the arguments of the
# chart.
set -euo pipefail
cd "$(dirname "$0")/.."

prometheus_version=v0.316.0
tools=$PWD/target/deploy-tools
mkdir -p "$tools"

HELM=$(deploy/helm.sh)
export HELM
# Does not read or write the user's Helm configuration.
export HELM_CACHE_HOME=$tools/helm-home HELM_CONFIG_HOME=$tools/helm-home HELM_DATA_HOME=$tools/helm-home

# Without service discovery, which is not needed to check rules: it is half the code, and most dependencies.
export PROMTOOL=$tools/promtool-$prometheus_version/promtool
if [ ! -x "$PROMTOOL" ]; then
    GOBIN=$(dirname "$PROMTOOL") GOFLAGS=-mod=mod go install -tags=remove_all_sd -ldflags='-s -w' \
        "github.com/prometheus/prometheus/cmd/promtool@$prometheus_version"
fi

# The schemas of PodMonitor and PrometheusRule.
PROMETHEUS_OPERATOR_CRDS=$(deploy/operator-crds.sh)
export PROMETHEUS_OPERATOR_CRDS

requirements=deploy/ci/requirements.txt
python=$tools/python-$(sha256sum < "$requirements" | head -c 12)
if [ ! -e "$python/complete" ]; then
    python3 -m venv --clear "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    touch "$python/complete"
fi

deploy/render.sh --check
"$python/bin/hadolint" deploy/Dockerfile deploy/emulator.Dockerfile
PYTHONDONTWRITEBYTECODE=1 "$python/bin/python" -m pytest -q -p no:cacheprovider deploy/ci
