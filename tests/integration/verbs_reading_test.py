"""What the verbs that read a run print: their numbers against each other, and against arithmetic done here.

usage: verbs_reading_test.py HEED HEED_SERVER SOURCE_FOLDER [unittest arguments]
"""

import json
import math
import re
import struct
import unittest

from verb_testing import (HEAD, PROMPT, TOKENS, ask, cosine, heed, page, rows, safetensors_metadata, setUpModule,
                          tearDownModule, tile, without_time, work_folder)


class Attention(unittest.TestCase):
    def setUp(self) -> None:
        self.weights = rows(ask("attention", PROMPT, *HEAD))

    def close(self, a: list, b: list, tolerance: float = 1e-6) -> None:
        self.assertEqual(len(a), len(b))
        for one, other in zip(a, b):
            if isinstance(one, list):
                self.close(one, other, tolerance)
            else:
                self.assertAlmostEqual(one, other, delta=tolerance)

    def test_forms_that_do_not_go_together_are_named_as_they_were_typed(self) -> None:
        for words, said in ((["--top-k=2", "--keys=1:3"], "--pool, and --top-k is given"),
                            (["--threshold=.1", "--keys=1:3"], "and --threshold is given"),
                            (["--packed", "--keys=1:3"], "and --packed is given"),
                            (["--spans=0:2", "--keys=1:3"], "and --spans is given"),
                            (["--top-k=2", "--stage=raw"], "--top-k is for weights, and --stage=raw shows scores"),
                            (["--spans=0:2", "--stage=masked"], "--spans is for weights, and --stage=masked"),
                            (["--pool=2", "--stage=masked"], "--pool is not for masked scores")):
            with self.subTest(words=words):
                self.assertIn(said, " ".join(heed("attention", PROMPT, *words, code=2).stderr.split()))
        for words in (["--pool=2", "--keys=1:3"], ["--pool=2", "--stage=capped"], ["--packed", "--stage=raw"],
                      ["--threshold=.1", "--stage=value_norm"], ["--keys=1:3", "--stage=masked"]):
            heed("attention", PROMPT, *words)

    def test_softmax_of_the_masked_scores_is_the_weights(self) -> None:
        masked = tile(ask("attention", PROMPT, *HEAD, "--stage=masked"))
        for scores, weights in zip(masked, self.weights):
            powers = [0.0 if s is None else math.exp(s - scores[0]) for s in scores]
            self.close([p / sum(powers) for p in powers], weights, 1e-5)

    def test_stages_follow_from_each_other(self) -> None:
        stage = {name: tile(ask("attention", PROMPT, *HEAD, f"--stage={name}"))
                 for name in ("raw", "scaled", "capped", "value_norm", "contribution")}
        self.close([[s / math.sqrt(32) for s in row] for row in stage["raw"]], stage["scaled"], 1e-4)
        self.close(stage["capped"], stage["scaled"])
        self.close([[s / sum(row) for s in row] for row in stage["value_norm"]], stage["contribution"], 1e-5)
        self.assertNotEqual(stage["contribution"], self.weights)

    def test_a_stage_says_what_its_numbers_and_its_mark_are(self) -> None:
        shown = heed("attention", PROMPT, *HEAD, "--stage=scaled").stdout
        self.assertIn("times the model's scale, 1 / sqrt(head_dim) in most", shown)
        self.assertIn("* furthest from 0 of all", shown)
        self.assertIn("* largest of all", heed("attention", PROMPT, *HEAD, "--stage=contribution").stdout)

    def test_a_packed_answer_is_the_same(self) -> None:
        self.assertEqual(rows(ask("attention", PROMPT, *HEAD, "--packed")), self.weights)

    def test_spans_add_up_and_blocks_have_the_largest(self) -> None:
        sums = tile(ask("attention", PROMPT, *HEAD, "--spans=0:2,2:"), "grid")
        self.close(sums, [[sum(row[:2]), sum(row[2:])] for row in self.weights])
        means = tile(ask("attention", PROMPT, *HEAD, "--spans=0:2,2:", "--average"), "grid")
        self.close(means[1], [sum(row[i] for row in sums[2:]) / 3 for i in range(2)])
        blocks = tile(ask("attention", PROMPT, *HEAD, "--pool=1x5"), "grid")
        self.close(blocks, [[max(row[key] for row in self.weights) for key in range(TOKENS)]])
        blocks = tile(ask("attention", PROMPT, *HEAD, "--pool=1x5", "--pool-by=mean"), "grid")
        self.close(blocks, [[sum(row[key] for row in self.weights) / TOKENS for key in range(TOKENS)]])

    def test_a_threshold_leaves_the_rest_in_the_dropped_mass(self) -> None:
        part = ask("attention", PROMPT, *HEAD, "--threshold=0.2")["tiles"][0]["sparse"]
        for row, weights in enumerate(self.weights):
            begin, end = part["row_begin"][row:row + 2]
            self.assertEqual(part["keys"][begin:end], [k for k, w in enumerate(weights) if w >= 0.2])
            self.assertAlmostEqual(part["dropped_mass"]["values"][row], sum(w for w in weights if w < 0.2), delta=1e-6)
        nothing = heed("attention", PROMPT, *HEAD, "--threshold=1", "--query=cabinet").stdout
        self.assertRegex(nothing, "cabinet +rest 1.0")

    def test_no_more_keys_than_there_are_is_all_of_them(self) -> None:
        most, more = (ask("attention", PROMPT, *HEAD, f"--top-k={k}")["rows"] for k in (TOKENS, TOKENS + 4))
        self.assertEqual(most, more)
        self.assertEqual([sorted(w for w in row["weights"] if w) for row in more],
                         [sorted(w for w in row if w) for row in self.weights])

    def test_heads_as_one_map_and_chosen_keys(self) -> None:
        heads = [rows(ask("attention", PROMPT, "--layer=3", f"--head={h}")) for h in range(6)]
        for how, combine in (("max", max), ("mean", lambda values: sum(values) / 6)):
            fused = tile(ask("attention", PROMPT, "--layer=3", f"--fuse={how}"))
            self.close(fused, [[combine([heads[h][q][k] for h in range(6)]) for k in range(TOKENS)]
                               for q in range(TOKENS)])
        chosen = tile(ask("attention", PROMPT, *HEAD, "--keys=1:3", "--query=cabinet"))
        self.close(chosen, [self.weights[-1][1:3]])

    def test_what_has_a_definition_names_it(self) -> None:
        for stage, definition in (("raw", ""), ("value_norm", "KOBAYASHI_2020_HEAD_NORM"),
                                  ("contribution", "KOBAYASHI_2020_HEAD_SHARE")):
            answer = ask("attention", PROMPT, *HEAD, f"--stage={stage}")
            self.assertEqual(answer["header"]["provenance"]["definition"], definition)

    def test_edits_are_made(self) -> None:
        flat = rows(ask("attention", PROMPT, *HEAD, "--focus=0"))
        self.close(flat[-1], [1 / TOKENS] * TOKENS)
        own = rows(ask("attention", PROMPT, *HEAD, "--weights=cabinet=.1,.2,.3,.2,.2"))
        self.close(own[-1], [.1, .2, .3, .2, .2])
        self.close(own[0], self.weights[0])
        elsewhere = rows(ask("attention", PROMPT, *HEAD, "--focus=0", "--edit-layer=3", "--edit-head=5"))
        self.assertEqual(elsewhere, self.weights)


