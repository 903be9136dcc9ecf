#!/usr/bin/env bash
# Serves the same GGUF file by heed-server and by llama-server in turn, several times, asks each for greedy answers of 64
# tokens to prompts of 32 random ones, by one client and by many at once, and prints how many tokens a second they got:
# the medians, and that of the rounds' ratios. The file needs a vocabulary. heed works without drafts here.
#
#   tests/bench/compare_servers.sh MODEL.gguf [--rounds=3] [--threads=N] [--streams=16] [--seconds=8]
#
# HEED_FOLDER (default: build/release) says where heed was built, LLAMA_SERVER (default: llama-server) what to run, which
# may be several words. heed's answers are streamed, to `heed bench`; llama-server's are not, which is less work for it.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

model=
rounds=3
threads=$(nproc)
streams=16
seconds=8
while [ $# -gt 0 ]; do
  case $1 in
    --rounds=*) rounds=${1#*=} ;;
    --threads=*) threads=${1#*=} ;;
    --streams=*) streams=${1#*=} ;;
    --seconds=*) seconds=${1#*=} ;;
    -*) echo "compare_servers.sh: no option \"$1\"; there are --rounds, --threads, --streams and --seconds" >&2; exit 2 ;;
    *) model=$1 ;;
  esac
  shift
done
if [ ! -f "$model" ]; then
  echo "compare_servers.sh: give a GGUF file: tests/bench/compare_servers.sh MODEL.gguf" >&2
  exit 2
fi
heed_folder=${HEED_FOLDER:-$root/build/release}
read -ra llama_server <<<"${LLAMA_SERVER:-llama-server}"
for program in "$heed_folder/server/heed-server" "$heed_folder/client/cli/heed" "${llama_server[0]}"; do
  if ! command -v "$program" >/dev/null; then
    echo "compare_servers.sh: there is no $program; HEED_FOLDER and LLAMA_SERVER say where to look" >&2
    exit 1
  fi
done

results=$(mktemp -d)
server=
stop_server() {  # with what it started
  if [ -n "$server" ]; then
    kill -- "-$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  server=
}
trap 'stop_server; rm -rf "$results"' EXIT
trap 'exit 130' INT TERM

start() {  # COMMAND...: in a group of its own
  setsid "$@" >"$results/log" 2>&1 &
  server=$!
}
wait_until() {  # COMMAND...: succeeds, for a minute at most
  local i
  for ((i = 0; i < 300; ++i)); do
    if "$@" 2>/dev/null; then return; fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.2
  done
  echo "compare_servers.sh: the server did not come:" >&2
  tail -5 "$results/log" >&2
  exit 1
}

run_heed() {  # ROUND
  local count
  rm -f "$results/port"
  start "$heed_folder/server/heed-server" --model=model="$model" --threads="$threads" --draft-tokens=0 \
    --listen=127.0.0.1:0 --port-file="$results/port"
  wait_until test -s "$results/port"
  for count in 1 "$streams"; do
    echo "round $1 of $rounds: heed, clients: $count" >&2
    "$heed_folder/client/cli/heed" bench --server="127.0.0.1:$(cat "$results/port")" --streams="$count" \
      --prompt-tokens=32 --max-tokens=64 --duration="${seconds}s" --json >"$results/heed.$1.$count.json"
  done
  stop_server
}

run_llama() {  # ROUND
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  start "${llama_server[@]}" -m "$model" -t "$threads" -np "$streams" -c "$((streams * 512))" --host 127.0.0.1 \
    --port "$port"
  wait_until python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/health')"
  local count
  for count in 1 "$streams"; do
    echo "round $1 of $rounds: llama-server, clients: $count" >&2
    ask_llama "$port" "$count" >"$results/llama.$1.$count"
  done
  stop_server
}

ask_llama() {  # PORT CLIENTS
  python3 - "$1" "$2" "$seconds" <<'PYTHON'
import http.client
import json
import random
import sys
import threading
import time

port, clients, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
begin = time.monotonic()
answers = []


def ask(seed):
    source = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    while time.monotonic() - begin < seconds:
        call = {"prompt": [source.randrange(300, 2000) for _ in range(32)], "n_predict": 64, "temperature": 0,
                "ignore_eos": True, "cache_prompt": False, "stream": False}
        connection.request("POST", "/completion", json.dumps(call), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        answers.append((time.monotonic(), answer["tokens_predicted"]))


threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(tokens for _, tokens in answers) / (max(end for end, _ in answers) - begin))
PYTHON
}

for ((round = 1; round <= rounds; ++round)); do
  if ((round % 2)); then run_heed "$round"; fi
  run_llama "$round"
  if ((round % 2 == 0)); then run_heed "$round"; fi
done

python3 - "$results" "$rounds" "$streams" <<'PYTHON'
import json
import statistics
import sys

folder, rounds, streams = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def shown(values):
    return f"{statistics.median(values):.4g} ({min(values):.4g} .. {max(values):.4g})"


print(f"{'tokens/s, median (lowest .. highest)':<38}{'heed':>26}{'llama-server':>26}{'ratio':>26}")
for clients in [1, streams]:
    heed, llama = [], []
    for i in range(1, rounds + 1):
        with open(f"{folder}/heed.{i}.{clients}.json") as file:
            heed.append(json.load(file)["generated_tokens_per_s"])
        with open(f"{folder}/llama.{i}.{clients}") as file:
            llama.append(float(file.read()))
    ratio = shown([ours / theirs for ours, theirs in zip(heed, llama, strict=True)])
    name = f"{clients} client" + ("s" if clients > 1 else "")
    print(f"{name:<38}{shown(heed):>26}{shown(llama):>26}{ratio:>26}")
PYTHON
