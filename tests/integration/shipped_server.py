"""A server of the shipped models for tests of the command line, on a port that the system chooses."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class ShippedServer:
    """`environment` is for commands that are to find `heed` and this server."""

    def __init__(self, heed: Path, server: Path, source: Path, *flags: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        port_file = Path(self.folder) / "port"
        self._process = subprocess.Popen(
            [server, f"--models-dir={source}/model/zoo", "--listen=127.0.0.1:0", f"--port-file={port_file}",
             "--log-level=off", "--kv-cache-mib=64", *flags])
        self.environment = dict(os.environ, HEED_SERVER=f"127.0.0.1:{self._port(port_file)}", NO_COLOR="1",
                                PATH=f"{heed.parent}:{server.parent}:{os.environ['PATH']}")

    def _port(self, port_file: Path) -> str:
        for _ in range(600):
            if port_file.exists() and port_file.read_text().strip():
                return port_file.read_text().strip()
            if self._process.poll() is not None:
                sys.exit("heed-server ended instead of serving")
            time.sleep(0.1)
        self._process.kill()
        sys.exit("heed-server did not answer within a minute")

    def stop(self) -> None:
        self._process.terminate()
        code = self._process.wait()
        self._folder.cleanup()
        if code != 0:
            sys.exit(f"heed-server ended with code {code}")
