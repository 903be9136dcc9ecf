#!/usr/bin/env python3
"""Makes the golden files beside this script: tiny models and tokenizers with the right answers.

The answers are those of the reference libraries. Needs transformers, torch, tokenizers, safetensors
and numpy. The outputs are committed, so the tests need none of these.

    make_goldens.py            make everything anew
    make_goldens.py --model NAME
                               make only this model anew; may be repeated
    make_goldens.py --check    compare the committed files with what the libraries say now
    make_goldens.py --extra-tokenizer DIR --out OUT
                               only write OUT/<name of DIR>/cases.json for DIR/tokenizer.json
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy
import safetensors
import tokenizers
import torch
import transformers

from model_goldens import check_model, make_models, write_json
from model_specs import MODELS
from tokenizer_answers import ANSWERS, check_answers, make_answers
from tokenizer_goldens import TOKENIZERS, check_tokenizer, make_cases_of, make_tokenizers

HERE = Path(__file__).resolve().parent
MAX_CHECK_DIFFERENCE = 2e-5


def library_versions() -> dict[str, str]:
    libraries = (numpy, safetensors, tokenizers, torch, transformers)
    versions = {library.__name__: str(library.__version__) for library in libraries}
    return versions | {"python": platform.python_version()}


def make_all() -> None:
    """Writes every golden file and the record of what made them."""
    models = make_models(HERE / "models")
    cases = make_tokenizers(HERE / "tokenizers")
    answers = make_answers(HERE / "tokenizers")
    record = {
        "libraries": library_versions(),
        "models": models,
        "tokenizer_cases": cases,
        "tokenizer_answers": answers,
    }
    write_json(HERE / "versions.json", record)
    print(json.dumps(record, indent=2))


def make_some(names: list[str]) -> None:
    """Writes the named models' golden files and their part of the record."""
    chosen = [golden for golden in MODELS if golden.name in names]
    unknown = set(names) - {golden.name for golden in chosen}
    if unknown:
        raise ValueError(f"no such models: {sorted(unknown)}")
    made = make_models(HERE / "models", chosen)
    record = json.loads((HERE / "versions.json").read_text(encoding="utf-8"))
    models = record["models"] | made
    record["models"] = {golden.name: models[golden.name] for golden in MODELS}
    write_json(HERE / "versions.json", record)
    print(json.dumps(made, indent=2))


def check_all() -> bool:
    """Compares the committed files with the libraries' answers now; prints one line each."""
    good = True
    for model in MODELS:
        difference = check_model(model, HERE / "models" / model.name)
        good &= difference <= MAX_CHECK_DIFFERENCE
        print(f"model {model.name}: largest difference {difference:.1e}")
    for tokenizer in TOKENIZERS:
        n_different = check_tokenizer(tokenizer, HERE / "tokenizers" / tokenizer.name)
        good &= n_different == 0
        print(f"tokenizer {tokenizer.name}: {n_different} cases differ")
    for golden in ANSWERS:
        n_different = check_answers(golden, HERE / "tokenizers" / golden.name)
        good &= n_different == 0
        print(f"tokenizer {golden.name}: {n_different} answers differ")
    return good


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", default=[], metavar="NAME")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--extra-tokenizer", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument(
        "--out", type=Path, metavar="OUT", help="where the cases of extra tokenizers go"
    )
    arguments = parser.parse_args()
    if bool(arguments.extra_tokenizer) != bool(arguments.out):
        parser.error("--extra-tokenizer and --out go together")
    return arguments


def main() -> int:
    """Runs the command line; returns the exit status."""
    arguments = _parse_arguments()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if arguments.check:
        return 0 if check_all() else 1
    if arguments.model:
        make_some(arguments.model)
        return 0
    for source in arguments.extra_tokenizer:
        print(f"{source.name}: {make_cases_of(source, arguments.out / source.name)} cases")
    if not arguments.extra_tokenizer:
        make_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
