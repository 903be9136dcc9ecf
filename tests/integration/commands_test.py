"""The README's commands and the examples of the verbs' help do what they are shown to do: each runs against the shipped models.

usage: commands_test.py HEED HEED_SERVER SOURCE_FOLDER
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def wait_for(path: Path, server: subprocess.Popen) -> str:
    for _ in range(600):
        if path.exists() and path.read_text().strip():
            return path.read_text().strip()
        if server.poll() is not None:
            sys.exit("heed-server ended instead of serving")
        time.sleep(0.1)
    sys.exit("heed-server did not answer within a minute")


def main() -> None:
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        server = subprocess.Popen([SERVER, f"--models-dir={SOURCE}/model/zoo", "--listen=127.0.0.1:0",
                                   f"--port-file={port_file}", "--log-level=off", "--kv-cache-mib=64"])
        try:
            environment = dict(os.environ, HEED_SERVER=f"127.0.0.1:{wait_for(port_file, server)}", NO_COLOR="1",
                               PATH=f"{HEED.parent}:{SERVER.parent}:{os.environ['PATH']}")
            readme = (SOURCE / "README.md").read_text()
            commands = shown_commands(readme) + listed_commands(readme)
            assert len(commands) > 40, f"only {len(commands)} commands were found in README.md"
            commands += examples(environment)
            for command, expected in dict(commands).items():
                if command.startswith(SKIPPED):
                    continue
                done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True,
                                      text=True, stdin=subprocess.DEVNULL, timeout=120)
                if done.returncode != expected or not done.stdout + done.stderr:
                    failures.append(f"{command}\n  exit code {done.returncode}, expected {expected}: {done.stderr}")
            print(f"{len(dict(commands))} commands")
        finally:
            server.terminate()
            server.wait()
    if failures:
        sys.exit("\n".join(failures))


main()
