"""What the verbs that change a run or write on print, against each other; and what refuses an edit says.

usage: verbs_changing_test.py HEED HEED_SERVER SOURCE_FOLDER [unittest arguments]
"""

import subprocess
import unittest

from shipped_server import ShippedServer
from verb_testing import HEED, PROMPT, SERVER, SOURCE, TOKENS, ask, heed, page, setUpModule, tearDownModule, work_folder


class Changing(unittest.TestCase):
    def test_patching_everything_gives_the_clean_run(self) -> None:
        clean = "the keys to the cabinets"
        swept = ask("sweep", "the key to the cabinets", "--grid=patch", f"--clean={clean}", "--token=were")
        truth = ask("predict", clean, "--candidates=were")["predictions"][0]["candidates"][0]["probability"]
        # The prompts differ in one word alone: its embedding, and behind the last layer the last word's state.
        self.assertAlmostEqual(swept["values"][0][1], truth, delta=1e-6)
        self.assertAlmostEqual(swept["values"][-1][-1], truth, delta=1e-6)
        self.assertEqual(swept["deltas"][0][0], 0)
        by_head = ask("sweep", "the key to the cabinets", "--grid=patch", f"--clean={clean}", "--token=were",
                      "--site=mixed", "--by-head")
        self.assertEqual([len(by_head["values"]), len(by_head["values"][0])], [4, 6])

    def test_a_dial_at_1_changes_nothing(self) -> None:
        self.assertIn("Base: rank of ·were 1. ", heed("sweep", PROMPT, "--grid=focus", "--metric=rank").stdout)
        swept = ask("sweep", PROMPT, "--grid=focus", "--betas=0,1", "--token=were")
        self.assertEqual([row[0] != 0 for row in swept["deltas"]], [True, False])

    def test_a_row_that_an_edit_set_is_said_to_be(self) -> None:
        for edit, is_set in (("--preset=uniform", True), ("--weights=cabinet=0,1,0,0,0", True),
                             ("--focus=2", False), ("--cut=cabinet->keys", False), ("--cut=cabinet->*", False)):
            with self.subTest(edit=edit):
                shown = " ".join(heed("explain", PROMPT, edit).stdout.split())
                self.assertEqual("they are not the softmax of the scores" in shown, is_set)
        self.assertNotIn("softmax", heed("explain", PROMPT).stdout)

    def test_scores_that_a_model_caps_are_shown(self) -> None:
        capping = ShippedServer(HEED, SERVER, SOURCE, f"--model=capping={SOURCE}/tests/golden/models/gemma2-f32")
        try:
            shown = subprocess.run([HEED, "explain", "--ids=5,6,7", "--model=capping"], env=capping.environment,
                                   capture_output=True, text=True, check=True, timeout=60).stdout
        finally:
            capping.stop()
        self.assertRegex(shown, r"scaled +capped +masked")
        self.assertNotIn("capped", heed("explain", PROMPT).stdout)

    def test_presets_are_rows_of_weights(self) -> None:
        answer = ask("intervene", PROMPT, "--model=attention", "--preset=last-word@cabinet",
                     "--weights=cabinet=0,0,0,0,1", "--preset=uniform@cabinet", "--weights=cabinet=.2,.2,.2,.2,.2")
        last, one_hot, uniform, alike = answer["results"]
        self.assertEqual(last["values"], one_hot["values"])
        for one, other in zip(uniform["values"], alike["values"]):
            self.assertAlmostEqual(one, other, delta=1e-6)

    def test_edits_apply_alone_together_and_under(self) -> None:
        alone = ask("intervene", PROMPT, "--ablate=2.1", "--scale=mlp:1=0", "--token=were")
        self.assertEqual(len(alone["results"]), 2)
        together = ask("intervene", PROMPT, "--ablate=2.1", "--scale=mlp:1=0", "--token=were", "--together")
        under = ask("intervene", PROMPT, "--under=ablate=2.1", "--scale=mlp:1=0", "--token=were")
        self.assertEqual(together["results"][0]["values"][0], under["results"][0]["values"][0])
        self.assertEqual(under["base"]["values"][0], alone["results"][0]["values"][0])
        edited = ask("predict", PROMPT, "--ablate=2.1", "--candidates=were")
        probability = edited["predictions"][0]["candidates"][0]["probability"]
        self.assertAlmostEqual(probability, alone["results"][0]["values"][0], delta=1e-6)

    def test_edits_of_one_place_apply_in_the_order_typed(self) -> None:
        width = ask("describe")["hidden_size"]
        (work_folder() / "ones.txt").write_text(" ".join(["1"] * width))
        edits = ["--scale=residual:2=0", "--add=residual:2=ones.txt"]
        added_last = ask("intervene", PROMPT, *edits, "--together", "--token=were")["results"][0]
        scaled_last = ask("intervene", PROMPT, *reversed(edits), "--together", "--token=were")["results"][0]
        nothing_added = ask("intervene", PROMPT, edits[0], "--token=were")["results"][0]
        self.assertEqual(scaled_last["values"], nothing_added["values"])
        self.assertNotEqual(added_last["values"], nothing_added["values"])
        self.assertEqual(added_last["name"], "scale residual:2=0 + add residual:2=ones.txt")
        self.assertEqual(scaled_last["name"], "add residual:2=ones.txt + scale residual:2=0")

    def test_an_edits_name_says_where_it_applies(self) -> None:
        for scope, named in ((["--layer=3", "--head=4"], "focus 0 in 3.4"), (["--layer=3"], "focus 0 in layer 3"),
                             (["--head=1,2"], "focus 0 in heads 1,2"), ([], "focus 0"),
                             (["--layer=0", "--layer=2", "--head=1"], "focus 0 in head 1 of layers 0,2")):
            with self.subTest(scope=scope):
                result = ask("intervene", PROMPT, "--focus=0", "--ablate=1.1", *scope)["results"]
                self.assertEqual([edit["name"] for edit in result], [named, "ablate 1.1"])
        heed("stats", PROMPT, "--focus=0", "--edit-layer=3", "--edit-head=4", "--html=stats.html")
        self.assertEqual(page("stats.html")["source"]["edits"], ["focus 0 in 3.4"])
        self.assertIn("--focus=x: ", heed("intervene", PROMPT, "--focus=x", "--layer=3", code=2).stderr)

    def test_errors_name_what_was_typed(self) -> None:
        wrong = ["--focus=1", "--ablate=9.1"]
        for words, named in (
                (["intervene", PROMPT, *wrong], "--ablate=9.1: layer is 9"),
                (["intervene", PROMPT, *wrong, "--together"], "--ablate=9.1: layer is 9"),
                (["intervene", PROMPT, "--layer=9", "--focus=2"], "heed: --layer is 9"),
                (["intervene", PROMPT, "--focus=2", "--under=ablate=9.1"], "--under=ablate=9.1: layer is 9"),
                (["intervene", PROMPT, "--focus=2", "--token=two words"], "--token \"two words\" is not one token"),
                (["intervene", PROMPT, "--focus=2", "--token= 5"], "--token \" 5\" is not one token"),
                (["compare", PROMPT, "a", *wrong], "--ablate=9.1: layer is 9"),
                (["compare", PROMPT, ""], "the second prompt holds no token"),
                (["explore", PROMPT, "--html=x", *wrong], "--ablate=9.1: layer is 9"),
                (["predict", PROMPT, "--cut=9->1"], "--cut=9->1: position is 9"),
                (["generate", PROMPT, "--focus=-1"], "--focus=-1 is -1"),
                (["lens", PROMPT, "--weights=cabinet=.1"], "--weights=cabinet=.1 sum to 0.1; must sum to 1, or add --renorm"),
                (["traces", "open", PROMPT, *wrong], "--ablate=9.1: layer is 9"),
                (["intervene", PROMPT, "--weights=cabinet=1"], "must be one for each of the prompt's 5 tokens (sets[0]"),
                (["sweep", PROMPT, "--at=5"], "heed: --at is 5; there are 5 tokens, so it must be in [-5, 4]")):
            with self.subTest(words=words):
                self.assertIn(named, heed(*words, code=1).stderr.replace("\n      ", " "))

    def test_errors_say_what_to_type_next(self) -> None:
        trace = heed("traces", "open", PROMPT).stdout.strip()
        small = heed("traces", "open", PROMPT, "--model=average").stdout.strip()
        for words, said in (
                (["lens", f"--trace={trace}"],
                 "the trace does not keep residual of layer 0; open one that does. heed traces open PROMPT --residual "
                 "keeps it."),
                (["sweep", PROMPT, "--grid=patch", f"--clean-trace={trace}", "--site=mlp"],
                 "heed: the clean trace does not keep mlp_out of layer 0; open one that does. heed traces open PROMPT "
                 "--site=mlp keeps it."),
                (["sweep", PROMPT, "--grid=patch", f"--clean-trace={small}", "--site=value", "--layer=3"],
                 "heed: the clean trace does not keep value of layer 3; open one that does."),
                (["sweep", PROMPT, "--grid=patch", f"--clean-trace={small}", "--site=mlp", "--model=average"],
                 "heed: --site=mlp is mlp_out; this model has no feed-forward halves (activation_patching.site)."),
                (["intervene", PROMPT, f"--patch=mlp:0={trace}"],
                 f"heed: --patch=mlp:0={trace} needs mlp_out of layer 0, which its source did not keep "
                 "(sets[0].interventions[0].patch_site). heed traces open PROMPT --site=mlp keeps it."),
                (["generate", PROMPT, "--mean-ablate=2"], "heed: --mean-ablate=2 needs all of a sequence's tokens at once"),
                (["decompose", PROMPT, "--model=average"], "Add --method=attention."),
                (["decompose", PROMPT, "--method=norm"], "Add --method=residual."),
                (["lens", PROMPT, "--token=zebra elephants"], 'several: "z", "e", "bra", " ", "e", "le", "p", "h", … (')):
            with self.subTest(words=words):
                self.assertIn(said, heed(*words, code=1).stderr.replace("\n      ", " "))

    def test_tokens_to_choose_from_are_shown_as_elsewhere(self) -> None:
        refused = heed("attention", "\U0001f600 the keys", "--query=\U0001f600", code=2).stderr
        self.assertIn("Its tokens are: <F0> <9F> <98> <80> ·the ·keys", refused)
        many = heed("attention", " ".join(["the keys"] * 40), "--query=cabinet", code=2).stderr.replace("\n      ", " ")
        self.assertIn("·the ·keys … and 48 more", many)

    def test_vectors_and_numbers_that_cannot_be_read_are_named(self) -> None:
        for edit, named in (
                ("--add=residual:2=/nowhere", "cannot read /nowhere: No such file or directory."),
                ("--add=residual:2=3*.", "cannot read .: Is a directory."),
                ("--scale=2.1=nan", '--scale=2.1=nan: "nan" is not a number.'),
                ("--bias=cabinet->keys=x", '--bias=cabinet->keys=x: "x" is not a number.')):
            with self.subTest(edit=edit):
                self.assertIn(named, heed("intervene", PROMPT, edit, code=2).stderr)

    def test_metrics_are_those_of_the_prediction(self) -> None:
        answer = ask("intervene", PROMPT, "--ablate=2.1", "--metric=rank", "--metric=difference", "--metric=kl",
                     "--token=was", "--against=were")
        rank, difference, kl = answer["base"]["values"]
        was = ask("predict", PROMPT, "--candidates=was,were")["predictions"][0]["candidates"]
        self.assertEqual(rank, was[0]["rank"])
        self.assertAlmostEqual(difference, was[0]["log_probability"] - was[1]["log_probability"], delta=1e-4)
        self.assertEqual(kl, 0)

    def test_a_loss_comes_with_the_words_at_the_end(self) -> None:
        likely = ask("predict", PROMPT, "--top=1")["predictions"][0]["candidates"][0]["token"]["text"]
        for edit, moves in (("--cut=cabinet->keys", False), ("--ablate=2.1", True)):  # no word follows the last
            answer = ask("intervene", PROMPT, edit, "--metric=loss")
            self.assertEqual(answer["base"]["candidates"][0]["token"]["text"], likely)
            self.assertEqual(answer["results"][0]["deltas"] != [0], moves)
            self.assertEqual(len(answer["results"][0]["candidates"]), 1)
        self.assertIn(f"·{likely.strip()}", heed("intervene", PROMPT, "--cut=cabinet->keys", "--metric=loss").stdout)

    def test_an_estimate_is_what_the_answer_holds(self) -> None:
        estimate = ask("attention", PROMPT, "--layer=3", "--estimate")
        self.assertTrue(estimate["allowed"])
        self.assertEqual(estimate["sent_bytes"], 6 * TOKENS * TOKENS * 4)
        self.assertIn("floating-point operations", heed("sweep", PROMPT, "--token=were", "--estimate").stdout)
        few, more = (ask("predict", PROMPT, f"--top={k}", "--estimate")["sent_bytes"] for k in (2, 7))
        self.assertEqual(more - few, 5 * 24)
        heed("predict", PROMPT, "--full=all.npy", "--estimate")
        self.assertFalse((work_folder() / "all.npy").exists())
        bytes_of_words = [ask("generate", PROMPT, "--logprobs", "--top=2", f"--max-tokens={n}", "--estimate")["sent_bytes"]
                          for n in (1, 3)]
        self.assertEqual(bytes_of_words[1], 3 * bytes_of_words[0])
        self.assertIn("--ablate=9.1: layer is 9", heed("predict", PROMPT, "--ablate=9.1", "--estimate", code=1).stderr)


class Generating(unittest.TestCase):
    def test_what_a_word_is_predicted_from_has_weight(self) -> None:
        for words, shown in (([PROMPT, "--model=last-word"], "from  no other word"), (["the"], "from  no other word"),
                             ([PROMPT], r"from  ·\S+ [.\d]+ \(\d, layer \d head \d\)")):
            done = heed("generate", *words, "--max-tokens=1", "--attention")
            self.assertRegex(done.stdout, shown)
            self.assertIn("the first word and a row's own", done.stderr.replace("\n", " "))


unittest.main()
