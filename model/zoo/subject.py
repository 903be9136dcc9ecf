"""One model behind a running server, as the measurements see it."""

import math
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Sequence, Tuple

import items
from bpe import Tokenizer
from wire import Attention, Client, floats


@dataclass
class Subject:
    """The model that is measured.

    Attributes:
        model: the server's Model message.
        folder: its files; its tokenizer and word scores are read from there.
        count: items a figure.
    """

    client: Client
    model: object
    folder: Path
    seed: int
    count: int

    def __post_init__(self) -> None:
        self.name = self.model.identity.name
        self.messages = self.client.messages
        self.tokenizer = Tokenizer(self.folder / "tokenizer.json")
        self.masked = self.model.direction == self.messages.ATTENTION_DIRECTION_BIDIRECTIONAL
        info = self.model.tokenizer
        self.mask_text, self.mask_id = info.mask_text, info.mask_id

    def prompt(self, text: object) -> object:
        """A Prompt of a text or of token ids."""
        if isinstance(text, str):
            return self.messages.Prompt(text=text)
        return self.messages.Prompt(tokens=self.messages.TokenIds(ids=text))

    def question(self, text: object, **candidates: object) -> object:
        """A PredictRequest about the next word, or about the masks of a text."""
        selector = self.messages.CandidateSelector(**candidates)
        return self.messages.PredictRequest(model=self.name, prompt=self.prompt(text),
                                            candidates=selector)

    def words(self, words: Iterable[str]) -> object:
        """Words inside a sentence, as candidates."""
        return self.messages.CandidateTexts(texts=[" " + word for word in words])

    def asked(self, choice: items.Choice) -> str:
        """The text to send: up to the word, or with a mask in its place."""
        return choice.masked(self.mask_text) if self.masked else choice.prefix

    def attention(self, texts: Iterable[object], queries: Sequence[Sequence[int]] = ()
                  ) -> Iterator[Attention]:
        """Dense rows of all layers and heads; `queries` holds the rows wanted of each text."""
        def request(i: int, text: object) -> object:
            chosen = queries[i] if queries else []
            selection = self.messages.AttentionSelection(queries=chosen)
            return self.messages.GetAttentionRequest(model=self.name, prompt=self.prompt(text),
                                                     selection=selection)

        return self.client.attention(request(i, text) for i, text in enumerate(texts))

    def distributions(self, rows: Iterable[Sequence[int]]) -> Iterator[Tuple[bytes, array]]:
        """After each row of ids (or at a mask put there): log-probabilities as bytes, and the
        probabilities of all tokens."""
        tail = [self.mask_id] if self.masked else []
        requests = (self.question([*row, *tail], full=True) for row in rows)
        for reply in self.client.predict(requests):
            tensor = reply.predictions[0].log_probabilities
            yield tensor.data, array("d", map(math.exp, floats(tensor)))
