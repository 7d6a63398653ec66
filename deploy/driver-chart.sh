#!/usr/bin/env bash
# Copies the driver's chart to the directory where Helm looks for dependencies, from the driver's Go
# module. `helm dependency build` does the same from the chart's web repository.
set -euo pipefail
chart=$(cd "$(dirname "$0")/charts/keyvault-csi-provider" && pwd)

version=$(awk '/name: secrets-store-csi-driver/ { found = 1 } found && /version:/ { print $2; exit }' "$chart/Chart.yaml")
target=$chart/charts/secrets-store-csi-driver
if grep -qsx "version: $version" "$target/Chart.yaml"; then
    exit 0
fi
# Outside of any module, so that no go.mod is read or written.
module=$(cd / && GOFLAGS=-mod=mod go mod download -json "sigs.k8s.io/secrets-store-csi-driver@v$version" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
rm -rf "$target"
mkdir -p "$chart/charts"
cp -r "$module/charts/secrets-store-csi-driver" "$target"
# The module cache is read-only.
chmod -R u+w "$target"
