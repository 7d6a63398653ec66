# syntax=docker/dockerfile:1
# The image of the emulator of Key Vault and Entra, for local clusters such as kind. Never use it in a
# cluster with real secrets. docs/image.md explains how to build and start it.

ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

FROM docker.io/library/rust:1.95.0-alpine3.23 AS build
# As in deploy/Dockerfile.
# hadolint ignore=DL3018
RUN apk add --no-cache linux-headers
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=private \
    cargo build --locked --profile dist --package keyvault-emulator --bin keyvault-emulator \
    && install -D target/dist/keyvault-emulator /out/keyvault-emulator \
    && install -d -o 65532 -g 65532 /out/shared

FROM scratch
COPY LICENSE /
COPY --from=build /out/keyvault-emulator /
# Directory for the certificate authority that clients must trust.
COPY --from=build --chown=65532:65532 /out/shared /shared
USER 65532:65532
ENTRYPOINT ["/keyvault-emulator"]
# It listens on loopback only, 127.0.0.1:8443 and the proxy 127.0.0.1:8080: clients must share its network.
CMD ["--seed=/seed/seed.yaml", "--ca-file=/shared/ca.pem", "--imds-listen=127.0.0.1:8081"]

ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keyvault-emulator" \
      org.opencontainers.image.description="Key Vault, Entra and a service account issuer, for tests" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
