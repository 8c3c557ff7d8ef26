#!/usr/bin/env bash
# Every check of the project, in the order that finds mistakes soonest. CI runs exactly this.
#
#   ./test.sh                  all steps
#   ./test.sh fmt clippy       only the steps named
#   ./test.sh --list           the names of the steps
#
# Stops at the first step that fails, and exits with that step's status. Needs bash, git and rustup's cargo;
# installs the rest. Plain `cargo test` runs the tests: nextest would be faster by seconds, and takes minutes
# to install on a bare machine.
#
# To add a step: write a function step_NAME and put NAME into STEPS. Names with a dash are fine: a step
# `test-debug` is the function step_test_debug.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

STEPS=(tools fmt clippy deny doc test-debug test-release)

cache="${XDG_CACHE_HOME:-$HOME/.cache}/cretoai"
cargo_deny_version=0.20.2

# In CI every run is a fresh clone; what it builds is kept outside, for the next one.
if [[ "${CI:-}" == true ]]; then
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
    export CARGO_INCREMENTAL=0
fi
export PATH="$cache/tools/bin:$PATH"

# Output of the tests, from which the total at the end is counted.
test_log="$(mktemp)"
trap 'rm -f "$test_log"' EXIT

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

step_tools() {
    rustc --version
    command -v cc >/dev/null || {
        as_root apt-get update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev
    }
    cargo fmt --version 2>/dev/null || rustup component add rustfmt
    cargo clippy --version 2>/dev/null || rustup component add clippy
}

step_fmt() {
    cargo fmt --all --check
}

step_clippy() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
}

step_deny() {
    # A debug build: it is run once over a few hundred crates, and is installed in half the time.
    # It is built in a folder of its own, because cargo's cache of the project is not for tools.
    cargo deny --version 2>/dev/null || env -u CARGO_TARGET_DIR \
        cargo install cargo-deny --locked --debug --version "$cargo_deny_version" --root "$cache/tools"
    cargo deny --locked check --hide-inclusion-graph bans licenses sources
}

step_doc() {
    RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps --locked
}

step_test_debug() {
    cargo test --workspace --locked --no-fail-fast 2>&1 | tee -a "$test_log"
}

# What depends on optimization (overflow, timing, unsafe code in dependencies) is where debug and release
# could differ; and the simulator is used in release.
step_test_release() {
    cargo test --release --package cretoai-core --package cretoai-sim --locked --no-fail-fast 2>&1 | tee -a "$test_log"
}

# Runs one step, prints how long it took, and leaves its status in `step_status`. The step runs in a shell of
# its own and outside any condition, because bash ignores `set -e` within one.
run_step() {
    local name=$1 started=$SECONDS seconds result=ok
    printf '\n==> %s\n' "$name"
    set +e
    (
        set -e
        "step_${name//-/_}"
    )
    step_status=$?
    set -e
    seconds=$((SECONDS - started))
    [[ $step_status -eq 0 ]] || result="failed with status $step_status"
    timings+=("$(printf '%-14s %5d s  %s' "$name" "$seconds" "$result")")
    printf '<== %s: %d s, %s\n' "$name" "$seconds" "$result"
}

summary() {
    printf '\n'
    printf '%s\n' "${timings[@]}"
    # Sums up lines such as `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
    awk '/^test result:/ {
            gsub(/;/, "")
            for (i = 2; i <= NF; i++) {
                if ($i == "passed") passed += $(i - 1)
                if ($i == "failed") failed += $(i - 1)
                if ($i == "ignored") skipped += $(i - 1)
            }
            seen = 1
        }
        END { if (seen) printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$test_log"
}

main() {
    if [[ "${1:-}" == --list ]]; then
        printf '%s\n' "${STEPS[@]}"
        return
    fi
    local chosen=("$@") name
    [[ $# -gt 0 ]] || chosen=("${STEPS[@]}")
    for name in "${chosen[@]}"; do
        if ! declare -F "step_${name//-/_}" >/dev/null; then
            echo "$0: no step is called '$name'; the steps are: ${STEPS[*]}" >&2
            return 64
        fi
    done
    timings=()
    for name in "${chosen[@]}"; do
        run_step "$name"
        if [[ $step_status -ne 0 ]]; then
            summary
            return "$step_status"
        fi
    done
    summary
}

main "$@"
