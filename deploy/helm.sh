#!/usr/bin/env bash
# Builds Helm once, into target/deploy-tools, and prints its path. Needs Go.
set -euo pipefail
cd "$(dirname "$0")/.."

helm_version=v4.3.1
helm=$PWD/target/deploy-tools/helm-$helm_version/helm
if [ ! -x "$helm" ]; then
    GOBIN=$(dirname "$helm") GOFLAGS=-mod=mod go install -ldflags='-s -w' "helm.sh/helm/v4/cmd/helm@$helm_version" >&2
fi
echo "$helm"
