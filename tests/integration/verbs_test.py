"""What the verbs of inspection print: their numbers against each other, and against arithmetic done here.

usage: verbs_test.py HEED HEED_SERVER SOURCE_FOLDER [unittest arguments]
"""

import contextlib
import csv
import fcntl
import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import unittest
from pathlib import Path

from shipped_server import ShippedServer

HEED, SERVER, SOURCE = (Path(sys.argv.pop(1)).resolve() for _ in range(3))
PROMPT = "the keys to the cabinet"
TOKENS = 5


def setUpModule() -> None:
    global server
    server = ShippedServer(HEED, SERVER, SOURCE, "--trace-ttl=60s")


def tearDownModule() -> None:
    server.stop()


def heed(*words: str, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([HEED, *words], cwd=server.folder, env=server.environment, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == code, f"heed {' '.join(words)}: exit code {done.returncode}: {done.stderr}"
    return done


def ask(*words: str) -> dict:
    return json.loads(heed(*words, "--json").stdout.splitlines()[0])


def rows(answer: dict) -> list[list[float]]:
    return [row["weights"] for row in answer["rows"]]


def tile(answer: dict, of: str = "weights") -> list[list[float]]:
    """A form of attention of one head as rows."""
    values = []
    for part in answer["tiles"]:
        width = part[of]["shape"][1]
        flat = part[of]["values"]
        values += [flat[i:i + width] for i in range(0, len(flat), width)]
    return values


def without_time(answer: dict) -> dict:
    return {key: without_time(value) if isinstance(value, dict) else value for key, value in answer.items()
            if key not in ("timings_ms", "provenance")}


def page(name: str) -> dict:
    """The data that a page draws."""
    text = (Path(server.folder) / name).read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def safetensors_metadata(name: str) -> dict:
    data = (Path(server.folder) / name).read_bytes()
    return json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


HEAD = ("--layer=3", "--head=4")


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
        self.assertIn("Columns are heads; * the largest.", heed("stats", PROMPT).stdout)

    def test_a_pattern_of_ones_own_is_a_file(self) -> None:
        words = "the cat sat and the cat"
        known = ask("detect", words, "--pattern=previous")
        size = 6
        previous = [[float(key == query - 1) for key in range(size)] for query in range(size)]
        folder = Path(server.folder)
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
        for form, named in (("cosines", "Cosines (query, head 1), layer 2:"), ("norms", "Lengths of the vectors (query, head 1):"),
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


class Generating(unittest.TestCase):
    def test_what_a_word_is_predicted_from_has_weight(self) -> None:
        for words, shown in (([PROMPT, "--model=last-word"], "from  no other word"), (["the"], "from  no other word"),
                             ([PROMPT], r"from  ·\S+ [.\d]+ \(\d, layer \d head \d\)")):
            done = heed("generate", *words, "--max-tokens=1", "--attention")
            self.assertRegex(done.stdout, shown)
            self.assertIn("the first word and a row's own", done.stderr.replace("\n", " "))


class Terminals(unittest.TestCase):
    def shown(self, width: int, *words: str) -> list[str]:
        """The lines that a terminal of this width shows."""
        controller, terminal = pty.openpty()
        environment = dict(server.environment, COLUMNS=str(width))
        process = subprocess.Popen([HEED, *words], cwd=server.folder, env=environment, stdout=terminal, stderr=terminal,
                                   stdin=subprocess.DEVNULL)
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # the end of a terminal's output is an error
            while part := os.read(controller, 1 << 16):
                output += part
        os.close(controller)
        self.assertEqual(process.wait(), 0, output.decode())
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\r\n]*\r(?!\n)", "", output.decode()).splitlines()

    def test_a_window_that_changes_is_drawn_anew_without_a_key(self) -> None:
        controller, terminal = pty.openpty()
        environment = {name: value for name, value in server.environment.items() if name != "COLUMNS"}

        def resize(rows: int, columns: int) -> None:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        def drawn() -> list[str]:
            output = b""
            while not output.endswith(b"\x1b[J"):
                self.assertTrue(select.select([controller], [], [], 30)[0], "nothing is drawn")
                output += os.read(controller, 1 << 16)
            screen = output.decode().split("\x1b[H")[-1]
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen).split("\n")

        resize(24, 80)
        process = subprocess.Popen([HEED, "explore", PROMPT], env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
        self.addCleanup(process.kill)
        self.assertGreater(len(drawn()), 8)
        resize(8, 40)
        process.send_signal(signal.SIGWINCH)
        lines = drawn()
        os.write(controller, b"q")
        self.assertEqual(process.wait(), 0)
        os.close(terminal)
        os.close(controller)
        self.assertLessEqual(len(lines), 8)
        self.assertLessEqual(max(map(len, lines)), 40)

    def test_no_line_is_wider_than_the_terminal(self) -> None:
        other = "the key to the cabinets"
        goldens = SOURCE / "tests/golden"
        for words in (
                ["models"], ["describe"], ["describe", goldens / "gguf/quantized/Q4_K_M.gguf"],
                ["describe", goldens / "models/bert-f32"], ["tokenize", PROMPT], ["predict", PROMPT], ["predict", PROMPT, "--all"],
                ["predict", "the ____ to ____", "--model=encoder"], ["health"], ["help"], ["help", "attention"],
                ["generate", PROMPT], ["generate", PROMPT, "--logprobs"], ["generate", PROMPT, "--attention"],
                ["attention", PROMPT], ["attention", PROMPT, *HEAD], ["attention", PROMPT, "--top-k=3"],
                ["attention", PROMPT, "--threshold=.01"], ["attention", PROMPT, "--pool=3"],
                ["attention", PROMPT, "--spans=0:2,2:5"], ["stats", PROMPT], ["stats", PROMPT, "--per-row"],
                ["detect", PROMPT], ["detect", PROMPT, "--pattern=previous"], ["lens", PROMPT],
                ["lens", PROMPT, "--all"], ["lens", PROMPT, "--token=were"], ["lens", PROMPT, "--estimate"],
                ["attribute", PROMPT], ["attribute", PROMPT, "--by=head", "--against=was"],
                ["attribute", PROMPT, "--by=source"], ["explain", PROMPT, "--token=were", "--token=was"],
                ["rollout", PROMPT, "--all"], ["rollout", PROMPT, "--flow"], ["decompose", PROMPT],
                ["activations", PROMPT], ["activations", PROMPT, "--form=cosines"],
                ["activations", PROMPT, "--form=pca"], ["activations", PROMPT, "--form=vectors"],
                ["intervene", PROMPT, "--cut=cabinet->keys", "--ablate=2.1", "--bidirectional"],
                ["intervene", PROMPT, "--cut=cabinet->keys", "--ablate=2.1", "--together", "--top=3"],
                ["sweep", PROMPT], ["sweep", PROMPT, "--grid=focus"], ["compare", PROMPT, other],
                ["compare", PROMPT, "--ablate=3.4"], ["traces", "open", PROMPT, "--residual"],
                ["ladder", PROMPT], ["ladder", PROMPT, other], ["embed", PROMPT, other, "a third one", "--tokens"],
                ["bench", "--duration=50ms", "--warm-up=0", "--prompt-tokens=4", "--max-tokens=2"]):
            with self.subTest(words=words):
                for width in (40, 80):
                    for line in self.shown(width, *words):
                        if not line.startswith("  heed "):  # commands to be pasted are not broken
                            self.assertLessEqual(len(line), width, line)

    def test_rows_of_weights_fit_a_terminal_of_30_columns(self) -> None:
        for words in (["attention", PROMPT], ["attention", PROMPT, *HEAD], ["rollout", PROMPT, "--all"], ["ladder", PROMPT],
                      ["ladder", PROMPT, "the cabinet to the keys"]):
            with self.subTest(words=words):
                for line in self.shown(30, *words):
                    if not line.startswith("  heed "):
                        self.assertLessEqual(len(line), 30, line)

    def test_what_a_narrow_terminal_leaves_out_shows_as_an_ellipsis(self) -> None:
        self.assertEqual(self.shown(40, "explain", PROMPT)[2].split(), ["key", "weight", "weight·|v·W|", "…"])
        self.assertEqual(self.shown(60, "models")[0].split()[-1], "…")
        self.assertNotIn("…", "\n".join(self.shown(120, "explain", PROMPT)))


class Streams(unittest.TestCase):
    def shell(self, command: str) -> subprocess.CompletedProcess:
        return subprocess.run(["bash", "-c", command], cwd=server.folder, env=server.environment, capture_output=True,
                              text=True, timeout=120)

    def test_output_that_cannot_be_written_is_an_error(self) -> None:
        for command in ("heed predict x", "heed help", "heed predict --help", "heed-server --help"):
            with self.subTest(command=command):
                done = self.shell(f"{command} >/dev/full")
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, "not be written|cannot write")

    def test_nothing_is_written_to_what_took_the_place_of_a_closed_stream(self) -> None:
        self.assertEqual(self.shell("heed predict x --json >&- 2>&-").returncode, 1)
        self.assertEqual(self.shell("heed predict x <&-").returncode, 0)


class Files(unittest.TestCase):
    """The pages and files of verbs whose numbers the tests above look at."""

    def page(self, *words: str) -> dict:
        heed(*words, "--html=page.html")
        return page("page.html")

    def table(self, *words: str) -> list[dict]:
        heed(*words, "--output=table.csv")
        with open(Path(server.folder) / "table.csv", newline="") as file:
            return list(csv.DictReader(file))

    def test_a_rollout_is_a_map_of_its_rows(self) -> None:
        for how in ([], ["--flow"]):
            weights = ask("rollout", PROMPT, "--query=to,-1", *how)["weights"]["values"]
            page = self.page("rollout", PROMPT, "--query=to,-1", *how)
            self.assertEqual(page["rows"], ["·to 2", "·cabinet 4"])
            self.assertEqual(sum(page["grids"][0]["values"], []), weights)
            table = self.table("rollout", PROMPT, "--query=to,-1", *how)
            self.assertEqual([float(line["flow" if how else "rollout"]) for line in table], weights)
            self.assertEqual([table[6][name] for name in ("query", "query_token", "key", "key_token")],
                             ["4", " cabinet", "1", " keys"])

    def test_every_stage_and_form_of_attention_is_written_as_it_is_shown(self) -> None:
        whole = ["query", "query_token", "key", "key_token"]
        forms = ([["--stage=raw"], "raw", whole], [["--stage=masked"], "masked", whole],
                 [["--stage=contribution"], "contribution", whole], [["--keys=1:3"], "weight", whole],
                 [["--fuse=max"], "weight", whole], [["--stage=value_norm", "--packed"], "value_norm", whole],
                 [["--pool=2x3"], "weight", ["query", "key"]],
                 [["--spans=0:2,2:5"], "weight", ["query", "query_token", "key"]],
                 [["--spans=0:2,2:5", "--average"], "weight", ["query", "key"]])
        for form, name, axes in forms:
            with self.subTest(form=form):
                answer = ask("attention", PROMPT, *HEAD, *form)
                part = next(key for key in ("grid", "weights", "packed") if key in answer["tiles"][0])
                values = [-math.inf if value is None else value for value in answer["tiles"][0][part]["values"]]
                table = self.table("attention", PROMPT, *HEAD, *form)
                written = [float(line[name]) for line in table]
                if part == "packed":
                    written = [value for i, value in enumerate(written) if i % TOKENS <= i // TOKENS]
                self.assertEqual(written, values)
                head = [] if form == ["--fuse=max"] else ["head"]
                self.assertEqual(list(table[0]), ["layer", *head, *axes, name])
                heed("attention", PROMPT, *form, "--npy=form.npy")
                array = (Path(server.folder) / "form.npy").read_bytes()
                shape = [int(size) for size in re.findall(rb"\d+", re.search(rb"'shape': \(([^)]*)\)", array)[1])]
                self.assertEqual(shape[:-2], [4, 6][:1 + len(head)])
                self.assertEqual(math.prod(shape[-2:]), len(table))
                self.assertEqual(len(array) - 10 - int.from_bytes(array[8:10], "little"), 4 * math.prod(shape))
        first = self.table("attention", PROMPT, *HEAD, "--pool=2x3")
        self.assertEqual([line["key"] for line in first[:3]], ["0", "1-2", "3-4"])
        self.assertEqual([first[0]["query"], first[3]["query"]], ["0-1", "2-4"])
        heed("attention", PROMPT, "--fuse=mean", "--stage=value_norm", "--output=form.safetensors")
        told = safetensors_metadata("form.safetensors")
        self.assertEqual((told["stage"], told["head_fusion"]), ("value_norm", "mean"))
        self.assertEqual(told["definition"], "KOBAYASHI_2020_HEAD_NORM")

    def test_a_form_of_attention_is_a_page_of_maps(self) -> None:
        shown = self.page("attention", PROMPT, *HEAD, "--stage=raw")
        self.assertEqual((shown["rows"][1], shown["columns"][4]), ("·keys 1", "·cabinet 4"))
        values = tile(ask("attention", PROMPT, *HEAD, "--stage=raw"))
        for query, row in enumerate(shown["grids"][0]["values"]):
            self.assertEqual(row, values[query][:query + 1] + [None] * (TOKENS - 1 - query))
        shown = self.page("attention", PROMPT, "--pool=2", "--layer=1")
        self.assertEqual([grid["title"] for grid in shown["grids"]], [f"1.{head}" for head in range(6)])
        self.assertEqual(shown["rows"], ["0-1", "2-4"])

    def test_what_leaves_weights_out_is_no_file(self) -> None:
        for form in ("--top-k=1", "--threshold=.5"):
            self.assertIn("leaves weights out", heed("attention", PROMPT, form, "--npy=x.npy", code=2).stderr)
        for name in ("bertviz", "circuitsvis"):
            refused = heed("attention", PROMPT, "--stage=raw", f"--format={name}", "--output=x.json", code=2).stderr
            self.assertIn(f"--format={name} takes the heads' own weights", refused)

    def test_tokens_in_files_are_their_texts(self) -> None:
        tokens = ["the", " keys", " to", " the", " cabinet"]
        for words, token in ((["attention", *HEAD], "key_token"), (["lens", "--all"], "position_token"),
                             (["activations"], "position_token"), (["compare", PROMPT], "token_b"),
                             (["explain", *HEAD], "key_token"), (["stats", "--per-row"], "query_token"),
                             (["attribute", "--by=source"], "source_token"),
                             (["sweep", "--grid=edges", "--token=were", *HEAD], "key_token")):
            with self.subTest(verb=words[0]):
                verb, *more = words
                self.assertEqual(list(dict.fromkeys(line[token] for line in self.table(verb, PROMPT, *more))), tokens)
                heed(verb, PROMPT, *more, "--output=t.safetensors")
                self.assertEqual(json.loads(safetensors_metadata("t.safetensors")["tokens"]), tokens)

    def metadata(self, *words: str) -> dict:
        heed(*words, "--output=all.safetensors")
        return safetensors_metadata("all.safetensors")

    def test_a_rollout_says_what_it_followed(self) -> None:
        asked = ["rollout", PROMPT, "--layers=1:3", "--fuse=max", "--identity=0"]
        shown = " ".join(heed(*asked).stdout.split())
        self.assertIn("through all heads of layers 1 to 2, by the heads' maximum, the identity's share 0:", shown)
        self.assertIn("layers 1 to 2 (the maximum of the heads, without the identity)",
                      self.page(*asked)["grids"][0]["meaning"])
        for answer, values in ((ask(*asked), [1, 3, "max", 0]), (ask("rollout", PROMPT, "--layers=-1:"), [3, 4, "mean", None])):
            self.assertEqual([answer[name] for name in ("layer_begin", "layer_end", "head_fusion", "identity")], values)
        metadata = self.metadata(*asked)
        self.assertEqual([metadata[name] for name in ("layers", "head_fusion", "identity")], ["1:3", "max", "0"])
        self.assertIn("through all heads of layer 3:", heed("rollout", PROMPT, "--flow", "--layers=-1:").stdout)

    def test_every_answer_says_alike_what_was_cut_off(self) -> None:
        for words in (["predict"], ["attention"], ["attention", "--stage=raw"], ["lens"], ["stats"]):
            answer = ask(words[0], PROMPT, *words[1:])
            self.assertEqual(answer.get("header", answer)["prompt"]["truncation"], "none")

    def test_a_decomposition_has_shares_amounts_and_mixing_ratios(self) -> None:
        answer = ask("decompose", PROMPT, "--layer=2")
        page = self.page("decompose", PROMPT, "--layer=2")
        self.assertEqual(sum(page["grids"][1]["values"], []), answer["norms"]["values"])
        self.assertEqual(page["bars"]["values"], answer["mixing_ratios"]["values"])
        for row in page["grids"][0]["values"]:
            self.assertAlmostEqual(sum(row), 1, delta=1e-5)
        table = self.table("decompose", PROMPT, "--layer=2")
        self.assertEqual([float(line["amount"]) for line in table], answer["norms"]["values"])
        self.assertIn("(safetensors, 3 tensors)", heed("decompose", PROMPT, "--output=all.safetensors").stderr)

    def test_a_page_begins_with_what_was_asked_for(self) -> None:
        self.assertEqual([self.page("attribute", PROMPT, *by)["unit"] for by in ([], ["--by=head"], ["--by=source"])],
                         ["component", "head", "head"])
        self.assertIn("No head's attention", self.page("detect", PROMPT)["grids"][0]["meaning"])
        self.assertNotIn("No head", self.page("detect", "the cat sat and the cat")["grids"][0]["meaning"])
        meaning = self.page("detect", "the cat sat and the cat", "--no-self")["grids"][0]["meaning"]
        self.assertIn("says, without each row's own word, as TL_MUL", meaning)

    def test_activations_are_written_as_they_are_shown(self) -> None:
        values = [value for layer in ask("activations", PROMPT)["layers"] for row in layer["values"] for value in row]
        page = self.page("activations", PROMPT)
        self.assertEqual(page["rows"], ["embed", "after 0", "after 1", "after 2", "after 3"])
        self.assertEqual(sum(page["grids"][0]["values"], []), values)
        self.assertEqual([float(line["length"]) for line in self.table("activations", PROMPT)], values)
        self.assertEqual(len(self.table("activations", PROMPT, "--other=the key", "--other-position=1")), 5 * TOKENS)


    def test_a_comparison_has_both_sides(self) -> None:
        shown = heed("compare", PROMPT, "--other-model=average").stdout
        self.assertRegex(shown, r"\nA decoder sha256:\w+ · 5 tokens\nB average sha256:\w+ · 5 tokens")
        self.assertIn("heads are not compared: the models' layers or heads differ", " ".join(shown.split()))
        lines = [line.split() for line in heed("compare", PROMPT, "the key").stdout.splitlines()]
        self.assertEqual(lines[1][:4], ["0", "the", "0", "the"])
        words = [words[:4] for words in lines[2:] if words[0].isdigit()][:4]
        pair = ask("compare", PROMPT, "the key")["pairs"][1]
        self.assertIn([str(pair["position_a"]), "·cabinet", "1", "·key"], words)
        self.assertEqual([words[1] for words in words], ["·keys", "·to", "·the", "·cabinet"])  # three have no counterpart
        last = self.table("compare", PROMPT, "the key")[1]
        self.assertEqual([last[name].strip(" ·") for name in ("token_a", "token_b")], ["cabinet", "key"])
        metadata = self.metadata("compare", PROMPT, "--other-model=average")
        self.assertEqual([metadata[name] for name in ("model_a", "model", "definition")],
                         ["decoder", "average", "KL_NATS, JENSEN_SHANNON_NATS"])

    def test_a_patch_sweep_names_its_clean_run(self) -> None:
        asked = ["sweep", "the key to the cabinets", "--grid=patch", "--clean=the keys to the cabinets", "--token=were",
                 "--site=mlp"]
        self.assertIn('what the run of "the keys to the cabinets" held (site mlp) put in', self.page(*asked)["grids"][0]["meaning"])
        metadata = self.metadata(*asked)
        self.assertEqual([metadata[name] for name in ("grid", "clean", "site", "metric", "position")],
                         ["patch", "the keys to the cabinets", "mlp", "probability of ·were", "-1"])

    def test_a_page_of_a_row_offers_the_command_that_shows_it_live(self) -> None:
        for words in ([PROMPT, "--model=attention", "--query=keys", "--focus=2"], ["The ____ of the river", "--model=encoder"],
                      [" ".join([PROMPT] * 6), "--layer=1", "--head=2"], ['$HOME `a` "b" it\'s!', "--literal"],
                      ["--ids=259,2058", "--cut=1->0", "--edit-layer=3"]):
            for verb in ("explain", "explore"):
                with self.subTest(verb=verb, words=words):
                    command = self.page(verb, *words)["command"]
                    self.assertIn(" --serve", command)
                    live = subprocess.run(["bash", "-c", command.replace(" --serve", " --json")], cwd=server.folder, timeout=60,
                                          env=server.environment, capture_output=True, text=True, check=True)
                    row, own = json.loads(live.stdout)["hovered"]["row"], ask("explain", *words)
                    for name in ("layer", "head", "query", "weights"):
                        self.assertEqual(row[name], own[name])


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
            self.assertIn(f'"at_or_after":"{words}"', (Path(server.folder) / "pair.html").read_text())


class Lens(unittest.TestCase):
    def test_a_map_shows_the_words_that_are_followed(self) -> None:
        shown = heed("lens", PROMPT, "--all", "--token=were", "--token=was").stdout
        self.assertIn("How probable ·was would be there:", shown)
        last = ask("lens", PROMPT, "--token=were")["cells"][-1]["followed"][0]["probability"]
        table = shown.split("How probable ·were would be there:\n")[1].split("\nHow probable")[0].splitlines()
        self.assertEqual(table[-1].split()[0], "model")
        self.assertEqual(table[-1].split()[-1], f"{last:.3f}")
        self.assertIn("--top-k is for one position", heed("lens", PROMPT, "--all", "--top-k=5").stdout)

    def test_every_position_of_what_truncation_leaves(self) -> None:
        text = "the " * 259
        self.assertEqual(len(ask("lens", text, "--all", "--truncate=left", "--top-k=1", "--layer=0")["positions"]), 256)
        self.assertIn("context window exceeded", heed("lens", text, "--all", code=1).stderr)


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
        (Path(server.folder) / "ones.txt").write_text(" ".join(["1"] * width))
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


unittest.main()
