"""The model cards say what scores.json, training.json and the checkpoints say, and all fits.

usage: card_test.py ZOO_FOLDER [unittest arguments]
"""

import json
import sys
import unittest
from pathlib import Path

ZOO = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ZOO))

import card  # noqa: E402
import figures  # noqa: E402

MAX_BYTES = 16_000_000


class Cards(unittest.TestCase):
    def test_rendering_gives_the_committed_files_byte_for_byte(self) -> None:
        self.assertEqual(card.differences(ZOO), [])

    def test_every_model_and_the_ladder_are_rendered(self) -> None:
        expected = {ZOO / name / "README.md" for name in figures.LADDER} | {ZOO / "README.md"}
        self.assertEqual(set(card.rendered(ZOO)), expected)

    def test_training_was_of_these_files(self) -> None:
        for name in figures.LADDER:
            training = json.loads((ZOO / name / "training.json").read_text(encoding="utf-8"))
            weights = ZOO / name / "model.safetensors"
            self.assertEqual(training["model"], name)
            self.assertEqual(training["parameters"], card.parameter_count(weights))
            self.assertEqual(training["file_bytes"], weights.stat().st_size)


class Size(unittest.TestCase):
    def test_the_seven_folders_fit(self) -> None:
        files = [path for name in figures.LADDER for path in (ZOO / name).rglob("*")]
        self.assertLessEqual(sum(path.stat().st_size for path in files if path.is_file()),
                             MAX_BYTES)


if __name__ == "__main__":
    unittest.main()