class Provenance(unittest.TestCase):
    """What an answer was computed with is told wherever it is shown."""

    READS = (["attention"], ["attention", "--top-k=2"], ["attention", "--stage=raw"], ["predict"], ["lens"])

    def provenance(self, answer: dict) -> dict:
        return answer.get("header", answer)["provenance"]

    def test_edits_and_what_holds_the_weights(self) -> None:
        for verb, *more in self.READS + (["generate", "--max-tokens=1"],):
            with self.subTest(verb=verb, more=more):
                told = self.provenance(ask(verb, PROMPT, "--focus=0", *more))
                self.assertEqual((told["model"]["name"], told["compute_dtype"]), ("decoder", "F32"))
                self.assertEqual((told["intervention_count"], told["counterfactual_mask"]), (1, False))
                self.assertEqual(told.keys(), self.provenance(ask("lens", PROMPT)).keys())
                shown = heed(verb, PROMPT, "--focus=0", *more)
                self.assertIn("1 edit", shown.stdout + shown.stderr)
                plain = heed(verb, PROMPT, *more)
                self.assertNotIn("edit", plain.stdout + plain.stderr)

    def test_a_mask_that_is_not_the_models_own(self) -> None:
        for verb, *more in self.READS:
            with self.subTest(verb=verb, more=more):
                self.assertTrue(self.provenance(ask(verb, PROMPT, "--bidirectional", *more))["counterfactual_mask"])
                self.assertIn("a counterfactual.", heed(verb, PROMPT, "--bidirectional", *more).stdout)
                self.assertNotIn("counterfactual", heed(verb, PROMPT, *more).stdout)

    def test_a_trace_has_the_edits_that_it_was_opened_with(self) -> None:
        trace = ask("traces", "open", PROMPT, "--focus=0", "--bidirectional")["trace"]["trace_id"]
        self.assertEqual(self.provenance(ask("attention", f"--trace={trace}"))["trace_id"], trace)
        heed("attention", f"--trace={trace}", "--html=t.html", "--output=t.safetensors")
        source = page("t.html")["source"]
        self.assertEqual((source["edits"], source["edit_count"], source["counterfactual"]), ([], 2, True))
        self.assertEqual(source["compute_dtype"], "F32")
        told = safetensors_metadata("t.safetensors")
        self.assertEqual((told["edit_count"], told["counterfactual"]), ("2", "true"))
        self.assertEqual(told["compute_dtype"], "F32")


