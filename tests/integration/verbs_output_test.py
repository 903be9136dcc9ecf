"""Where the verbs write: terminals of any width, streams, pages and files.

usage: verbs_output_test.py HEED HEED_SERVER SOURCE_FOLDER [unittest arguments]
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
import termios
import unittest

from verb_testing import (HEAD, HEED, PROMPT, SOURCE, TOKENS, ask, heed, heed_environment, page, rows,
                          safetensors_metadata, safetensors_tensor, setUpModule, tearDownModule, tile, work_folder)


class Terminals(unittest.TestCase):
    def shown(self, width: int, *words: str) -> list[str]:
        """The lines that a terminal of this width shows."""
        controller, terminal = pty.openpty()
        environment = dict(heed_environment(), COLUMNS=str(width))
        process = subprocess.Popen([HEED, *words], cwd=work_folder(), env=environment, stdout=terminal, stderr=terminal,
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
        environment = {name: value for name, value in heed_environment().items() if name != "COLUMNS"}

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
        return subprocess.run(["bash", "-c", command], cwd=work_folder(), env=heed_environment(), capture_output=True,
                              text=True, timeout=120)

    def test_output_that_cannot_be_written_is_an_error(self) -> None:
        for command in ("heed predict x", "heed help", "heed predict --help", "heed-server --help"):
            with self.subTest(command=command):
                done = self.shell(f"{command} >/dev/full")
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, "not be written|cannot write")

    def test_a_misspelt_address_is_not_left_to_the_default_in_silence(self) -> None:
        asked = "heed health --deadline=100ms"
        said = "HEED_SEVER is set, which nothing reads; did you mean HEED_SERVER?"
        for command, warns in ((f"unset HEED_SERVER; HEED_SEVER=x {asked}", True), (f"HEED_SEVER=x {asked}", False),
                               (f"unset HEED_SERVER; HEED_SEVER=x {asked} --server=127.0.0.1:1", False),
                               (f"unset HEED_SERVER; HEED_LISTEN=x HEED_SERVICE_HOST=x {asked}", False)):
            with self.subTest(command=command):
                shown = " ".join(self.shell(command).stderr.split())
                self.assertEqual((said in shown, "did you mean" in shown), (warns, warns))

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
        with open(work_folder() / "table.csv", newline="") as file:
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
                array = (work_folder() / "form.npy").read_bytes()
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
        for answer, values in ((ask(*asked), [1, 3, "max", 0]), (ask("rollout", PROMPT, "--layers=-1:"), [3, 4, "mean", 0.5]),
                               (ask("rollout", PROMPT, "--model=average"), [0, 1, "mean", 0])):
            self.assertEqual([answer[name] for name in ("layer_begin", "layer_end", "head_fusion", "identity")], values)
        metadata = self.metadata(*asked)
        self.assertEqual([metadata[name] for name in ("layers", "head_fusion", "identity")], ["1:3", "max", "0"])
        self.assertEqual(self.metadata("rollout", PROMPT)["identity"], "0.5")
        self.assertIn("through all heads of layer 3:", heed("rollout", PROMPT, "--flow", "--layers=-1:").stdout)
        for empty in ("--layers=1:1", "--layers=-1:-2"):
            self.assertIn(f"{empty} holds no layer", heed("rollout", PROMPT, empty, code=2).stderr)

    def test_a_lens_is_written_with_all_its_words(self) -> None:
        heed("lens", PROMPT, "--top=4", "--output=all.safetensors")
        answer = ask("lens", PROMPT, "--top=4")
        for name, value in (("candidate_probability", lambda word: word["probability"]),
                            ("candidate_token_id", lambda word: word["token"]["id"])):
            shape, values = safetensors_tensor("all.safetensors", name)
            self.assertEqual(shape, [5, 1, 4])
            wanted = [value(word) for cell in answer["cells"] for word in cell["candidates"]]
            for got, want in zip(values, wanted, strict=True):
                self.assertAlmostEqual(got, want, delta=1e-6 * max(1, want))

    def test_an_attribution_says_where_and_of_which_tokens(self) -> None:
        answer = ask("attribute", PROMPT, "--token=were", "--against=was", "--position=keys")
        metadata = self.metadata("attribute", PROMPT, "--token=were", "--against=was", "--position=keys")
        self.assertEqual([metadata[name] for name in ("position", "token_id", "against_id", "before_cap")],
                         ["1", str(answer["token"]["id"]), str(answer["against"]["id"]), "false"])

    def test_edits_of_the_stream_are_a_part_of_a_logit(self) -> None:
        edited = ["attribute", PROMPT, "--scale=residual-mid:1=0.5", "--token=were"]
        answer = ask(*edited)
        self.assertAlmostEqual(sum(part["value"] for part in answer["parts"]), answer["logit"], delta=1e-4)
        self.assertEqual([part["layer"] for part in answer["parts"] if part["kind"] == "COMPONENT_KIND_EDIT"], [1])
        self.assertIn("layer 1 edits of the stream", heed(*edited).stdout)
        self.assertEqual([part["name"] for part in self.page(*edited)["parts"] if part["kind"] == "edit"],
                         ["layer 1 edits of the stream"])

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

    def test_an_intervention_has_a_row_for_each_edit_and_one_for_none(self) -> None:
        asked = ["intervene", PROMPT, "--cut=cabinet->keys", "--ablate=2.1"]
        answer = ask(*asked, "--top=5")
        shown = self.page(*asked)
        self.assertEqual([metric["kind"] for metric in shown["metrics"]], ["probability"] * 3 + ["kl"])
        self.assertEqual(shown["position"], TOKENS - 1)
        for run, said in zip([shown["base"], *shown["results"]], [answer["base"], *answer["results"]]):
            self.assertEqual(run["values"], said["values"])
            self.assertEqual([word["token"].strip("·") for word in run["candidates"]],
                             [word["token"]["text"].strip() for word in said["candidates"]])
        self.assertEqual([run["name"] for run in shown["results"]], ["cut cabinet->keys", "ablate 2.1"])
        table = self.table(*asked)
        self.assertEqual([line["edit"] for line in table[::4]], ["(none)", "cut cabinet->keys", "ablate 2.1"])
        for line, value in zip(table, answer["base"]["values"] + answer["results"][0]["values"]):
            self.assertAlmostEqual(float(line["value"]), value, delta=1e-6)
        for line in table:
            base = next(float(other["value"]) for other in table if other["metric"] == line["metric"])
            self.assertAlmostEqual(float(line["change"]), float(line["value"]) - base, delta=1e-6)
        metadata = self.metadata(*asked, "--under=focus=0.9")
        self.assertEqual([metadata[name] for name in ("edits", "edit_count", "position")], ['["focus=0.9"]', "1", "4"])
        self.assertEqual(len(json.loads(metadata["best_tokens"])), 3)
        heed(*asked, "--output=x.txt", code=2)

    def test_a_patch_sweep_names_its_clean_run(self) -> None:
        asked = ["sweep", "the key to the cabinets", "--grid=patch", "--clean=the keys to the cabinets", "--token=were",
                 "--site=mlp"]
        self.assertIn('what the run of "the keys to the cabinets" held (site mlp) put in', self.page(*asked)["grids"][0]["meaning"])
        metadata = self.metadata(*asked)
        self.assertEqual([metadata[name] for name in ("grid", "clean", "site", "metric", "position")],
                         ["patch", "the keys to the cabinets", "mlp", "probability of ·were", "4"])

    def test_a_page_of_a_row_offers_the_command_that_shows_it_live(self) -> None:
        for words in ([PROMPT, "--model=attention", "--query=keys", "--focus=2"], ["The ____ of the river", "--model=encoder"],
                      [" ".join([PROMPT] * 6), "--layer=1", "--head=2"], ['$HOME `a` "b" it\'s!', "--literal"],
                      ["--ids=259,2058", "--cut=1->0", "--edit-layer=3"]):
            for verb in ("explain", "explore"):
                with self.subTest(verb=verb, words=words):
                    command = self.page(verb, *words)["command"]
                    self.assertIn(" --serve", command)
                    live = subprocess.run(["bash", "-c", command.replace(" --serve", " --json")], cwd=work_folder(), timeout=60,
                                          env=heed_environment(), capture_output=True, text=True, check=True)
                    row, own = json.loads(live.stdout)["hovered"]["row"], ask("explain", *words)
                    for name in ("layer", "head", "query", "weights"):
                        self.assertEqual(row[name], own[name])


unittest.main()
