"""What the tests of the verbs share: the server that they ask, and how they ask it.

The first three arguments of the program are HEED, HEED_SERVER and SOURCE_FOLDER; others are unittest's.
"""

import json
import math
import re
import struct
import subprocess
import sys
from pathlib import Path

from shipped_server import ShippedServer

HEED, SERVER, SOURCE = (Path(sys.argv.pop(1)).resolve() for _ in range(3))
PROMPT = "the keys to the cabinet"
TOKENS = 5
HEAD = ("--layer=3", "--head=4")


# A test program imports these two, for unittest to call them.
def setUpModule() -> None:
    global server
    server = ShippedServer(HEED, SERVER, SOURCE, "--trace-ttl=60s")


def tearDownModule() -> None:
    server.stop()


def work_folder() -> Path:
    """Where commands run and what they write lies."""
    return Path(server.folder)


def heed_environment() -> dict[str, str]:
    return server.environment


def heed(*words: str, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([HEED, *words], cwd=work_folder(), env=heed_environment(), capture_output=True, text=True,
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
    text = (work_folder() / name).read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def safetensors_metadata(name: str) -> dict:
    data = (work_folder() / name).read_bytes()
    return json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def safetensors_tensor(name: str, tensor: str) -> tuple[list[int], list[float]]:
    """Its shape and values."""
    data = (work_folder() / name).read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:begin])[tensor]
    first, last = (begin + offset for offset in entry["data_offsets"])
    return entry["shape"], list(struct.unpack(f"<{(last - first) // 4}f", data[first:last]))


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)