class Heads(unittest.TestCase):
    def test_entropies_are_in_nats_and_rows_average_to_the_grid(self) -> None:
        weights = rows(ask("attention", PROMPT, "--layer=3"))
        by_row = ask("stats", PROMPT, "--layer=3", "--per-row")["entropy_nats"]
        self.assertEqual(by_row["shape"], [1, 6, TOKENS])
        for row, entropy in zip(weights, by_row["values"]):
            self.assertAlmostEqual(-sum(w * math.log(w) for w in row if w > 0), entropy, delta=1e-5)
        means = ask("stats", PROMPT, "--layer=3")["entropy_nats"]["values"]
        for head, mean in enumerate(means):
            rows_of_head = by_row["values"][head * TOKENS:(head + 1) * TOKENS]
            self.assertAlmostEqual(sum(rows_of_head) / TOKENS, mean, delta=1e-5)

    def test_a_grid_says_what_its_mark_is(self) -> None:
        for words, said in ((["stats"], "Columns are heads; * the largest."),
                            (["stats", "--per-row"], "row by row; * the largest."),
                            (["detect", "--pattern=previous"], "Columns are heads; * the largest."),
                            (["sweep"], "by layer and head; * furthest from 0:"),
                            (["compare", "--focus=0"], "(Jensen-Shannon, nats); * the largest:"),
                            (["activations", "--position=1", "--form=cosines"], "of the same run; * furthest from 0:")):
            self.assertIn(said, " ".join(heed(words[0], PROMPT, *words[1:]).stdout.split()))
        nothing_fits = heed("detect", PROMPT, "--pattern=induction").stdout
        self.assertIn("Columns are heads.", nothing_fits)
        self.assertNotIn("*", nothing_fits)

    def test_a_pattern_of_ones_own_is_a_file(self) -> None:
        words = "the cat sat and the cat"
        known = ask("detect", words, "--pattern=previous")
        size = 6
        previous = [[float(key == query - 1) for key in range(size)] for query in range(size)]
        folder = work_folder()
        (folder / "previous.txt").write_text("\n".join(" ".join(map(str, row)) for row in previous))
        flat = [cell for row in previous for cell in row]
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 6), }".ljust(117) + "\n"
        (folder / "previous.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() +
                                              struct.pack("<36f", *flat))
        for name in ("previous.txt", "previous.npy"):
            own = ask("detect", words, f"--pattern={name}")
            for one, other in zip(own["scores"]["values"], known["scores"]["values"]):
                self.assertAlmostEqual(one, other, delta=1e-6)
        self.assertIn("the pattern previous.npy.", heed("detect", words, "--pattern=previous.npy").stdout)
        flat[7] = .5
        (folder / "half.txt").write_text(" ".join(map(str, flat)))
        self.assertIn("--pattern has 0.5 for query 1 and key 1; must be 0 or 1",
                      heed("detect", words, "--pattern=half.txt", code=1).stderr)
        self.assertIn("--pattern is [6, 6]", heed("detect", PROMPT, "--pattern=previous.npy", code=1).stderr)
        (folder / "five.txt").write_text("1 2 3 4 5")
        self.assertIn("holds 5 numbers; expected a square", heed("detect", words, "--pattern=five.txt", code=2).stderr)
        self.assertIn("not one of previous, duplicate, induction, nor a file of numbers",
                      heed("detect", words, "--pattern=indction", code=2).stderr)

    def test_what_a_score_leaves_out_is_said(self) -> None:
        for words, said in ((["--no-first"], ", without the first word."), (["--no-self"], ", without each row's own word."),
                            (["--no-first", "--no-self"], ", without the first word and each row's own word.")):
            self.assertIn(said, heed("detect", PROMPT, "--pattern=previous", *words).stdout)
            heed("detect", PROMPT, "--pattern=previous", *words, "--output=d.safetensors")
            told = safetensors_metadata("d.safetensors")
            self.assertEqual([told[name] for name in ("pattern", "exclude_first_token", "exclude_current_token")],
                             ["previous", str("--no-first" in words).lower(), str("--no-self" in words).lower()])

    def test_a_lens_says_nats_as_predict_does(self) -> None:
        cell = ask("lens", PROMPT)["cells"][-1]
        entropy = ask("predict", PROMPT)["predictions"][0]["entropy_nats"]
        self.assertAlmostEqual(cell["entropy_nats"], entropy, delta=1e-9)
        self.assertAlmostEqual(cell["kl_to_final_nats"], 0, delta=1e-9)
        self.assertIn("2.14 nats", heed("lens", PROMPT).stdout)
        self.assertIn("entropy 2.14 nats", heed("predict", PROMPT).stdout)


