#!/usr/bin/env python3
"""Makes the GGUF goldens in the folder gguf beside this script; see README.md.

Needs gguf, llama.cpp's converter, libllama and llama-quantize, transformers, torch, tokenizers,
safetensors and numpy. The outputs are committed, so the tests need none of these. The same versions
give the same bytes.
"""

import argparse
import sys
from pathlib import Path

import transformers

from gguf_blocks import make_blocks
from gguf_llama_cpp import make_llama_cpp
from gguf_models import make_pair
from gguf_pairs import PAIRS
from gguf_quantized import make_quantized

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "gguf", help="the folder to write to")
    out = parser.parse_args().out
    transformers.utils.logging.set_verbosity_error()
    out.mkdir(parents=True, exist_ok=True)
    print("blocks:", make_blocks(out / "blocks.safetensors"))
    for pair in PAIRS:
        print(f"{pair.name}: {make_pair(pair, out / pair.name)} bytes of GGUF")
    for name, difference in make_llama_cpp(PAIRS, out).items():
        print(f"{name}: llama.cpp and transformers differ by {difference:.1e}")
    for name, size in make_quantized(out / "quantized").items():
        print(f"quantized to {name}: {size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
