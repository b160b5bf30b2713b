"""The spool: every answered request is a line in a local file before its answer leaves the process.

One `os.write` to a file opened with O_APPEND hands the line to the kernel, so it survives `kill -9` of the process;
`metering.shipping` brings it to PostgreSQL. What a lost host can cost is in docs/metering.md.

A process writes to segments of its own and keeps each locked (flock) while it may write to it: a segment that can be
locked by somebody else is complete. Line: the fields of `Line`, separated by tabs, ended by a newline.
"""

import fcntl
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings

from superagent.foundation.identifiers import uuid7

VERSION = "1"
SUFFIX = ".spool"
SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_SECONDS = 3600
RETIRED_SECONDS = 60  # a thread that took the old segment's descriptor must be able to finish its write
NONE = "-"
LIMIT = 2**53  # as µs of unix time: the year 2255

NOT_COUNTED, COUNTED, COUNTED_IN_POSTGRES = "0", "1", "2"


@dataclass(frozen=True, slots=True)
class Line:
    """One request as it stands in the spool; ids are UUIDs in hex, `started_us` is µs of unix time."""

    id: UUID
    request_id: str
    organization_id: UUID
    user_id: UUID | None
    api_key_id: UUID | None
    period_id: UUID | None
    method: str
    endpoint: str
    path: str
    status: int
    duration_us: int
    request_bytes: int
    response_bytes: int
    counted: str
    started_us: int
    seed: str

    @classmethod
    def parse(cls, text: bytes) -> "Line":
        """Raises ValueError for a torn or foreign line."""
        fields = text.decode().split("\t")
        if len(fields) != 17 or fields[0] != VERSION:
            raise ValueError("not a line of this version")
        (
            _,
            row,
            request_id,
            organization,
            user,
            key,
            period,
            method,
            endpoint,
            path,
            status,
            duration,
            received,
            sent,
            counted,
            started,
            seed,
        ) = fields
        if counted not in (NOT_COUNTED, COUNTED, COUNTED_IN_POSTGRES):
            raise ValueError("unknown count mark")
        if not all(0 <= int(number) < LIMIT for number in (duration, received, sent, started)):
            raise ValueError("a number that PostgreSQL cannot hold")  # it would hold up every other line
        return cls(
            UUID(row),
            request_id,
            UUID(organization),
            _optional(user),
            _optional(key),
            _optional(period),
            method,
            endpoint,
            path,
            int(status),
            int(duration),
            int(received),
            int(sent),
            counted,
            int(started),
            "" if seed == NONE else seed,
        )


def _optional(text: str) -> UUID | None:
    return None if text == NONE else UUID(text)


def directory() -> Path:
    return Path(settings.SPOOL_DIR)


class Writer:
    """Appends lines to this process's present segment; used by many threads."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._descriptor = -1
        self._pid = 0
        self._written = 0
        self._opened_at = 0.0
        self._retired: list[tuple[float, int]] = []
        self.segment: Path | None = None

    def append(self, line: bytes) -> None:
        """Hand `line` (with its newline) to the kernel. Raises OSError when the disk refuses."""
        if self._pid != os.getpid() or self._is_full():
            self._rotate()
        written = os.write(self._descriptor, line)
        self._written += written
        if written == len(line):
            return
        # The disk is full. The rest becomes a line of its own, which nobody can parse.
        if os.write(self._descriptor, b"\n" + line) != len(line) + 1:
            raise OSError("the spool's disk is full")

    def close(self) -> None:
        with self._lock:
            for _, descriptor in self._retired:
                os.close(descriptor)
            self._retired.clear()
            if self._pid == os.getpid() and self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor, self._pid = -1, 0

    def forget(self) -> None:
        """In a forked child: close the parent's descriptor, whose lock it would hold beyond the parent's death."""
        self._lock = threading.Lock()
        for descriptor in (self._descriptor, *(old for _, old in self._retired)):
            if descriptor >= 0:
                os.close(descriptor)
        self._retired.clear()
        self._descriptor, self._pid = -1, 0

    def _is_full(self) -> bool:
        return self._written >= SEGMENT_BYTES or time.monotonic() - self._opened_at >= SEGMENT_SECONDS

    def _rotate(self) -> None:
        with self._lock:
            if self._pid == os.getpid() and not self._is_full():
                return  # another thread did it
            now = time.monotonic()
            if self._descriptor >= 0:
                self._retired.append((now, self._descriptor))
            for item in [item for item in self._retired if now - item[0] > RETIRED_SECONDS]:
                os.close(item[1])
                self._retired.remove(item)
            self._open()

    def _open(self) -> None:
        """A new file gets its name after its lock, so that nobody takes it for an abandoned one."""
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid7().hex}"
        fresh = self._place / f"{name}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.segment = self._place / f"{name}{SUFFIX}"
        fresh.rename(self.segment)
        self._descriptor, self._written, self._opened_at = descriptor, 0, time.monotonic()
        self._pid = os.getpid()


_writers: dict[Path, Writer] = {}


def writer() -> Writer:
    """This process's writer."""
    found = _writers.get(settings.SPOOL_DIR)
    if found is None:
        found = _writers.setdefault(settings.SPOOL_DIR, Writer(directory()))
    return found


def _after_fork() -> None:
    for each in _writers.values():
        each.forget()


os.register_at_fork(after_in_child=_after_fork)
