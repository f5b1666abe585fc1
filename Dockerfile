# syntax=docker/dockerfile:1

# The controller's image: one static program in an empty image.
#
#   docker build --tag ghcr.io/cloneset/cloneset:0.1.0 .
#
# `cargo xtask image` makes the same without Docker. The builder runs as the
# target platform, so `docker buildx build --platform linux/arm64` works through emulation.

ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-trixie AS build
WORKDIR /src
COPY . .
# What cloneset_build_info says: --build-arg COMMIT="$(git rev-parse HEAD)"
ARG COMMIT=unknown
# With an explicit target the flag leaves build scripts and proc-macros alone,
# which cannot be static. The loader check is what `cargo xtask image` does too.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    host="$(rustc -vV | sed -n 's/^host: //p')"; \
    RUSTFLAGS="-C target-feature=+crt-static" \
    CLONESET_COMMIT="${COMMIT}" \
      cargo build --release --locked --package cloneset-controller --bin cloneset-controller --target "$host"; \
    cp "target/$host/release/cloneset-controller" /cloneset-controller; \
    if readelf --program-headers /cloneset-controller | grep --quiet INTERP; then \
      echo "the program is linked dynamically: it cannot run in an empty image" >&2; exit 1; \
    fi

FROM scratch
LABEL org.opencontainers.image.title="cloneset" \
      org.opencontainers.image.description="Controller for OpenKruise's CloneSet" \
      org.opencontainers.image.source="https://github.com/cloneset/cloneset" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /cloneset-controller /cloneset-controller
# A number, so that the kubelet can verify runAsNonRoot.
USER 65532:65532
EXPOSE 8000 8080
ENTRYPOINT ["/cloneset-controller"]
