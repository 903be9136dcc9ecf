#!/usr/bin/env bash
# Runs heed and llama.cpp on the same GGUF file in turn, several times, and prints the medians, and that of the rounds'
# ratios: machines that others use as well change from minute to minute, so that a round is short and who begins changes.
#
#   tests/bench/compare.sh MODEL.gguf [--rounds=7] [--threads=N] [--weights=auto]
#
# HEED_BENCH (default: build/release/tests/bench/heed-bench) and LLAMA_BENCH (default: llama-bench) are the commands to run;
# either may be several words. Both measure 512 tokens of prompt and 64 generated tokens of one sequence.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

model=
rounds=7
threads=$(nproc)
weights=auto
while [ $# -gt 0 ]; do
  case $1 in
    --rounds=*) rounds=${1#*=} ;;
    --threads=*) threads=${1#*=} ;;
    --weights=*) weights=${1#*=} ;;
    -*) echo "compare.sh: no option \"$1\"; there are --rounds, --threads and --weights" >&2; exit 2 ;;
    *) model=$1 ;;
  esac
  shift
done
if [ ! -f "$model" ]; then
  echo "compare.sh: give a GGUF file: tests/bench/compare.sh MODEL.gguf" >&2
  exit 2
fi
read -ra heed_bench <<<"${HEED_BENCH:-$root/build/release/tests/bench/heed-bench}"
read -ra llama_bench <<<"${LLAMA_BENCH:-llama-bench}"
for program in "${heed_bench[0]}" "${llama_bench[0]}"; do
  if ! command -v "$program" >/dev/null; then
    echo "compare.sh: there is no $program; HEED_BENCH and LLAMA_BENCH say what to run" >&2
    exit 1
  fi
done

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
logged() {  # COMMAND...: its errors only if it fails
  "$@" 2>"$results/log" || { cat "$results/log" >&2; exit 1; }
}
run_heed() {
  echo "round $1 of $rounds: heed" >&2
  logged "${heed_bench[@]}" --brief --json --repetitions=1 --threads="$threads" --weights="$weights" "$model" \
    >"$results/heed.$1.json"
}
run_llama() {
  echo "round $1 of $rounds: llama.cpp" >&2
  logged "${llama_bench[@]}" -m "$model" -t "$threads" -p 512 -n 64 -r 1 -o json >"$results/llama.$1.json"
}
for ((round = 1; round <= rounds; ++round)); do
  if ((round % 2)); then run_heed "$round"; fi
  run_llama "$round"
  if ((round % 2 == 0)); then run_heed "$round"; fi
done

python3 - "$results" "$rounds" <<'PYTHON'
import json
import statistics
import sys

folder, rounds = sys.argv[1], int(sys.argv[2])
NAMES = {"prefill 512": "prefill 512", "decode 64": "decode 64"}
heed = {name: [] for name in NAMES}
llama = {name: [] for name in NAMES}
machine = set()
percents = {name: [] for name in NAMES}
for i in range(1, rounds + 1):
    with open(f"{folder}/heed.{i}.json") as file:
        report = json.load(file)
    machine.add(report["machine"])
    model = report["model"]
    for row in report["measurements"]:
        if row["name"] in heed:
            heed[row["name"]].append(row["median"])
        for name in NAMES:
            if row["name"].startswith(name + ",") and row.get("percent_of_roof") is not None:
                percents[name].append(row["percent_of_roof"])
    with open(f"{folder}/llama.{i}.json") as file:
        for row in json.load(file):
            llama["prefill 512" if row["n_prompt"] else "decode 64"].append(row["avg_ts"])
print("; ".join(sorted(machine)))
print(model)
print(f"\n{'tokens/s, median (lowest .. highest)':<38}{'heed':>26}{'of the roof':>13}{'llama.cpp':>26}{'ratio':>26}")


def shown(values):
    return f"{statistics.median(values):.4g} ({min(values):.4g} .. {max(values):.4g})"


for name in NAMES:
    ratio = shown([ours / theirs for ours, theirs in zip(heed[name], llama[name], strict=True)])
    percent = f"{statistics.median(percents[name]):.0f} %" if percents[name] else ""
    print(f"{name:<38}{shown(heed[name]):>26}{percent:>13}{shown(llama[name]):>26}{ratio:>26}")
PYTHON
