#!/usr/bin/env bash
# Prints the directory with the resource definitions of the Prometheus operator, from its Go module. Needs Go and Python.
set -euo pipefail

operator_version=v0.85.0
# Outside of any module, so that no go.mod is read or written.
cd /
module=$(GOFLAGS=-mod=mod go mod download -json "github.com/prometheus-operator/prometheus-operator@$operator_version" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
echo "$module/example/prometheus-operator-crd"
