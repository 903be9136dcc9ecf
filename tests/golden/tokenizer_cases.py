"""The texts that every golden tokenizer is asked to encode.

A case is a unique name and bytes, which are not always valid UTF-8.
"""

import random
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer

Case = tuple[str, bytes]

RANDOM_SEED = 11
N_RANDOM_TEXTS = 86
N_RANDOM_BYTES = 14
MAX_ADDED_TOKENS = 16

ENGLISH = {
    "empty": "",
    "one_letter": "a",
    "sentence": "The keys to the cabinet are on the table.",
    "unseen_words": "Quixotic zebras jumble voxels; why? Because!",
    "mixed_case": "hElLo WORLD iPhone McDonald ALLCAPS camelCase snake_case kebab-case",
    "contractions": "I'm sure they've said he'd go, we'll see it's John's, you're right, can't",
    "contractions_upper": "I'M SURE THEY'VE SAID HE'D GO, WE'LL SEE IT'S, YOU'RE, CAN'T",
    "contractions_mixed": "It'S we'Ll they'rE I'Ve he'D don'T x'm",
    "contractions_typographic": "I’m sure they’ve gone; don’t",
    "contractions_odd": "'s ''s 's's '' ' 'll'll d'd 'tis o'clock rock'n'roll",
    "contractions_long_s": "it'\u017f I'\u017fo",
    "punctuation": "!!! ??? ... ,,, -- (a) [b] {c} <d> \"e\" 'f' `g` #h $i %j ^k &l *m ~n |o \\p @",
    "punctuation_runs": "wait...what?!?!--no!!! (((nested))) ==> <== *** ___",
    "repeated_letter": "a" * 320,
    "long_word": "antidisestablishmentarianism" * 12,
    "long_word_mixed": "".join(chr(97 + (i * 7) % 26) for i in range(340)),
    "alternating_digits_letters": "a1b2c3d4e5f6" * 8,
}

NUMBERS = {
    "digits": "0 1 12 123 1234 12345 123456 1234567 12345678",
    "number_forms": "3.14159 -2 +7 1e10 1E-5 0x1F 1,000,000 50% $9.99 1/2 10:30 2026-11-20 v1.2.3",
    "digits_in_words": "abc123def 4ever b2b h264 123abc456",
    "digits_non_ascii": "٠١٢٣ ४५६ ໑໒໓ 123 ⅓ ½ ² ³ ₄ Ⅷ ⑨ 一二三 𝟘𝟙𝟚",
    "long_number": "31415926535897932384626433832795028841971",
}

CODE = {
    "code_python": "def f(x):\n    if x > 0:\n        return x ** 2  # square\n\treturn None\n",
    "code_cpp": "int main() {\n  std::vector<int> v{1, 2};\n  return v[0] != 2 ? -1 : 0;\n}\n",
    "code_json": '{"a": [1, 2.5e-3, null], "b\\n": "\\u00e9", "c": {"d": true}}',
    "code_url": "https://example.org/a/b?c=d&e=%20#f user@example.org",
    "code_regex": r"^\s*([A-Za-z_]\w*)\s*=\s*(?:'[^']*'|\d+)$",
    "code_markup": '<a href="x">text</a><br/><!-- note -->&nbsp;&#39;',
    "code_shell": 'for i in $(ls *.txt); do echo "$i" >> out.log 2>&1; done',
    "code_diff": "@@ -1,3 +1,4 @@\n-old line\n+new line\n unchanged\r\n",
    "code_operators": "a+=b; c<<=2; d->e; f::g; h&&i||!j; k??l; m=>n; o...p",
}

