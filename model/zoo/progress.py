"""A progress bar on standard error, with the time left."""

import sys
import time
from types import TracebackType
from typing import Optional, Type


def clock(seconds: float) -> str:
    """Seconds as `1 h 02 m`, `3 m 20 s` or `12 s`."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 60} m {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class Bar:
    """Redraws one line at most every `interval` seconds (a line each when not a terminal)."""

    def __init__(self, title: str, total: int, start: int = 0) -> None:
        self.title, self.total, self.start, self.done = title, max(total, 1), start, start
        self.began = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.interval = 0.2 if self.terminal else 15.0
        self.drawn = 0.0

    def advance(self, amount: int, note: str = "") -> None:
        """Adds finished work; `note` is shown behind the bar."""
        self.done += amount
        now = time.monotonic()
        if now - self.drawn >= self.interval or self.done >= self.total > self.done - amount:
            self.drawn = now
            self._draw(now, note)

    def _draw(self, now: float, note: str) -> None:
        share = min(self.done / self.total, 1.0)
        spent = now - self.began
        left = spent * (self.total - self.done) / max(self.done - self.start, 1)
        bar = ("█" * int(share * 24)).ljust(24, "░")
        text = f"{self.title:<13} {bar} {share:4.0%}  {note}  {clock(max(left, 0))} left"
        print(("\r" if self.terminal else "") + text, end="\033[K" if self.terminal else "\n",
              file=sys.stderr, flush=True)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if self.terminal:
            print(file=sys.stderr)
