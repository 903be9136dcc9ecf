"""The words of the model cards.

The names in braces are figures (figures.py) and facts that card.py fills in from what was measured;
nothing measured is written out here. Paragraphs are wrapped when a card is written.
"""

from dataclasses import dataclass

EXAMPLE = ("the big cat sat on the", "the small dog ran to the")


@dataclass(frozen=True)
class Text:
    """What a card says about one model.

    Besides the figures, `after_cat` and `after_dog` stand for the first choice after EXAMPLE, and
    `most` and `least` for the words with the largest and smallest scores.

    Attributes:
        rung: place on the ladder.
        lead: what it is.
        shows: what it can and cannot do, and why.
        to_try: commands.
        reading: how to read scores that only this model has.
        limits: what not to expect, besides what holds for all.
    """

    rung: int
    lead: str
    shows: str
    to_try: str
    reading: str = ""
    limits: str = ""


TEXTS = {
    "last-word": Text(
        0,
        """\
The first step of the ladder: a language model that sees one word, the last. Whatever stands before
it gets the weight 0, so the model is a table from a word to the words that may follow it.""",
        """\
After `the big cat sat on the` and after `the small dog ran to the` the last word is `the`, and the
answer is the same, bit for bit; so it was in {same_after_same_word} of the pairs of texts with the
same last word. Its first choice is {after_cat} both times: it knows what comes after `the`, and not
who sat or ran. After a subject with one attractor (`the keys to the cabinet`) it chooses the right
form of the verb in {agreement_1} of the cases, because it agrees with the nearest noun: where that
has the other number, it is right in {agreement_1_hard}.

The next step: see the other words too. [average](../average/README.md) gives all of them the same
weight.""",
        """\
heed predict "the big cat sat on the" --model=last-word
heed predict "the small dog ran to the" --model=last-word     # the same numbers
heed attention "the big cat sat on the" --model=last-word     # a diagonal of ones"""),
    "average": Text(
        1,
        """\
The second step of the ladder: every word counts, and all count the same. Each of T words gets the
weight 1/T, and the average of their vectors chooses the next word.""",
        """\
It tells `the big cat sat on the` from `the small dog ran to the`: a probability differs by
{example_difference}. But what it sees is a bag of words. In any other order of the same words all
probabilities are the same (within {blind_to_any_order}), so `the dog bit the man` is `the man bit
the dog`; it finds out who was bitten in both orders of the two nouns in {deeds_both} of the cases.
It does not know which word is the last either, and that one says most about the next: after `the
big cat sat on the` its first choice is {after_cat}. And as `the` weighs as much as `keys`, whatever
decides drowns in what does not.

The next step: let some words count more. [weighted](../weighted/README.md) learns one score for
each word.""",
        """\
heed predict "the dog bit the man" --model=average
heed predict "the man bit the dog" --model=average            # the same numbers
heed attention "the keys to the cabinet" --model=average      # 1; 1/2, 1/2; 1/3, 1/3, 1/3; ...""",
        limits="""\
* `dog bites man` and `man bites dog` come out slightly different: a text's first word has no space
  before it and is another token than the same word elsewhere. Behind `the` they are the same."""),
    "weighted": Text(
        2,
        """\
The third step of the ladder: a weighted sum. Training learned one score for each word of the
vocabulary; the weights are the softmax of the scores of the words that are there.""",
        """\
Now some words count more. Of the words that the held-out texts use often, these have the largest
scores: {most}. And these the smallest: {least}.

But a score belongs to a word alone. It does not depend on the other words, on what is asked, or on
where the word stands. So this model is as blind to order as the average (all probabilities are the
same within {blind_to_any_order}, and it finds out who was bitten in both orders of the two nouns in
{deeds_both} of the cases), and it cannot give the last word more than its score is worth anywhere
else: after `the big cat sat on the` its first choice is {after_cat}.

The next step: weights that come from the words that are there. [attention](../attention/README.md)
computes them from queries and keys.""",
        """\
heed attention "the keys to the cabinet" --model=weighted   # two words keep their ratio
heed predict "the dog bit the man" --model=weighted
heed predict "the man bit the dog" --model=weighted           # the same numbers"""),
    "attention": Text(
        3,
        """\
The fourth step of the ladder: attention. The last word asks (its query), every word answers (its
key), and the softmax of query times key says what counts. One layer, one head, and nothing that
says where a word stands.""",
        """\
The weights now depend on the words that are there, and most on the last of them, which asks. That
is what a score for each word could not do: the last word is special again, and it decides what to
look for. After `the big cat sat on the` the first choice is {after_cat}. In held-out subjects with
one attractor the head noun gets more weight than the attractor in {head_noun_1}.

What is missing is order. With the last word in its place, all orders of the others are the same to
it (probabilities within {blind_to_order}): of two nouns it cannot know which came first, and it
finds out who was bitten in both orders in {deeds_both} of the cases.

The next step: say where each word stands. [attention-pos](../attention-pos/README.md) adds
positions.""",
        """\
heed attention "the keys to the cabinet" --model=attention
heed predict "the dog bit the man. The" --model=attention
heed predict "the man bit the dog. The" --model=attention     # the same numbers"""),
    "attention-pos": Text(
        4,
        """\
The fifth step of the ladder: attention with positions. To the vector of each word a learned vector
of its place is added, so queries and keys can ask for a place as well as for a word. One layer, one
head.""",
        """\
Order counts again. With all words but the last in another order, a probability moves by more than
0.01 in {order_apart} of the texts (median of the largest change: {order_median}). After `the dog
bit the man. The` and after `the man bit the dog. The` it finds out both times who was bitten in
{deeds_both} of the cases.

What one head in one layer cannot do is ask twice. It has one row of weights for everything that it
needs at a place, and what was mixed is never asked again. With one attractor of the other number
agreement is right in {agreement_1_hard}, pronouns of two people in {pronouns}, what did not fit in
{does_not_fit}.

The next step: many heads in several layers, each asking what the ones before found.
[decoder](../decoder/README.md) is a small transformer.""",
        """\
heed predict "the dog bit the man. The" --model=attention-pos
heed predict "the man bit the dog. The" --model=attention-pos
heed attention "the dog bit the man. The" --model=attention-pos""",
        limits="""\
* Positions are learned one by one; those past the length of most texts saw little training."""),
    "decoder": Text(
        5,
        """\
The sixth step of the ladder: a small causal transformer, with many heads in several layers. It
knows the grammar and the few hundred words of a generated English corpus, and nothing else.""",
        """\
Layers let a word ask what another has found out. Held out or not, it agrees across two attractors
({agreement_2}), finds who is meant by a pronoun ({pronouns}), what did not fit ({does_not_fit}) and
who was bitten ({deeds_both} in both orders), and copies what it has seen once: the loss on random
words is {loss_random} nats the first time and {loss_repeated} when they come again.

What its mask forbids is looking ahead. In texts that begin with `The bank`, its vector of `bank` is
the same (within {bank_same_later}) whether money or a river follows.

The next step drops the mask: [encoder](../encoder/README.md).""",
        """\
heed predict "the keys to the cabinet" --model=decoder
heed attention "the keys to the cabinet" --model=decoder --layer=3
heed generate "once upon a time" --model=decoder""",
        """\
"Head noun outweighs" asks how often, at the last attractor (the position that predicts the verb),
one head gives the head noun more weight than any attractor. Induction is the mean weight on the
word that followed the previous occurrence, in 25 random words said twice.""",
        """\
* Attention is evidence, not explanation: a head that looks at `keys` shows where information could
  come from. Cut the edge and see whether the answer moves before believing it."""),
    "encoder": Text(
        6,
        """\
The last step of the ladder: a small transformer without the causal mask. Every word sees all
others, those before it and those after it, and the model predicts what stands at a `[MASK]`.""",
        """\
Later words change earlier ones. In texts that all begin with `The bank`, the vectors of that `bank`
are nearer to each other within a kind (money, or a river) than across, by {bank_gap_later} in mean
cosine, although only later words say which it is; for the [decoder](../decoder/README.md) they are
all one vector. In all held-out bank texts the gap is {bank_gap}. In sentences outside of the
grammar it is {bank_gap_free}: there is no more to it than the grammar taught.

A gap is filled from both sides: {masked_right} of the masked tokens of held-out text are its first
choice.""",
        """\
heed predict "the keys to the cabinet [MASK] old." --model=encoder
heed predict "the [MASK] to the cabinet were old." --model=encoder
heed predict "the dog bit the man. The [MASK] was hurt." --model=encoder""",
        """\
The questions are those of the other cards, with a `[MASK]` in the word's place and the rest of the
sentence behind it. Masked text has 15 % of its tokens hidden. The cosine gap is the mean cosine of
two different vectors of `bank` in texts of one kind, less that of one of each kind, at the first
`bank` of each text.""",
        """\
* It does not generate: it fills gaps in a text that is there.
* Lists of random words, a seventh of the documents, were left out of its training: it does not copy
  their words, and they raise the loss of masked tokens above."""),
}