SCRIPTS = {
    "german": "Die größte Straße über die Brücke führt nach Süden: ÄÖÜ äöü ß ẞ.",
    "french": "L'été, où êtes-vous allés ? À Noël, « ça » va ; l'œuvre naïve.",
    "spanish": "¿Qué pasó mañana? ¡Nada! El pingüino comió piña.",
    "polish": "Zażółć gęślą jaźń, źdźbło i łódź.",
    "turkish": "İstanbul'da ılık ışık, ığdır; Iğdır, iyi İYİ.",
    "vietnamese": "Tiếng Việt có nhiều dấu: ngã, hỏi, nặng, ở đâu, nghiêng.",
    "icelandic": "Þetta er ekki það sem ég átti við, æðislegt.",
    "russian": "Съешь ещё этих мягких булок, да выпей чаю. НЕТ!",
    "ukrainian": "Її їжак з'їв ґанок; п'ять.",
    "greek": "Η γρήγορη αλεπού, ὦ ξεῖν᾽, ἀγγέλλειν Σίσυφος.",
    "hebrew": "שלום עולם, בְּרֵאשִׁית 123 abc",
    "arabic": "السلام عليكم، كَتَبَ الولدُ ١٢٣ رسالة؟ لا.",
    "persian_zwnj": "می\u200cخواهم کتاب\u200cها را",
    "devanagari": "नमस्ते दुनिया, क्षत्रिय ज्ञान श्री १२३।",
    "tamil": "வணக்கம் உலகம், கொடு.",
    "bengali": "আমার সোনার বাংলা, কো।",
    "thai": "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง น้ำ ที่ ๑๒๓",
    "khmer": "សួស្តី​ពិភពលោក",
    "burmese": "မင်္ဂလာပါ",
    "tibetan": "བཀྲ་ཤིས་བདེ་ལེགས།",
    "georgian": "გამარჯობა მსოფლიო",
    "armenian": "Բարեւ աշխարհ։",
    "ethiopic": "ሰላም ልዑል፡ዓለም።",
    "cherokee": "ᎣᏏᏲ ꭳꮟꮒ",
    "chinese": "今天天气很好,我们去海边。「引号」《书名》——破折号……",
    "chinese_traditional": "臺灣的憂鬱龜,繁體中文。",
    "chinese_mixed": "我用GPT模型v2写了100行Python代码。",
    "chinese_supplementary": "𠀀𠮷野家𪚥",
    "japanese": "吾輩は猫である。名前はまだ無い。カタカナ、ひらがな、ー゛゜々",
    "japanese_halfwidth": "\uff8a\uff9d\uff76\uff78 \uff21\uff22\uff23\uff11\uff12 \uff01",
    "korean": "안녕하세요 세계! 오늘은 12월입니다. ㅋㅋㅋ ㅠㅠ",
    "korean_jamo": "\u1112\u1161\u11ab\u1100\u1173\u11af \u1100\u1161",
    "mongolian": "ᠮᠣᠩᠭᠣᠯ",
    "right_to_left_marks": "abc\u200f\u200eאבג\u202adef\u202c\u2067ghi\u2069",
    "mathematical": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β, 𝒜 𝔅 ℂ ∞ ≠ √2",
    "box_drawing": "┌──┐│▓│└──┘ ★☆♥♪",
}

EMOJI = {
    "emoji_plain": "😀😁 hi 😂🤣 ok👍",
    "emoji_skin_tone": "👍🏻👍🏿 ✋🏽",
    "emoji_zwj_family": "👨‍👩‍👧‍👦 and 👩🏽‍🚀 and 🏳️‍🌈",
    "emoji_flags": "🇩🇪🇫🇷🇯🇵 🇺🇸x🇬🇧 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "emoji_keycaps": "1️⃣2️⃣#️⃣*️⃣",
    "emoji_variation_selectors": "❤ ❤️ ❤︎ ☺️ ⚠️",
    "emoji_beside_words": "go🚀now 100💯% :) :-(",
}

COMBINING = {
    "nfc_word": "caf\u00e9 r\u00e9sum\u00e9 \u00c5ngstr\u00f6m",
    "nfd_word": "cafe\u0301 re\u0301sume\u0301 A\u030angstro\u0308m",
    "nfd_vietnamese": "Tie\u0302\u0301ng Vie\u0323\u0302t",
    "nfd_mark_order": "q\u0307\u0323 q\u0323\u0307 \u1e0b\u0323 d\u0323\u0307",
    "nfd_hangul": "\u1112\u1161\u11ab\u1100\u1173\u11af\u110b\u1165",
    "nfc_singletons": "\u212b \u2126 \u212a \u00c5 \u03a9 K \uf900 \u2f800",
    "nfc_exclusions": "\u0958 \u0915\u093c \u2adc \u05e9\u05bc\u05c1 \ufb2c",
    "mark_alone": "\u0301",
    "mark_first": "\u0301abc \u0308 \u0323",
    "mark_after_space": "a \u0301b \n\u0302c",
    "mark_after_digit": "1\u0301 2\u20dd3",
    "zalgo": "Z\u0351\u036b\u0343a\u0329\u0319l\u0324\u0331g\u0316o\u0321",
    "ligatures": "\ufb01ne \ufb04 \u01c4 \u0133 \u2460 \u00aa",
}

