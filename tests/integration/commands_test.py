"""The README's commands and the examples of the verbs' help run against the shipped models.

usage: commands_test.py HEED HEED_SERVER SOURCE_FOLDER
"""

import re
import subprocess
import sys
from pathlib import Path

from shipped_server import ShippedServer

HEED, SERVER, SOURCE = (Path(argument).resolve() for argument in sys.argv[1:4])

# Needs a file or traces of the reader's own, or runs for long.
SKIPPED = ("heed describe ./", "heed bench")


def blocks(readme: str) -> list[list[str]]:
    return [block.split("\n") for block in re.findall(r"^```\n(.*?)^```$", readme, re.M | re.S)]


def shown_commands(readme: str) -> list[tuple[str, int]]:
    """What stands behind a $ and the exit code to expect: 1 where an error is shown below it."""
    commands = []
    for block in blocks(readme):
        for line, next_line in zip(block, block[1:]):
            if line.startswith("$ ") and "heed" in line:
                commands.append((line[2:], 1 if next_line.startswith("heed: ") and "trace" not in line else 0))
    return commands


def listed_commands(readme: str) -> list[tuple[str, int]]:
    """The list of verbs: a command, two spaces or more, what it does."""
    lines = [line for block in blocks(readme) for line in block if re.match(r"heed [a-z]+ .*\S  +\S", line)]
    return [(re.split(r"  +", line)[0], 0) for line in lines]


def examples(environment: dict) -> list[tuple[str, int]]:
    def say(*words: str) -> str:
        return subprocess.run([HEED, *words], env=environment, check=True, capture_output=True, text=True).stdout
    verbs = re.findall(r"^  ([a-z]+)", say("--help").split("Verbs:")[1].split("\n\n")[0], re.M)
    return [(say(verb, "--help").strip().split("\n")[-1].strip(), 0) for verb in verbs if verb != "help"]


def main() -> None:
    failures = []
    server = ShippedServer(HEED, SERVER, SOURCE)
    try:
        readme = (SOURCE / "README.md").read_text()
        commands = shown_commands(readme) + listed_commands(readme)
        assert len(commands) > 40, f"only {len(commands)} commands were found in README.md"
        commands += examples(server.environment)
        for command, expected in dict(commands).items():
            if command.startswith(SKIPPED):
                continue
            done = subprocess.run(["bash", "-c", command], cwd=server.folder, env=server.environment,
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
            if done.returncode != expected or not done.stdout + done.stderr:
                failures.append(f"{command}\n  exit code {done.returncode}, expected {expected}: {done.stderr}")
        print(f"{len(dict(commands))} commands")
    finally:
        server.stop()
    if failures:
        sys.exit("\n".join(failures))


main()
