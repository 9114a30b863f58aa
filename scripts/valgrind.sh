#!/bin/sh
# Runs the tests of the Kong library's C interface under valgrind: no wrong access, nothing lost.
set -eu
cd "$(dirname "$0")/.."
# The whole workspace's build, as `make unit` has left it: for one package alone, crates would be compiled anew with fewer
# features.
binary=$(cargo test --quiet --workspace --no-run --message-format json |
    jq -r 'select(.reason == "compiler-artifact" and .profile.test and .executable and .target.name == "ai_tracing_kong") | .executable' |
    tail -n 1)
for tests in ffi:: worker::; do
    valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        "$binary" --test-threads=1 --quiet "$tests"
done
