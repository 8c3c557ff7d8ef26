#!/usr/bin/env bash
# What a cluster of four real processes carries on this machine, and what it costs: rate, finality, CPU time of all
# processes together, writes to the log, and how long a killed replica takes to vote again.
#
#   benches/throughput.sh [--scheme ml-dsa-87|ed25519] [--rate N] [--batch N] [--for SPAN] [--size BYTES]
#
# Needs curl and a built node: CRETOAI_NODE names it, or it is target/quick/cretoai-node. The CPU time for 1,000
# requests can be compared between runs on a busy machine; the rate and finality cannot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scheme=ml-dsa-87 rate=20000 batch=100 span=60s size=256
while [[ $# -gt 0 ]]; do
    case $1 in
        --scheme) scheme=$2 ;;
        --rate) rate=$2 ;;
        --batch) batch=$2 ;;
        --for) span=$2 ;;
        --size) size=$2 ;;
        *)
            echo "$0: $1 is no option; the options are --scheme, --rate, --batch, --for and --size" >&2
            exit 64
            ;;
    esac
    shift 2
done
node="${CRETOAI_NODE:-${CARGO_TARGET_DIR:-target}/quick/cretoai-node}"
[[ -x "$node" ]] || {
    echo "$0: $node is not there; build it: cargo build --profile quick -p cretoai-node -p cretoai-runtime --all-features" >&2
    exit 64
}

dir="$(mktemp -d)"
pids=()
cleanup() {
    [[ ${#pids[@]} -eq 0 ]] || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$dir"
}
trap cleanup EXIT

start() {
    "$node" start --config "$dir/net/node$1/node.toml" >"$dir/node$1.out" 2>>"$dir/node$1.err" &
    pids[$1]=$!
}

# An address in a replica's configuration.
address() {
    sed -n "s|^$2 = \"\(.*\)\"|http://\1|p" "$dir/net/node$1/node.toml"
}

ready() {
    until curl -sf "$(address "$1" api)/health/ready" >/dev/null; do sleep 0.01; done
}

# User and system time of the replicas so far, in clock ticks.
ticks() {
    local pid sum=0 user system
    for pid in "${pids[@]}"; do
        read -r user system < <(cut -d' ' -f14,15 "/proc/$pid/stat")
        sum=$((sum + user + system))
    done
    echo "$sum"
}

# The 99th percentile of a histogram over all replicas, in seconds: the bound of its bucket.
p99() {
    local id
    for id in 0 1 2 3; do curl -sf "$(address "$id" metrics)/metrics"; done |
        awk -v name="cretoai_$1_bucket" '
            index($0, name "{") == 1 {
                split($0, part, "\"")
                bound = part[2] == "+Inf" ? 1e308 : part[2] + 0
                count[bound] += $NF
                if (total < count[bound]) total = count[bound]
            }
            END {
                best = 1e308
                for (bound in count) if (count[bound] >= 0.99 * total && bound + 0 < best + 0) best = bound
                print best
            }'
}

"$node" testnet --scheme "$scheme" --base-port 0 --out "$dir/net" >/dev/null
for id in 0 1 2 3; do start "$id"; done
for id in 0 1 2 3; do ready "$id"; done
apis="$(for id in 0 1 2 3; do address "$id" api; done | paste -sd,)"

before="$(ticks)"
TIMEFORMAT='%U %S'
{ time "$node" load --api "$apis" --rate "$rate" --batch "$batch" --size "$size" --for "$span" >"$dir/load"; } 2>"$dir/time"
after="$(ticks)"
cat "$dir/load"
read -r user system < <(tail -1 "$dir/time")
executed="$(sed -n 's/.*executed \([0-9]*\),.*/\1/p' "$dir/load")"
awk -v ticks="$((after - before))" -v hertz="$(getconf CLK_TCK)" -v user="$user" -v sys="$system" -v executed="$executed" '
    BEGIN {
        nodes = 1000 * ticks / hertz / executed
        load = 1000 * (user + sys) / executed
        printf "CPU for 1,000 requests: replicas %.1f ms, load %.1f ms, together %.1f ms\n", 1000 * nodes, 1000 * load, 1000 * (nodes + load)
    }'
slots="$(curl -sf "$(address 0 metrics)/metrics" | sed -n 's/^cretoai_slots_executed_total //p')"
echo "slots $slots, requests a slot $((executed / (slots > 0 ? slots : 1)))"
echo "storage: 99 % of appends within $(p99 storage_append_seconds) s"

kill -9 "${pids[2]}"
wait "${pids[2]}" 2>/dev/null || true
began="$(date +%s%N)"
start 2
ready 2
echo "replica 2 votes again $((($(date +%s%N) - began) / 1000000)) ms after its start; it was killed with -9"
