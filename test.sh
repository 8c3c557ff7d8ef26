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

STEPS=(tools fmt clippy deny doc test-debug test-optimized madsim production canary determinism campaign mutants bench)

cache="${XDG_CACHE_HOME:-$HOME/.cache}/cretoai"
cargo_deny_version=0.20.2

# In CI every run is a fresh clone; what it builds is kept outside, for the next one.
if [[ "${CI:-}" == true ]]; then
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
    export CARGO_INCREMENTAL=0
fi
# Named even where it is the default, because programs are started from it.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export PATH="$cache/tools/bin:$PATH"

# A debug build and an optimized one. Each always names the same packages and all their tests: what is selected decides
# which features the crates below have, and the same crate with other features is built again.
# The node is left out: with it come RocksDB and the network, in a build of their own (step_production).
debug=(--locked --workspace --exclude cretoai-node)
# Not a release build: each test would be optimized as one piece, which takes longer than all tests together.
optimized=(--locked --profile quick)
optimized+=(--package cretoai-core --package cretoai-sim --package cretoai-tests --package cretoai-benches)

# What only production needs: RocksDB alone takes a quarter of an hour to build, so it is built once, with one set of
# features, for lints and tests alike.
production=(--locked --profile quick --package cretoai-node --package cretoai-runtime --all-features)

# Seeds of the campaign, and where it puts what fails.
seeds=0..2000
failures="$CARGO_TARGET_DIR/failures"

# Output of the tests, from which the total at the end is counted.
test_log="$(mktemp)"
trap 'rm -f "$test_log"' EXIT

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

install() {
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Whether one of these programs is not there.
lacks() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null || return 0
    done
    return 1
}

step_tools() {
    rustc --version
    ! lacks cc || install gcc libc6-dev
    cargo fmt --version 2>/dev/null || rustup component add rustfmt
    cargo clippy --version 2>/dev/null || rustup component add clippy
}

step_fmt() {
    cargo fmt --all --check
}

step_clippy() {
    cargo clippy "${debug[@]}" --all-targets -- -D warnings
}

step_deny() {
    # A debug build: it is run once over a few hundred crates, and is installed in half the time.
    # It is built in a folder of its own, because cargo's cache of the project is not for tools.
    cargo deny --version 2>/dev/null || env -u CARGO_TARGET_DIR \
        cargo install cargo-deny --locked --debug --version "$cargo_deny_version" --root "$cache/tools"
    cargo deny --locked check --hide-inclusion-graph bans licenses sources
}

step_doc() {
    RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc "${debug[@]}" --no-deps
}

step_test_debug() {
    cargo test "${debug[@]}" --no-fail-fast 2>&1 | tee -a "$test_log"
}

# What depends on optimization (overflow, timing, unsafe code in dependencies) is where debug and release
# could differ; and the simulator is used in release.
step_test_optimized() {
    cargo test "${optimized[@]}" --no-fail-fast 2>&1 | tee -a "$test_log"
}

# The production driver under simulated time: a thousand runs, each twice. `--cfg madsim` reaches every crate, so this
# build has a folder of its own.
step_madsim() {
    CRETOAI_MADSIM_SEEDS="${CRETOAI_MADSIM_SEEDS:-0..1240}" RUSTFLAGS="${RUSTFLAGS:-} --cfg madsim" \
        cargo test --locked --package cretoai-tests --test driver_under_madsim \
        --target-dir "$CARGO_TARGET_DIR/madsim" -- --nocapture 2>&1 | tee -a "$test_log"
}

# The production driver and the node, and real processes under fault: killed at random, with disks that fail and
# networks that part. CRETOAI_KILL_CYCLES says how many times a replica is killed at random.
step_production() {
    # RocksDB is C++, and its bindings are made with libclang. Disks fail through strace, and networks are made with ip
    # and nft in namespaces of their own.
    if lacks c++ strace ip nft unshare mount || ! ldconfig -p | grep -q 'libclang[-.]'; then
        install g++ libclang-dev strace iproute2 nftables util-linux mount
    fi
    cargo clippy "${production[@]}" --all-targets -- -D warnings
    RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc "${production[@]}" --no-deps
    cargo test "${production[@]}" 2>&1 | tee -a "$test_log"
}

# Builds the simulator as the tests of that build know it: `cargo run` would build it with other features.
build_debug() {
    cargo build "${debug[@]}" --bins --tests
}

# The very program that README's first command runs.
build_release() {
    cargo build --locked --release --package cretoai-sim
}

# Runs the simulator of a build, and leaves what it printed in `shown`. Prints it only if the run fails.
simulate() {
    local build=$1 status=0
    shift
    shown="$("$CARGO_TARGET_DIR/$build/cretoai-sim" "$@")" || status=$?
    [[ $status -eq 0 ]] || printf '%s\n' "$shown"
    return "$status"
}

# A test of the tests: a run with more liars than the protocol can bear, which has to break agreement.
step_canary() {
    build_release
    local shown
    simulate release run canary
    printf '%s\n' "$shown"
    grep -q '^verdict .*pass: O1 failed, as it has to' <<<"$shown" || {
        echo "the canary passed without breaking O1"
        return 1
    }
}

# One seed, one answer: in both builds, and in two runs of one build.
step_determinism() {
    build_debug
    build_release
    local build shown hash expected=
    for build in release release debug; do
        simulate "$build" run demo --seed 1
        hash="$(awk '$1 == "hash" { print $2 }' <<<"$shown")"
        printf '%-8s %s\n' "$build" "$hash"
        [[ -n "$hash" ]] || {
            echo "the run prints no hash"
            return 3
        }
        [[ "$hash" == "${expected:=$hash}" ]] || {
            echo "the same run has two hashes"
            return 3
        }
    done
}

step_campaign() {
    build_release
    "$CARGO_TARGET_DIR/release/cretoai-sim" campaign demo --seeds 0..300 --out "$failures"
    "$CARGO_TARGET_DIR/release/cretoai-sim" campaign --seeds "$seeds" --out "$failures"
    # Not a sample: every state of four replicas within two views.
    "$CARGO_TARGET_DIR/release/cretoai-sim" explore
}

# Every rule that is known to be noticed when it is broken still is (`sim/mutants.toml`), and every adversary hurts a
# replica that breaks the rule against it (`sim/victims.toml`). What lies below the feature is
# shared with the optimized tests.
step_mutants() {
    cargo clippy "${debug[@]}" --features cretoai-sim/mutants --all-targets -- -D warnings
    cargo build "${optimized[@]}" --features cretoai-sim/mutants --bin cretoai-sim \
        --test explore_mutants --test victims
    "$CARGO_TARGET_DIR/quick/cretoai-sim" mutants --check
    cargo test "${optimized[@]}" --features cretoai-sim/mutants --test explore_mutants --test victims 2>&1 |
        tee -a "$test_log"
}

# Each benchmark once, to see that it runs. Figures come from `cargo bench -p cretoai-benches` on an idle machine.
step_bench() {
    cargo bench "${optimized[@]}" --bench '*' -- --test
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