class Traces(unittest.TestCase):
    def test_a_trace_is_read_as_its_prompt_is_until_it_is_closed(self) -> None:
        trace = heed("traces", "open", PROMPT, "--residual", "--ttl=30s").stdout.strip()
        for verb in (["attention"], ["stats"], ["detect", "--pattern=previous"], ["lens", "--token=were"],
                     ["attribute"], ["explain"], ["rollout"], ["decompose"], ["activations"]):
            with self.subTest(verb=verb):
                self.assertEqual(without_time(ask(*verb, f"--trace={trace}")), without_time(ask(*verb, PROMPT)))
        moved = ask("intervene", f"--trace={trace}", "--cut=cabinet->keys", "--token=were")
        self.assertEqual(moved["results"], ask("intervene", PROMPT, "--cut=cabinet->keys", "--token=were")["results"])
        heed("traces", "renew", trace, "--ttl=20s")
        self.assertIn("given back", heed("traces", "close", trace).stdout)
        self.assertIn("no trace", heed("lens", f"--trace={trace}", code=1).stderr)

    def test_what_contradicts_a_trace_is_refused(self) -> None:
        for words in (["attention", PROMPT, "--trace=x"], ["attention", "--trace=x", "--focus=1"],
                      ["attention", "--trace=x", "--model=encoder"], ["attention", "--trace="],
                      ["traces", "list"], ["traces", "close"], ["generate", PROMPT, "--ttl=3s"]):
            heed(*words, code=2)

    def test_a_generation_is_kept_with_its_answer(self) -> None:
        lines = heed("generate", PROMPT, "--max-tokens=3", "--keep-trace", "--json").stdout.splitlines()
        events = [json.loads(line) for line in lines]
        self.assertEqual(events[-1]["event"], "trace")
        text = PROMPT + "".join(event["token"]["text"] for event in events if event["event"] == "token")
        trace = events[-1]["trace"]["trace_id"]
        kept = ask("attention", f"--trace={trace}")
        whole = ask("attention", text)
        self.assertEqual(kept["key_count"], TOKENS + 2)  # the last token was not run
        for one, other in zip((row for row in kept["rows"]),
                              (row for row in whole["rows"] if row["query"] < TOKENS + 2)):
            self.assertEqual(one["weights"], other["weights"][:TOKENS + 2])


