#!/usr/bin/env bash
# Everything that must hold of what is deployed: the chart, the manifests rendered from it, and the
# Dockerfiles. Needs Go and Python; fetches Helm and the rest once, into target/deploy-tools.
# KEYVAULT_CSI_PROVIDER names the provider's binary, which must take the arguments that the chart
# gives it.
set -euo pipefail
cd "$(dirname "$0")/.."

helm_version=v4.3.1
tools=$PWD/target/deploy-tools
mkdir -p "$tools"

export HELM=$tools/helm-$helm_version/helm
# Nothing of the user's own Helm is read or written.
export HELM_CACHE_HOME=$tools/helm-home HELM_CONFIG_HOME=$tools/helm-home HELM_DATA_HOME=$tools/helm-home
if [ ! -x "$HELM" ]; then
    GOBIN=$(dirname "$HELM") GOFLAGS=-mod=mod go install -ldflags='-s -w' "helm.sh/helm/v4/cmd/helm@$helm_version"
fi

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
