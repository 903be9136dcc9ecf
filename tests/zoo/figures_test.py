"""Comparing and requiring scores, without a server.

usage: figures_test.py ZOO_FOLDER [unittest arguments]
"""

import argparse
import json
import sys
import unittest
from array import array
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

ZOO = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ZOO))

import figures  # noqa: E402
import measures  # noqa: E402
import score  # noqa: E402
import wire  # noqa: E402


def share(hits: int, of: int = 500) -> dict:
    return {"hits": hits, "of": of}


class Differs(unittest.TestCase):
    def test_a_share_may_differ_by_one_item_in_each_250_begun(self) -> None:
        self.assertFalse(figures.differs("share", share(400), share(402)))
        self.assertTrue(figures.differs("share", share(400), share(403)))
        self.assertFalse(figures.differs("share", share(40, 60), share(41, 60)))
        self.assertTrue(figures.differs("share", share(40, 60), share(42, 60)))
        self.assertTrue(figures.differs("share", share(60, 60), share(60, 61)))

    def test_losses_and_cosines_have_their_tolerances(self) -> None:
        self.assertFalse(figures.differs("loss", 1.2320, 1.2339))
        self.assertTrue(figures.differs("loss", 1.2320, 1.2345))
        self.assertFalse(figures.differs("cosine", 0.30, 0.304))
        self.assertTrue(figures.differs("cosine", 0.30, 0.31))

    def test_each_head_is_compared(self) -> None:
        one = {"hits": [[10, 500], [3, 4]], "of": 500}
        two = {"hits": [[10, 500], [3, 9]], "of": 500}
        self.assertFalse(figures.differs("heads", one, one))
        self.assertTrue(figures.differs("heads", one, two))
        self.assertTrue(figures.differs("weights", [[0.1, 0.2]], [[0.1], [0.2]]))
        self.assertEqual(figures.best_head(one), (1.0, 0, 1))

    def test_a_limit_is_exact(self) -> None:
        self.assertEqual(figures.within("blind_to_order", 3e-8), 1e-6)
        self.assertEqual(figures.within("blind_to_order", 3e-6), 3e-6)
        self.assertTrue(figures.differs("limit", 3e-6, 1e-6))


class Required(unittest.TestCase):
    def test_a_score_below_the_requirement_is_named(self) -> None:
        self.assertIsNone(figures.shortfall("decoder", "agreement_1", share(475)))
        short = figures.shortfall("decoder", "agreement_1", share(474))
        self.assertIn("94.8 %", short)
        self.assertIn("0.95", short)

    def test_a_limit_that_was_not_kept_is_named(self) -> None:
        self.assertIsNone(figures.shortfall("average", "blind_to_any_order", 1e-6))
        self.assertIn("required: 1e-06",
                      figures.shortfall("average", "blind_to_any_order", 1e-5))

    def test_a_requirement_without_a_measurement_is_named(self) -> None:
        self.assertEqual(len(figures.missing_requirements("encoder", ["bank_gap"])),
                         len(figures.REQUIRED["encoder"]) - 1)

    def test_the_shipped_scores_are_what_is_required(self) -> None:
        for name in figures.LADDER:
            scores = json.loads((ZOO / name / "scores.json").read_text(encoding="utf-8"))
            self.assertEqual(score.shortfalls(scores), [])

    def test_only_all_of_them_are_100_percent(self) -> None:
        self.assertEqual(figures.percent(1.0), "100 %")
        self.assertEqual(figures.percent(0.9999), "99.9 %")


class Compare(unittest.TestCase):
    def setUp(self) -> None:
        self.scores = json.loads((ZOO / "decoder" / "scores.json").read_text(encoding="utf-8"))
        self.other = deepcopy(self.scores)

    def test_the_same_scores_agree(self) -> None:
        self.assertEqual(score.compare(self.other, self.scores), [])

    def test_a_changed_figure_is_named_with_both_values(self) -> None:
        self.other["figures"]["loss_held_out"] += 0.01
        (line,) = score.compare(self.other, self.scores)
        self.assertIn(str(self.scores["figures"]["loss_held_out"]), line)
        self.assertIn(str(self.other["figures"]["loss_held_out"]), line)

    def test_a_missing_figure_is_named(self) -> None:
        del self.other["figures"]["induction"]
        self.assertEqual(score.compare(self.other, self.scores),
                         ["decoder: induction is not measured"])

    def test_other_weights_are_named(self) -> None:
        self.other["digest"] = "sha256:0"
        self.assertEqual(len(score.compare(self.other, self.scores)), 1)

    def test_examples_compare_by_probability_not_by_place(self) -> None:
        words = self.other["next_words"]
        prompt = next(iter(words))
        words[prompt] = dict(reversed(words[prompt].items()))
        self.assertEqual(score.compare(self.other, self.scores), [])
        first = max(words[prompt], key=words[prompt].get)
        words[prompt][first] -= 0.01
        (line,) = score.compare(self.other, self.scores)
        self.assertIn(first, line)


class Items(unittest.TestCase):
    def test_too_few_are_refused_by_name(self) -> None:
        for text in ("6", "19", "0", "-20", "x", ""):
            with self.assertRaisesRegex(argparse.ArgumentTypeError, "20 items or more"):
                score.item_count(text)
        self.assertEqual(score.item_count("20"), 20)

    def test_a_share_of_no_items_is_named(self) -> None:
        subject = SimpleNamespace(name="decoder", count=20)
        values = {"agreement_3": share(18, 20), "loss_held_out": 0.0}
        score.check_items(subject, values)
        values["agreement_3_hard"] = share(0, 0)
        with self.assertRaisesRegex(wire.WireError, "all of the other number.*--items"):
            score.check_items(subject, values)


class CosineGap(unittest.TestCase):
    def test_apart_and_together(self) -> None:
        one, two = array("d", [1.0, 0.0]), array("d", [0.0, 1.0])
        self.assertAlmostEqual(measures.cosine_gap([one] * 3, [two] * 4), 1.0)
        self.assertAlmostEqual(measures.cosine_gap([one] * 3, [one] * 4), 0.0)

    def test_no_vector_is_compared_with_itself(self) -> None:
        one, two = array("d", [1.0, 0.0]), array("d", [0.0, 1.0])
        self.assertAlmostEqual(measures.cosine_gap([one, two], [one, two]), -0.5)


if __name__ == "__main__":
    unittest.main()