CARD = """\
# {name}

{lead}

Rung {rung} of [the ladder](../README.md); all rungs learn from one text and share one tokenizer.

| | |
|---|---|
| architecture | {architecture} |
| size | {size} |
| context | {context} tokens; a text starts with its first word, without a begin-of-text token |
| tokenizer | byte-level BPE, {vocabulary:,} tokens; {tokenizer} |
| files | {files} |

## What it shows

{shows}

```
{to_try}
```

`heed ladder "the keys to the cabinet"` shows all rungs side by side.

## Training

{training}

## Scores

Measured through a running server by `score.py` on the files in this folder, {items} held-out items
a line (seed {seed}). Held-out means: every word occurs in training, but no subject there joins this
head noun with this attractor or verb, no document these two names, no sentence this thing with this
container or this biter with the one bitten (`split.py`). `the keys to the cabinet`, `the trophy ...
the suitcase` and the pair Alice and Bob are held out by name.

| score | value |
|---|---|
{scores}

{reading}

What it says (most probable {what}):

{shown}

{rounding}## Limits

* It has never seen text outside its grammar. Unknown words are spelled from pieces that carry no
  meaning; facts, arithmetic and instructions are out of reach.
* The grammar is closed: held-out sentences have new word combinations, not new constructions, and a
  score near 100 % says no more than that.
{limits}

## Rebuild

`model/zoo/build.sh` writes the corpus, trains tokenizer and models, scores them, and writes this
card. The corpus and the tokenizer come out byte for byte. The weights depend on the order of
floating-point sums, so another CPU, PyTorch or number of threads gives a slightly different model.
"""

TOKENIZER = ("every corpus word is one token, with and without its leading space; anything else "
             "falls back to pieces and bytes")

ROUNDING = """\
## In fewer bits

| `--weights=` | perplexity, beside float32 | the same first choice as float32 |
|---|---|---|
{rows}

Of {places:,} {of} of `tests/golden/zoo/held_out.txt`, on a processor that multiplies tiles of
bfloat16 (AMX); `tests/transformer/rounded_weights_test.cc` measures it.

"""

READING = """\
Agreement compares the two forms of one verb (`is`/`are`, `was`/`were`, `look`/`looks`) after the
subject. Attractors come in both numbers; the lines "of the other number" keep only subjects in
which every attractor pulls the wrong way. Each question offers two words, so guessing gives 50 %,
and 25 % where both orders must be right."""
