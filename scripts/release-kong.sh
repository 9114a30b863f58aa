#!/usr/bin/env bash
# Builds the Kong plugin's library for distributions that are older than this machine, and packs the plugin:
#
#   scripts/release-kong.sh [TARGET...]     x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu without an argument
#
# Links against glibc 2.17 (RHEL 7, Amazon Linux 2 and everything since) with zig as the linker, which comes from PyPI with
# cargo-zigbuild. Fails when the result asks for a newer glibc than that, or exports a name that is not ours.
# Out: target/release-kong/kong-plugin-ai-tracing-VERSION-TARGET.tar.gz
set -euo pipefail
cd "$(dirname "$0")/.."

GLIBC=2.17
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
out=target/release-kong
tools=target/zig
[ "$#" -gt 0 ] || set -- x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu

fail() {
    echo "release-kong: $*" >&2
    exit 1
}

if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-input cargo-zigbuild==0.24.0 ziglang==0.17.1
fi
export PATH="$PWD/$tools/bin:$PATH"

for target; do
    rustup target add "$target" >/dev/null 2>&1 || fail "rustup has no target $target"
    cargo zigbuild --quiet --release --package ai-tracing-kong --target "$target.$GLIBC"
    library=target/$target/release/libai_tracing_kong.so
    needed=$(readelf --dyn-syms --wide "$library" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    [ "$(printf '%s\n' "GLIBC_$GLIBC" "$needed" | sort -V | tail -n 1)" = "GLIBC_$GLIBC" ] ||
        fail "$library needs $needed, newer than $GLIBC"
    foreign=$(readelf --dyn-syms --wide "$library" | awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 != "UND" && $8 !~ /^ai_tracing_/ {print $8}')
    [ -z "$foreign" ] || fail "$library exports $foreign"
    folder=$out/kong/plugins/ai-tracing
    rm -rf "$out/kong"
    mkdir -p "$folder"
    cp kong/plugins/ai-tracing/*.lua "$library" "$folder/"
    archive=$out/kong-plugin-ai-tracing-$version-$target.tar.gz
    tar --sort=name --owner=0 --group=0 --numeric-owner -C "$out" -czf "$archive" kong
    rm -rf "$out/kong"
    echo "release-kong: $archive, needs $needed"
done