class Activations(unittest.TestCase):
    def vectors(self, prompt: str, *words: str) -> list[list[list[float]]]:
        return [layer["values"] for layer in ask("activations", prompt, "--form=vectors", *words)["layers"]]

    def test_norms_and_cosines_are_those_of_the_vectors(self) -> None:
        vectors = self.vectors(PROMPT)
        self.assertEqual([len(vectors), len(vectors[0]), len(vectors[0][0])], [5, TOKENS, 192])
        norms = ask("activations", PROMPT)["layers"]
        cosines = ask("activations", PROMPT, "--form=cosines")["layers"]
        for layer in range(5):
            for i in range(TOKENS):
                norm = math.hypot(*vectors[layer][i])
                self.assertAlmostEqual(norms[layer]["values"][i][0] / norm, 1, delta=1e-5)
                for j in range(TOKENS):
                    self.assertAlmostEqual(cosines[layer]["values"][i][j],
                                           cosine(vectors[layer][i], vectors[layer][j]), delta=1e-4)

    def test_pictures_say_which_vectors_they_are_of(self) -> None:
        for form, named in (("cosines", "Cosines (query, head 1), layer 2; * furthest from 0:"), ("norms", "Lengths of the vectors (query, head 1); * the largest:"),
                            ("pca", "layer 2 (query, head 1), along"), ("vectors", "elements (query, head 1)")):
            shown = heed("activations", PROMPT, "--site=query", "--head=1", "--layer=2", f"--form={form}").stdout
            self.assertIn(named, " ".join(shown.split()))
        words = ["activations", PROMPT, "--site=mlp", "--form=cosines", "--position=1"]
        self.assertIn("Cosine of 1 ·keys (mlp) with the words", heed(*words).stdout)

    def test_a_form_names_its_definition(self) -> None:
        for form, definition in (("vectors", ""), ("norms", "EUCLIDEAN_LENGTH"), ("cosines", "COSINE"), ("pca", "PCA")):
            answer = ask("activations", PROMPT, f"--form={form}")
            self.assertEqual(answer["header"]["provenance"]["definition"], definition)
            self.assertIn(definition, heed("activations", PROMPT, f"--form={form}").stdout)

    def test_another_run_is_the_other_side(self) -> None:
        other = "the money in the bank"
        a = self.vectors("the boat near the bank", "--position=bank")
        b = self.vectors(other)
        cosines = ask("activations", "the boat near the bank", f"--other={other}", "--position=bank")["layers"]
        for layer in range(5):
            for j in range(TOKENS):
                self.assertAlmostEqual(cosines[layer]["values"][0][j], cosine(a[layer][0], b[layer][j]), delta=1e-4)

    def test_of_many_words_the_last_ones_are_shown_against_each_other(self) -> None:
        words = " ".join(["the keys"] * 25)
        cosines = ask("activations", words, "--form=cosines", "--layer=2")["layers"][0]["values"]
        shown = heed("activations", words, "--form=cosines", "--layer=2").stdout
        self.assertIn("The last 40 of 50 words;", shown)
        first = re.search(r"^ *(\d+) ·the \S? *\*?1\.00.*$", shown, re.M)  # a row, not a line of columns
        self.assertEqual(first[1], "10")
        self.assertNotIn(" 9 ·keys", shown)
        self.assertIn(f"{cosines[10][11]:.2f}".lstrip("0"), first[0])

    def test_components_keep_the_distances(self) -> None:
        vectors = self.vectors(PROMPT, "--layer=2")[0]
        answer = ask("activations", PROMPT, "--form=pca", "--dimensions=4", "--layer=2")["layers"][0]
        self.assertAlmostEqual(sum(answer["explained_variance"]), 1, delta=1e-4)
        for i in range(TOKENS):
            for j in range(i):
                self.assertAlmostEqual(math.dist(answer["values"][i], answer["values"][j]) /
                                       math.dist(vectors[i], vectors[j]), 1, delta=1e-3)

    def test_a_vector_of_a_file_is_added_or_taken_out(self) -> None:
        heed("activations", PROMPT, "--form=vectors", "--layer=2", "--position=keys", "--npy=keys.npy")
        base = self.vectors(PROMPT, "--layer=2", "--position=keys")[0][0]
        added = self.vectors(PROMPT, "--layer=2", "--position=keys", "--add=residual:2@keys=2*keys.npy")[0][0]
        for x, y in zip(base, added):
            self.assertAlmostEqual(3 * x, y, delta=1e-3)
        without = self.vectors(PROMPT, "--layer=2", "--position=keys", "--project-out=residual:2@keys=keys.npy")[0][0]
        self.assertLess(math.hypot(*without), 1e-3 * math.hypot(*base))


