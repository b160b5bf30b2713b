"""The threads that render pages: as many as there are database connections for them.

A hop is a queue in C on the way there and one call into the event loop on the way back: concurrent.futures costs twice
as much, with a future on each side, conditions and callbacks.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Protocol


class Job(Protocol):
    def run(self) -> None:
        """Runs in a thread; raises nothing, and makes sure that `Threads.ended` is called in the event loop."""


class Threads:
    """Runs jobs in the order in which they came. All methods are called in the event loop's thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._unfinished = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()

    def submit(self, job: Job) -> bool:
        """Returns whether a thread is free for the job at once; otherwise it waits in the queue."""
        self._unfinished += 1
        if self._started < min(self._unfinished, self._count):
            self._started += 1
            # A daemon, since a page that hangs must not keep the process: the server waits as long as it was told to.
            threading.Thread(target=self._work, name=f"pages-{self._started}", daemon=True).start()
        self._jobs.put(job)
        return self._unfinished <= self._count

    def ended(self) -> None:
        self._unfinished -= 1

    def close(self) -> None:
        """Let the threads end after the jobs they were given."""
        for _ in range(self._started):
            self._jobs.put(None)
        self._started = 0

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            del job  # or it would be kept until the next one comes
