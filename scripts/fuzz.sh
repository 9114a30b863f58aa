#!/usr/bin/env bash
# Runs the fuzz targets, one after another, and says how many inputs each has tried.
#
#   scripts/fuzz.sh [TARGET...]          (all targets without an argument)
#
#   FUZZ_SECONDS=60    seconds for each target
#   FUZZ_SANITIZER     cargo-fuzz's --sanitizer: address, or none, which is several times faster
#
# Needs a nightly toolchain (rustup toolchain install nightly); installs cargo-fuzz on first use. What a run finds new
# stays in fuzz/corpus, which the next one begins with; what breaks a promise lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "fuzz: $*" >&2
    exit 1
}

cargo +nightly --version >/dev/null 2>&1 || fail "no nightly toolchain: rustup toolchain install nightly"
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz
seconds=${FUZZ_SECONDS:-60}
options=(--sanitizer "${FUZZ_SANITIZER:-address}" --target-dir fuzz/target)

cargo test --quiet -p ai-tracing-core --test fuzz_seeds -- --ignored >/dev/null
cargo +nightly fuzz build "${options[@]}"
if [ "$#" -eq 0 ]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
    set -- "${targets[@]}"
fi
failed=()
for target in "$@"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    log=$(mktemp)
    # 10 seconds for one input is a hang; 1 GiB is a leak.
    if cargo +nightly fuzz run "${options[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -dict=fuzz/dictionary -max_len=32768 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 >"$log" 2>&1; then
        executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
        printf 'fuzz: %-12s %12s executions, %s edges\n' "$target" "$executions" "$coverage"
        rm -f "$log"
    else
        failed+=("$target")
        tail -n 40 "$log" >&2
        echo "fuzz: $target fails, see $log" >&2
    fi
done
[ "${#failed[@]}" -eq 0 ] || fail "failed: ${failed[*]}"