WHITESPACE = {
    "space_1": " ",
    "space_2": "  ",
    "space_3": "   ",
    "space_7": " " * 7,
    "space_17": " " * 17,
    "space_64": " " * 64,
    "space_2000": " " * 2000,
    "space_around": "  leading and trailing   ",
    "space_runs": "a b  c   d    e     f         g",
    "space_before_punctuation": "a ! b  ? c   (d",
    "space_before_digits": "a 1  22   333 ",
    "tabs": "\t",
    "tabs_mixed": "\ta\t\tb \tc\t d\t\t\t\te",
    "newline": "\n",
    "newlines": "a\nb\n\nc\n\n\nd\n\n\n\n",
    "newlines_100": "\n" * 100,
    "newline_spaces": "a \n b  \n  c\n   \n    d  ",
    "newline_then_punctuation": "a,\n\n.b!\n?\n",
    "crlf": "a\r\nb\r\n\r\nc\r\rd\n\re",
    "crlf_spaces": " \r\n  \r\n\r\n ",
    "vertical_tab_form_feed": "a\x0bb\x0cc \x0b \x0c",
    "no_break_space": "a\u00a0b \u00a0 c\u00a0\u00a0d",
    "ideographic_space": "a\u3000b \u3000 c\u3000\u3000d",
    "line_separators": "a\u2028b\u2029c \u2028 d\u0085e",
    "unicode_spaces": "a\u1680b\u2000c\u2003d\u2009e\u200af\u202fg\u205fh",
    "zero_width": "a\u200bb\u200cc\u200dd\u2060e\ufefff",
    "mongolian_vowel_separator": "a\u180eb \u180e c\u180e\u180ed",
    "mongolian_vowel_separator_run": "  \u180e  \u180e",
    "byte_order_mark": "\ufeffThe text",
    "indentation": "if:\n    a\n        b\n            c\n                d\n",
    "spaces_then_newlines": "a" + " " * 9 + "\n" * 3 + " " * 5 + "b",
}

ODDITIES = {
    "nul": "\x00",
    "nul_inside": "a\x00b \x00 c",
    "control_characters": "".join(map(chr, range(1, 32))) + "\x7f",
    "c1_controls": "a\x80b\x9fc\xad",
    "escape_sequence": "\x1b[31mred\x1b[0m",
    "byte_alphabet_space": "\u0120hello \u0120 world\u0120",
    "byte_alphabet_newline": "\u010aline \u010a\u010d\u0109",
    "byte_alphabet_others": "\u0100\u0121\u0143 \u00a1\u00ac\u00ae\u00ff",
    "replacement_character": "a\ufffdb\ufffd",
    "noncharacters": "a\uffff \ufdd0 \U0010ffff",
    "private_use": "\ue000 \uf8ff \U000f0000",
    "first_supplementary": "\U00010000 \U00010400\U00010428 \U0001d400",
    "tag_characters": "\U000e0041\U000e0042",
    "soft_hyphen": "co\u00adoper\u00adate",
    "upside_down": "\u02d9u\u028dop-\u01dd",
    "superscripts": "E=mc\u00b2 H\u2082O x\u207f 1\u02e2\u1d57",
    "roman_numeral_case": "\u2160\u2161 \u2170\u2171",
    "title_case_digraph": "\u01c5 \u01c6",
    "sharp_s_pair": "'\u00df ' S\u1e9e",
    "kelvin_sign": "'\u212a 300\u212a",
    "metaspace": "\u2581hello\u2581world \u2581",
    "wordpiece_marks": "##ing un##known",
    "byte_fallback_text": "<0x0A> <0xE2>",
}

INVALID_UTF8 = {
    "invalid_lone_continuation": b"a\x80b",
    "invalid_continuations": b"\x80\xbf\xa0 x",
    "invalid_truncated_2": b"a\xc3",
    "invalid_truncated_2_then_ascii": b"a\xc3b",
    "invalid_truncated_3_first": b"\xe2 x",
    "invalid_truncated_3_second": b"\xe2\x82 x",
    "invalid_truncated_4_first": b"a\xf0b",
    "invalid_truncated_4_second": b"a\xf0\x9fb",
    "invalid_truncated_4_third": b"a\xf0\x9f\x98b",
    "invalid_truncated_at_end": b"smile \xf0\x9f\x98",
    "invalid_truncated_pair": b"\xe2\x82\xe2\x82\xac",
    "invalid_overlong_2": b"a\xc0\xafb\xc1\xbf",
    "invalid_overlong_3": b"a\xe0\x80\xafb\xe0\x9f\xbf",
    "invalid_overlong_4": b"a\xf0\x80\x80\xafb\xf0\x8f\xbf\xbf",
    "invalid_surrogate_high": b"a\xed\xa0\x80b",
    "invalid_surrogate_pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "invalid_surrogate_low_end": b"\xed\xbf\xbf",
    "invalid_above_range": b"a\xf4\x90\x80\x80b\xf5\x80\x80\x80",
    "invalid_ff": b"\xff",
    "invalid_fe_ff": b"a\xfe\xff b\xff\xff",
    "invalid_five_byte_form": b"\xf8\x88\x80\x80\x80",
    "invalid_latin1": "na\u00efve caf\u00e9".encode("latin-1"),
    "invalid_between_spaces": b"  \xc3  \xa9 ",
    "invalid_nul_and_ff": b"\x00\xff\x00",
}

