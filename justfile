# Commands that people use. `just` lists them.

_default:
    @just --list

# Build the provider and the emulator
build:
    cargo build --bins

# Run all Rust tests, or those whose names contain FILTER
test *FILTER:
    cargo test {{FILTER}}

# Run the tests of SECURITY.md's claims
security:
    cargo test --test it security::

# Format, lint and check the language
lint:
    cargo fmt --all
    .ci/run lint

# See the provider serve a pod, without a cluster
quickstart:
    cargo run --example quickstart

# Run the scenarios on a real Kubernetes node, as root; or those whose names match SCENARIO
cluster *SCENARIO:
    tests/cluster/run {{SCENARIO}}

# Start a Kubernetes node with the provider, and a shell with kubectl and helm, as root
shell:
    tests/cluster/run --shell

# Measure the instructions of a warm mount
instructions:
    benches/instructions.sh

# Check the chart, its manifests, alerts and dashboard
chart:
    .ci/run deploy

# Run everything that a change must pass
ci:
    .ci/run