class Ladder(unittest.TestCase):
    """What the models below attention, and below the transformer, do not have is not made up for them."""

    def test_below_attention_there_are_no_queries_and_keys(self) -> None:
        for model in ("last-word", "average", "weighted"):
            with self.subTest(model=model):
                for words in (["--site=key"], ["--site=query"], ["--site=key", "--form=cosines"]):
                    refused = heed("activations", PROMPT, f"--model={model}", *words, code=1).stderr
                    self.assertIn("its weights are not made of queries and keys", refused.replace("\n      ", " "))
                row = ask("explain", PROMPT, f"--model={model}")
                self.assertNotIn("query_vector", row)
                self.assertNotIn("key_vectors", row)
                self.assertEqual(row["value_vectors"]["shape"], [row["key_count"], len(row["context"]["values"])])
        self.assertIn("query_vector", ask("explain", PROMPT, "--model=attention"))
        other = heed("traces", "open", PROMPT, "--model=average").stdout.strip()
        self.assertIn('"average" has no site key', heed("activations", PROMPT, "--model=attention", "--site=key",
                                                        "--form=cosines", f"--other-trace={other}", code=1).stderr)

    def test_a_rollout_has_no_identity_where_nothing_is_added(self) -> None:
        for model in ("last-word", "average", "weighted", "attention", "attention-pos"):
            with self.subTest(model=model):
                weights = rows(ask("attention", PROMPT, f"--model={model}"))
                for how in ([], ["--identity=0"]):
                    self.assertEqual(ask("rollout", PROMPT, f"--model={model}", *how)["weights"]["values"],
                                     weights[-1])
                refused = heed("rollout", PROMPT, f"--model={model}", "--identity=.5", code=1).stderr
                self.assertIn("--identity is 0.5, and this model has no residual connection", refused)


