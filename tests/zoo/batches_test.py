"""The batches of the trainings: what a model may see of a text, and what it must say.

Skipped without PyTorch and NumPy, which only the trainings need.
usage: batches_test.py ZOO_FOLDER [unittest arguments]
"""

import sys
import unittest
from pathlib import Path

ZOO = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ZOO))

try:
    import numpy as np
    import torch  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from documents import pack_rows, split_documents  # noqa: E402
from masked_word import MaskedWordBatches  # noqa: E402
from next_word import NextWordBatches  # noqa: E402

END, MASK, VOCABULARY = 0, 1, 50


def random_documents(count: int) -> list:
    rng = np.random.default_rng(7)
    return [rng.integers(2, VOCABULARY, rng.integers(3, 12)).astype(np.uint16)
            for _ in range(count)]


class Documents(unittest.TestCase):
    def test_split_gives_the_documents_without_their_ends(self):
        flat = np.array([5, 6, END, 7, END], dtype=np.uint16)
        self.assertEqual([d.tolist() for d in split_documents(flat, END)], [[5, 6], [7]])

    def test_every_row_starts_with_a_whole_document(self):
        documents = [np.array(ids) for ids in ([2, 3, 4], [5, 6, 7], [8, 9, 10, 11])]
        rows = pack_rows(documents, END, 5)
        self.assertEqual(rows.tolist(), [[2, 3, 4, END, 5], [5, 6, 7, END, 8]])


class NextWord(unittest.TestCase):
    def setUp(self):
        rows = np.array([[2, 3, END, 4, 5, 6], [7, 8, 9, END, 2, 3]], dtype=np.uint16)
        self.batch = NextWordBatches(rows, 2, seed=1, end_of_text=END, apart=0.5).get(0)

    def test_targets_are_the_inputs_one_later(self):
        targets = self.batch.targets.view(2, 5)
        self.assertTrue((targets[:, :-1] == self.batch.inputs[:, 1:]).all())

    def test_positions_restart_where_documents_are_kept_apart(self):
        ends = (self.batch.inputs[0] == END).tolist().index(True)
        expected = [*range(ends + 1), *range(4 - ends)]
        self.assertEqual(self.batch.positions[0].tolist(), expected)
        self.assertEqual(self.batch.positions[1].tolist(), list(range(5)))

    def test_documents_kept_apart_do_not_see_each_other(self):
        ends = (self.batch.inputs[0] == END).tolist().index(True)
        self.assertFalse(self.batch.allowed[0, ends + 1:, :ends + 1].any())
        self.assertTrue(self.batch.allowed[0, ends, :ends + 1].all())
        self.assertTrue(self.batch.allowed[1].all())


class MaskedWord(unittest.TestCase):
    def setUp(self):
        self.documents = random_documents(400)
        self.batches = self.make()

    def make(self) -> MaskedWordBatches:
        return MaskedWordBatches(self.documents, 256, 32, 1, END, MASK, VOCABULARY)

    def test_batches_depend_on_the_step_only(self):
        later = self.make().get(20)
        in_order = [self.batches.get(step) for step in range(21)][-1]
        self.assertTrue((later.inputs == in_order.inputs).all())
        self.assertTrue((later.targets == in_order.targets).all())

    def test_only_chosen_tokens_differ_from_the_text(self):
        known = {tuple(d.tolist()) for d in self.documents}
        alone = 0
        for step in range(8):
            batch = self.batches.get(step)
            ids = batch.inputs.clone()
            ids[batch.chosen] = batch.targets
            for row, real in zip(ids, batch.allowed[:, 0]):
                alone += tuple(row[real].tolist()) in known
            self.assertFalse((batch.chosen & ~batch.allowed[:, 0]).any())
            self.assertFalse((batch.targets == MASK).any())
        self.assertGreater(alone, 20)

    def test_many_texts_break_off_in_a_mask_as_a_prompt_does(self):
        prompts = texts = 0
        for step in range(8):
            batch = self.batches.get(step)
            for row, chosen, real in zip(batch.inputs, batch.chosen, batch.allowed[:, 0]):
                last = int(real.sum()) - 1
                prompts += chosen.sum() == 1 and bool(chosen[last]) and int(row[last]) == MASK
                texts += 1
        self.assertGreater(prompts, texts // 10)

    def test_more_words_are_masked_than_replaced_or_kept(self):
        batch = self.batches.get(3)
        masked = (batch.inputs[batch.chosen] == MASK).float().mean()
        self.assertGreater(masked, 0.6)
        self.assertLess(masked, 1.0)


if __name__ == "__main__":
    unittest.main()
