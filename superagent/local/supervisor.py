"""Keeps one program of `make run` running: `python -m superagent.local.supervisor NAME COMMAND…`.

It restarts the program when code changes and when the program ends by itself (with growing pauses), ends it at SIGINT
or SIGTERM, and exits when the process that started it is gone, so that even `kill -9` of `make run` leaves nothing
behind. Only for development: on servers the platform does this.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

from watchfiles import PythonFilter, watch

ROOT = Path(__file__).resolve().parents[2]
WATCHED = ("superagent", "accounts", "metering", "billing", "licensing", "templates")
GRACE_SECONDS = 10
STEADY_SECONDS = 10  # a program that lived this long may be restarted at once
LONGEST_PAUSE_SECONDS = 15
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Supervisor:
    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.command = command
        self.parent = os.getppid()
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._started = self._resume = 0.0
        self._pause = 1.0

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._start()
        for changed in _changes(self.name, self._stopping):
            if not self._parent_lives():
                break
            if changed:
                say(f"{self.name}: {changed} changed, starting again")
                self._stop()
                self._start()
            else:
                self._check()
        self._stop()

    def _start(self) -> None:
        self._started = time.monotonic()
        # A session of its own: only this process decides when the program hears a signal.
        self._child = subprocess.Popen(
            self.command, cwd=ROOT, start_new_session=True, preexec_fn=end_with_parent
        )

    def _check(self) -> None:
        """Start the program again after it ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            lived = time.monotonic() - self._started
            self._pause = 1.0 if lived > STEADY_SECONDS else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            say(
                f"{self.name}: ended with status {self._child.returncode}, starting again in {self._pause:.0f} s"
            )
            self._child = None
            self._resume = time.monotonic() + self._pause
        if self._child is None and time.monotonic() >= self._resume:
            self._start()

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{self.name}: still there after {GRACE_SECONDS} s, killing it")
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it left of itself
        child.wait()

    def _parent_lives(self) -> bool:
        return os.getppid() == self.parent  # an orphan is given another parent

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()


def _changes(name: str, stopping: threading.Event) -> Iterator[str]:
    """The name of a changed Python file, or "" about twice a second when nothing changed, until `stopping`.

    The sandbox imports nothing of the product and the product nothing of the sandbox, so each sees its own only.
    """
    sandbox = ROOT / "superagent" / "sandbox"
    if name == "sandbox":
        folders, code = [sandbox], PythonFilter()
    else:
        folders = [ROOT / folder for folder in WATCHED if (ROOT / folder).exists()]
        # Django keeps templates that it has read: those of pages and of mails.
        templates = (".html", ".txt") if name in ("web", "worker", "payments") else ()
        code = PythonFilter(ignore_paths=[sandbox], extra_extensions=templates)
    for changes in watch(
        *folders, watch_filter=code, stop_event=stopping, rust_timeout=500, yield_on_timeout=True
    ):
        yield str(Path(min(path for _, path in changes)).relative_to(ROOT)) if changes else ""


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Runs in the new process: have the kernel send it signal `number` when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, number)


def say(text: str) -> None:
    with suppress(OSError):  # nobody may be reading any more
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Supervisor(sys.argv[1], sys.argv[2:]).run()