TEXTS = (ENGLISH, NUMBERS, CODE, SCRIPTS, EMOJI, COMBINING, WHITESPACE, ODDITIES)

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCdefGHIjklMNO",
    "0123456789",
    " .,;:!?'\"-()[]{}<>/\\|@#$%^&*_+=~`",
    "    \t\n\r\u00a0\u2003\u3000",
    "áàâäãåçéèêëíñóöøúüýßœæđłşž",
    "aeou\u0301\u0300\u0308\u0323\u0327\u030a",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "αβγδεζηθικλμνξοπρστυφχψωάέή",
    "שלוםעולםאבגד",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي\u064e\u0651",
    "नमस्तेदुनियाकखगघ\u093c\u094d\u0947",
    "กขคงจฉชซดตถทธนบปผฝพฟมยรลวสหอ\u0e34\u0e48",
    "的一是不了人我在有他这中大来上国海船",
    "あいうえおかきくけこアイウエオカキクケコー",
    "가나다라마바사한글\u1112\u1161\u11ab",
    "😀🌙🦊👍🏽🇩🇪\u200d\ufe0f❤🚀",
    "²½Ⅷ٣५③",
    "\x00\x01\x1b\x7f\u0085\u200b\u2028\ufeff\u0120\u010a",
)
FRAGMENTS = (
    "'s",
    "'LL",
    "'re",
    " the",
    "  ",
    "\n\n",
    "\r\n",
    "1234",
    "attention",
    "http://",
    "...",
    " I'd",
    "\t\t",
)


def random_text(rng: random.Random, extra: list[str]) -> str:
    """Short runs of one to four alphabets, with fragments that the patterns treat specially."""
    alphabets = rng.sample(ALPHABETS, rng.randint(1, 4))
    parts: list[str] = []
    for _ in range(rng.randint(2, 8)):
        if rng.random() < 0.3:
            parts.append(rng.choice((*FRAGMENTS, *extra)))
        parts.append("".join(rng.choices(rng.choice(alphabets), k=rng.randint(1, 6))))
        if rng.random() < 0.4:
            parts.append(" ")
    return "".join(parts)


def _random_cases(extra: list[str]) -> Iterator[Case]:
    rng = random.Random(RANDOM_SEED)
    for i in range(N_RANDOM_TEXTS):
        yield f"random_{i:02}", random_text(rng, extra).encode()
    for i in range(N_RANDOM_BYTES):
        yield f"random_bytes_{i:02}", bytes(rng.choices(range(256), k=rng.randint(1, 24)))


def added_contents(tokenizer: Tokenizer) -> list[str]:
    """The text of the first few added tokens, in the order of their ids."""
    tokens = tokenizer.get_added_tokens_decoder()
    return [tokens[i].content for i in sorted(tokens)][:MAX_ADDED_TOKENS]


def _added_token_cases(contents: list[str]) -> Iterator[Case]:
    """Every added token beside and inside other text, doubled, in another case and cut short."""
    for i, text in enumerate(contents):
        forms = (text, f"a {text} b", f"a{text}b", f"x  {text}  \n y", f"{text}{text}")
        yield f"added_{i:02}", " | ".join(forms).encode()
    if contents:
        yield "added_all_joined", "".join(contents).encode()
        yield "added_all_spaced", " ".join(contents).encode()
        yield "added_wrong_case", " ".join(text.swapcase() for text in contents).encode()
        yield "added_cut_short", " ".join(text[:-1] for text in contents).encode()


def cases_for(tokenizer: Tokenizer, own: dict[str, str]) -> list[Case]:
    """The common cases, those about the tokenizer's added tokens, its own, and random ones."""
    contents = added_contents(tokenizer)
    named: Iterable[tuple[str, str]] = ((n, t) for texts in (*TEXTS, own) for n, t in texts.items())
    cases = [(name, text.encode()) for name, text in named]
    cases += INVALID_UTF8.items()
    cases += _added_token_cases(contents)
    cases += _random_cases(contents)
    if len({name for name, _ in cases}) != len(cases):
        raise ValueError("two cases have the same name")
    return cases
