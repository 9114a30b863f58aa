#!/bin/sh
# Puts the Kong plugin's library where the rockspec takes it from: target/rock/libai_tracing_kong.so. Takes the file that
# AI_TRACING_LIBRARY names, else builds it with cargo.
set -eu
cd "$(dirname "$0")/.."
library=${AI_TRACING_LIBRARY:-}
if [ -z "$library" ]; then
    command -v cargo >/dev/null || {
        echo "kong-library: neither cargo nor AI_TRACING_LIBRARY, the path of a built libai_tracing_kong.so" >&2
        exit 1
    }
    cargo build --release --package ai-tracing-kong
    library=${CARGO_TARGET_DIR:-target}/release/libai_tracing_kong.so
fi
mkdir -p target/rock
cp "$library" target/rock/libai_tracing_kong.so
