"""The text that the golden tokenizers are trained on: a few sentences in many scripts, and code."""

import random

PROSE = (
    "The keeper of the lighthouse wrote down the weather every morning, and every evening too.",
    "When the ships came in, the children counted them: one, two, three, and then many more.",
    "She didn't say where they're going, but I'll bet we've seen it; he'd know, I'm sure it's so.",
    "A small model reads a sentence and guesses the next word; a large one does the same thing.",
    "The keys to the cabinet are on the table near the window, where the cats were sleeping.",
    "In 1984 there were 12 boats, 365 days and 10000 reasons; by 2026 only 7 boats remained.",
    "Prices rose from 3.50 to 12.75, or about 264%, between 09:15 and 17:45.",
    "Die Straße war nass, und über den Dächern hörte man die Möwen schreien.",
    "Größere Fenster lassen mehr Licht herein, aber im Winter wird es dann kälter.",
    "Le garçon a mangé une crêpe à la crème près du château, c'était très bon.",
    "L'été dernier, l'élève naïve a traversé la forêt sans s'arrêter.",
    "El niño pequeño soñaba con montañas, y mañana verá el océano por primera vez.",
    "¿Dónde está la estación? ¡Allí, al final de la calle!",
    "O coração da cidade não dorme; as ruas são estreitas e cheias de música.",
    "Zażółć wszystkie łodzie przed świtem, mówiła dziewczynka do żeglarza.",
    "Küçük çocuklar ışıkları söndürüp bahçeye koştular.",
    "Buổi sáng, người đánh cá kéo lưới về và kể chuyện biển cho trẻ nhỏ.",
    "Маленькая лодка медленно плыла по тихой реке, и никто её не видел.",
    "Утром старый рыбак рассказывал детям про далёкие острова.",
    "Η μικρή βάρκα πέρασε το λιμάνι και χάθηκε στη θάλασσα.",
    "הסירה הקטנה עברה את הנמל לפני הזריחה.",
    "كان البحر هادئا في الصباح، ثم جاءت الريح من الشمال.",
    "छोटी नाव सुबह नदी पार करती है और बच्चे उसे देखते हैं।",
    "เรือลำเล็กออกจากท่าในตอนเช้า เด็กๆ โบกมือลา",
    "小船在清晨离开了港口,孩子们在岸边挥手。",
    "今天的风很大,我们明天再去看海吧。",
    "小さな船は朝早く港を出て、子どもたちは手を振った。",
    "カメラとノートを持って、東京から海へ行きました。",
    "작은 배가 아침에 항구를 떠났고 아이들은 손을 흔들었다.",
    "오늘은 바람이 세니까 내일 바다를 보러 가자.",
    "Good morning 😀 and good night 🌙, said the fox 🦊🦊 👍🏽.",
    "x² + y² ≤ r², so ∑ᵢ xᵢ → ½ ± 0.01 “roughly” – see §4…",
)

CODE = (
    "def count_words(text: str) -> dict[str, int]:\n"
    "    counts: dict[str, int] = {}\n"
    "    for word in text.split():\n"
    "        counts[word] = counts.get(word, 0) + 1\n"
    "    return counts\n",
    "#include <vector>\n\n"
    "int Sum(const std::vector<int>& values) {\n"
    "  int total = 0;\n"
    "  for (int value : values) {\n"
    "    if (value > 0) {\n"
    "      total += value;\n"
    "    }\n"
    "  }\n"
    "  return total;\n"
    "}\n",
    '{"name": "boat", "size": [3, 4.5, -1e-6], "open": true, "owner": null}\n',
    "SELECT name, COUNT(*) FROM boats WHERE length >= 10 GROUP BY name;\r\n",
    'for i in $(seq 1 10); do\n\techo "$i: ${name[i]}"\n\t\tsleep 0.1\ndone\n',
)

SUBJECTS = (
    "the sailor",
    "a child",
    "the old captain",
    "my neighbour",
    "this machine",
    "the teacher",
)
VERBS = ("watches", "remembers", "forgets", "counts", "follows", "describes", "understands")
OBJECTS = (
    "the waves",
    "every letter",
    "a hidden island",
    "two numbers",
    "the attention",
    "some words",
)
ENDINGS = (
    "today.",
    "before dawn!",
    "without a reason?",
    "again and again;",
    "in the garden,",
    "at night:",
)


def _generated_sentences(n_sentences: int, rng: random.Random) -> list[str]:
    """Sentences from a four-slot grammar, which give common words enough weight to be merged."""
    slots = (SUBJECTS, VERBS, OBJECTS, ENDINGS)
    return [" ".join(rng.choice(slot) for slot in slots) for _ in range(n_sentences)]


def training_text() -> list[str]:
    """The documents every golden tokenizer is trained on, in a fixed order."""
    rng = random.Random(20)
    documents = list(PROSE) * 3 + list(CODE) * 4 + _generated_sentences(60, rng)
    documents += ["\n".join(" " * (4 * depth) + "next" for depth in range(6))] * 4
    rng.shuffle(documents)
    return documents
