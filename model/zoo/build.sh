#!/usr/bin/env bash
# Rebuilds the zoo: corpus, tokenizer, seven trainings, scores, model cards. Run again to continue.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: build.sh [OPTION...] [-- TRAIN_OPTION...]

  --only MODEL           train and score this model only; may be repeated
  --steps N              optimiser steps of every model, for a quick try (default: settings.py)
  --words N              length of the corpus (default: 8000000)
  --work-dir DIR         corpus, caches and checkpoints (default: ~/.cache/heed-zoo)
  --out DIR              where the seven folders go (default: beside this script)
  --python PROGRAM       Python with PyTorch (default: /usr/bin/python3, Debian's python3-torch)
  --server-program PATH  heed-server that the scores are measured through (default: the one built
                         under build/, or the one on the PATH)
  --items N              held-out items a score, 20 or more (default: 500)
  --no-scores            stop after the trainings
  TRAIN_OPTION           handed to train.py, for example --threads 4

The models: last-word average weighted attention attention-pos decoder encoder

Example: build.sh --work-dir ~/zoo-try --out ~/zoo-try/out --words 60000 --steps 20 --items 40
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
work=${XDG_CACHE_HOME:-$HOME/.cache}/heed-zoo
out=$here
python=/usr/bin/python3
all_models=(last-word average weighted attention attention-pos decoder encoder)
models=()
corpus_seed=1
corpus_words=8000000
server=
scores=yes
train_options=()
score_options=()

die() {
  echo "build.sh: $1" >&2
  exit "${2:-1}"
}

is_model() {
  local model
  for model in "${all_models[@]}"; do [[ $model == "$1" ]] && return 0; done
  return 1
}

while (($#)); do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --no-scores) scores=; shift; continue ;;
    --) shift; train_options+=("$@"); break ;;
    --only | --steps | --words | --work-dir | --out | --python | --server-program | --items)
      (($# > 1)) || die "$1 needs a value; see --help" 2 ;;
    *) die "unknown option $1; see --help" 2 ;;
  esac
  case $1 in
    --only)
      is_model "$2" || die "no model \"$2\"; there are: ${all_models[*]}" 2
      models+=("$2") ;;
    --steps) train_options+=(--steps "$2") ;;
    --words) corpus_words=$2 ;;
    --work-dir) work=$2 ;;
    --out) out=$2 ;;
    --python) python=$2 ;;
    --server-program) server=$2 ;;
    --items) score_options+=(--items "$2") ;;
  esac
  shift 2
done
for model in "${models[@]}"; do score_options+=(--only "$model"); done
((${#models[@]})) || models=("${all_models[@]}")

find_server() {
  local program
  for program in "$repository"/build/*/server/heed-server "$repository"/build/server/heed-server; do
    [[ -x $program ]] && { echo "$program"; return; }
  done
  command -v heed-server || true
}

"$python" -c 'import torch, numpy' ||
  die "$python has no PyTorch: apt install python3-torch libopenblas0, or --python"
if [[ $scores ]]; then
  server=${server:-$(find_server)}
  [[ -x $server ]] ||
    die "no heed-server to score with: build it, or give --server-program PATH or --no-scores"
fi
mkdir -p "$work" "$out"
corpus=$work/train.txt
settings=$work/corpus.settings
export PYTHONDONTWRITEBYTECODE=1
# Threads that spin while they wait starve each other on a busy machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

corpus_is_stale() {
  [[ ! -e $corpus || $(cat "$settings" 2>/dev/null) != "$corpus_seed $corpus_words" ]] && return 0
  [[ -n $(find "$here"/{lexicon,split,roles,grammar,scenes,stories,corpus}.py -newer "$corpus") ]]
}

# Writes the corpus; what was trained on another text is thrown away.
write_corpus() {
  "$python" "$here/corpus.py" --seed "$corpus_seed" --words "$corpus_words" --out "$corpus.new"
  if cmp -s "$corpus.new" "$corpus"; then
    rm "$corpus.new"
    touch "$corpus"
  else
    for model in "${all_models[@]}"; do rm -f "$work/$model/checkpoint.pt"; done
    mv "$corpus.new" "$corpus"
  fi
  echo "$corpus_seed $corpus_words" >"$settings"
}

echo "[1/5] corpus"
if corpus_is_stale; then write_corpus; fi
echo "[2/5] check of the split"
"$python" "$here/corpus.py" --check "$corpus"
echo "[3/5] tokenizer"
"$python" "$here/train_tokenizer.py" --corpus "$corpus" --out "$work"
for i in "${!models[@]}"; do
  model=${models[i]}
  echo "[4/5] training $((i + 1)) of ${#models[@]}: $model"
  "$python" "$here/train.py" --model "$model" --corpus "$corpus" --corpus-seed "$corpus_seed" \
    --tokenizer "$work/tokenizer.json" --out "$out/$model" --work-dir "$work" \
    "${train_options[@]}"
done
if [[ $scores ]]; then
  echo "[5/5] scores and model cards"
  "$python" "$here/score.py" --server-program "$server" --zoo "$out" --update \
    "${score_options[@]}"
fi
echo "done: $out"