class Lens(unittest.TestCase):
    def test_a_map_shows_the_words_that_are_followed(self) -> None:
        shown = heed("lens", PROMPT, "--all", "--token=were", "--token=was").stdout
        self.assertIn("How probable ·was would be there:", shown)
        last = ask("lens", PROMPT, "--token=were")["cells"][-1]["followed"][0]["probability"]
        table = shown.split("How probable ·were would be there:\n")[1].split("\nHow probable")[0].splitlines()
        self.assertEqual(table[-1].split()[0], "model")
        self.assertEqual(table[-1].split()[-1], f"{last:.3f}")
        self.assertIn("--top is for one position", heed("lens", PROMPT, "--all", "--top=5").stdout)

    def test_every_position_of_what_truncation_leaves(self) -> None:
        text = "the " * 259
        self.assertEqual(len(ask("lens", text, "--all", "--truncate=left", "--top=1", "--layer=0")["positions"]), 256)
        self.assertIn("context window exceeded", heed("lens", text, "--all", code=1).stderr)


class Blanks(unittest.TestCase):
    """An encoder is asked at its mask, and says what stands there."""
    PROMPT = "The ____ of the river"
    MASK = 1

    def test_every_verb_asks_at_the_mask(self) -> None:
        best = ask("predict", self.PROMPT, "--model=encoder")["predictions"][0]["candidates"][0]
        lens = ask("lens", self.PROMPT, "--model=encoder")
        self.assertEqual(lens["positions"], [self.MASK])
        self.assertAlmostEqual(lens["cells"][-1]["candidates"][0]["probability"], best["probability"], delta=1e-6)
        ablated = ask("intervene", self.PROMPT, "--model=encoder", "--ablate=1.1")
        self.assertAlmostEqual(ablated["base"]["values"][0], best["probability"], delta=1e-6)
        for verb in (["sweep"], ["sweep", "--grid=edges"]):
            swept = ask(*verb, self.PROMPT, "--model=encoder")
            self.assertAlmostEqual(swept["header"]["base"], best["probability"], delta=1e-6)
            self.assertGreater(max(abs(delta) for row in swept["deltas"] for delta in row), 1e-3)
        self.assertEqual(ask("explain", self.PROMPT, "--model=encoder")["query"], self.MASK)
        self.assertEqual(ask("explore", self.PROMPT, "--model=encoder")["hovered"]["row"]["query"], self.MASK)
        trace = heed("traces", "open", self.PROMPT, "--model=encoder", "--residual", "--ttl=30s").stdout.strip()
        self.assertEqual(ask("lens", f"--trace={trace}")["positions"], [self.MASK])
        self.assertEqual(ask("lens", self.PROMPT, "--model=encoder", "--position=-1")["positions"], [4])

    def test_a_causal_model_and_a_text_without_a_mask_are_asked_at_the_last_word(self) -> None:
        self.assertEqual(ask("lens", "the [MASK] of", "--model=decoder")["positions"],
                         [len(ask("tokenize", "the [MASK] of")["tokens"]) - 1])
        self.assertEqual(ask("lens", "The bank of", "--model=encoder")["positions"], [2])

    def test_the_mask_is_found_in_what_truncation_leaves(self) -> None:
        words = "the " * 260
        for text, side in ((words + "[MASK]", "left"), ("[MASK] " + words, "right")):
            position = ask("lens", text, "--model=encoder", f"--truncate={side}")["positions"][0]
            self.assertEqual(position, 255 if side == "left" else 0)

    def test_an_encoder_says_at_where_a_decoder_says_after(self) -> None:
        self.assertIn("would say at [MASK] (position 1):", heed("lens", self.PROMPT, "--model=encoder").stdout)
        self.assertIn("would say at each word:", heed("lens", self.PROMPT, "--model=encoder", "--all").stdout)
        self.assertIn("would say after ·cabinet", heed("lens", PROMPT).stdout)
        for verb in (["intervene", "--ablate=1.1"], ["sweep"]):
            self.assertIn("Read at [MASK] (position 1).", heed(*verb, self.PROMPT, "--model=encoder").stdout)
            self.assertNotIn("Read at", heed(*verb, PROMPT).stdout)
        for model, words in (("encoder", "at"), ("decoder", "after")):
            heed("compare", PROMPT, "the key", f"--model={model}", "--html=pair.html")
            self.assertIn(f'"at_or_after":"{words}"', (work_folder() / "pair.html").read_text())


unittest.main()
