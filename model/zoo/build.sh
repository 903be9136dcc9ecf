#!/usr/bin/env bash
# Rebuilds the zoo: corpus, tokenizer, training, evaluation, model card. Run it again to continue.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: build.sh [--work-dir DIR] [--out DIR] [--python PROGRAM] [-- TRAIN_OPTION...]

  --work-dir DIR     corpus, caches and checkpoints (default: ~/.cache/heed-zoo)
  --out DIR          where the trained folder goes (default: decoder/ beside this script)
  --python PROGRAM   Python with PyTorch (default: /usr/bin/python3, Debian's python3-torch)
  TRAIN_OPTION       handed to train.py, for example --steps 500 for a quick try

Example: build.sh --work-dir ~/zoo --out ~/zoo/decoder -- --steps 500
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${XDG_CACHE_HOME:-$HOME/.cache}/heed-zoo
out=$here/decoder
python=/usr/bin/python3
corpus_seed=1
corpus_words=8000000

while (($#)); do
  case $1 in
    --work-dir) work=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; exit 2 ;;
  esac
done

"$python" -c 'import torch, numpy' ||
  { echo "build.sh: $python has no PyTorch: apt install python3-torch, or --python" >&2; exit 1; }
mkdir -p "$work" "$out"
corpus=$work/train.txt
export PYTHONDONTWRITEBYTECODE=1
# Threads that spin while they wait starve each other on a busy machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

corpus_is_stale() {
  [[ ! -e $corpus ]] && return 0
  [[ -n $(find "$here"/{lexicon,split,grammar,scenes,stories,corpus}.py -newer "$corpus") ]]
}

if corpus_is_stale; then
  echo "[1/5] corpus"
  rm -f "$work/checkpoint.pt"
  "$python" "$here/corpus.py" --seed "$corpus_seed" --words "$corpus_words" --out "$corpus"
fi
"$python" "$here/corpus.py" --check "$corpus"
echo "[2/5] tokenizer"
"$python" "$here/train_tokenizer.py" --corpus "$corpus" --out "$out"
echo "[3/5] training"
"$python" "$here/train.py" --corpus "$corpus" --tokenizer "$out/tokenizer.json" --out "$out" \
  --work-dir "$work" "$@"
echo "[4/5] evaluation"
"$python" "$here/evaluate.py" "$out" --json "$work/evaluation.json"
echo "[5/5] model card"
"$python" "$here/card.py" "$out" --training "$work/training.json" \
  --evaluation "$work/evaluation.json" --corpus-seed "$corpus_seed"
echo "done: $out"
