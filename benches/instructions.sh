#!/usr/bin/env bash
# Counts the instructions of one warm mount of OBJECTS objects (10) in the provider, each fetched from the
# emulated vault over TLS. Uses callgrind, so the result does not depend on the load of the machine. Compares two
# runs that differ in their number of mounts only, so that start, connections and tokens cancel out.
set -euo pipefail
cd "$(dirname "$0")/.."
objects=${1:-10} pods=5 rounds=20
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --locked --release --bins --package keyvault-csi-provider --package keyvault-load
cat > "$work/provider" << SCRIPT
#!/bin/sh
exec valgrind --tool=callgrind --callgrind-out-file="$work/out" \
    "$PWD/target/release/keyvault-csi-provider" --rotation-max-age=0s "\$@"
SCRIPT
chmod +x "$work/provider"

instructions() {
    target/release/keyvault-load --pods "$pods" --objects "$objects" --rounds "$1" --pattern steady --rate 5 \
        --without-own --program "counted=$work/provider" > /dev/null
    awk '/^(totals|summary):/ { print $2; exit }' "$work/out"
}
few=$(instructions 1)
many=$(instructions $((rounds + 1)))
echo "$(((many - few) / (pods * rounds))) instructions a mount of $objects objects"
