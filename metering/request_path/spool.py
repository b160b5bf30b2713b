"""The spool: every answered request is a line in a local file before its answer leaves the process.

One `os.write` to a file opened with O_APPEND hands the line to the kernel, so it survives `kill -9` of the process;
`metering.request_path.shipping` brings it to PostgreSQL. What a lost host can cost is in docs/metering.md.

A process writes to segments of its own and keeps each locked (flock) while it may write to it: a segment that can be
locked by somebody else is complete. Line: the fields of `SpoolLine`, separated by tabs, ended by a newline.
"""

import errno
import fcntl
import os
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from prometheus_client import Counter

from superagent.foundation.identifiers import uuid7

VERSION = "1"
SUFFIX = ".spool"
SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_SECONDS = 3600
NONE = "-"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NOT_COUNTED, COUNTED = "0", "1"

# What a line may hold at most: what its column takes, and what sums of many lines can bear.
MAX_LENGTHS = {"request_id": 64, "method": 10, "endpoint": 200, "path": 500, "seed": 40}
MAX_NUMBERS = {
    "status": 999,
    "duration_us": 2**42,  # 50 days
    "request_bytes": 2**42,
    "response_bytes": 2**42,
    "started_us": 2**53,  # the year 2255
}

refused_lines = Counter(
    "superagent_spool_refused",
    "Requests that the spool's disk did not take; they went to the database at once",
)
lost_requests = Counter(
    "superagent_requests_unrecorded",
    "Answered requests that neither the spool nor the database took: not billed",
)


@dataclass(frozen=True, slots=True)
class SpoolLine:
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
    def parse(cls, text: bytes) -> "SpoolLine":
        """Raises ValueError for a line that is torn, foreign, or more than its columns take."""
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
            *numbers,
            counted,
            started,
            seed,
        ) = fields
        status, duration, received, sent = map(int, numbers)
        line = cls(
            UUID(row), request_id, UUID(organization), _optional(user), _optional(key), _optional(period), method,
            endpoint, path, status, duration, received, sent, counted, int(started), "" if seed == NONE else seed,
        )  # fmt: skip
        line._check()
        return line

    @property
    def started_at(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.started_us)

    @property
    def is_counted(self) -> bool:
        return self.counted != NOT_COUNTED

    def _check(self) -> None:
        if self.counted not in (NOT_COUNTED, COUNTED):
            raise ValueError("unknown count mark")
        for name, most in MAX_LENGTHS.items():
            text = getattr(self, name)
            if len(text) > most or "\0" in text:
                raise ValueError(f"{name} is not a text of at most {most} characters")
        for name, limit in MAX_NUMBERS.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} is not a number from 0 to {limit}")


def _optional(text: str) -> UUID | None:
    return None if text == NONE else UUID(text)


def spool_directory() -> Path:
    return Path(settings.SPOOL_DIR)


class Writer:
    """Appends lines to this process's present segment; used by many threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._descriptor = -1
        self._pid = 0
        self._written = 0
        self._opened_at = 0.0
        self.segment: Path | None = None

    @property
    def has_segment(self) -> bool:
        """True if the last segment still exists: it is not shipped completely."""
        return self.segment is not None and self.segment.exists()

    def append(self, line: bytes) -> None:
        """Hand `line` (with its newline) to the kernel, whole. Raises OSError when the disk refuses.

        One thread at a time, so that what is written after a line that the disk took in part is not glued to it.
        """
        with self._lock:
            if self._descriptor < 0 or self._pid != os.getpid() or self._is_full():
                self._rotate()
            written = os.write(self._descriptor, line)
            if written != len(line):
                self._take_back()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._written += written

    def close(self) -> None:
        with self._lock:
            self._close()

    def forget(self) -> None:
        """In a forked child: close the parent's descriptor, whose lock it would hold beyond the parent's death."""
        self._lock = threading.Lock()
        self._close()

    def _take_back(self) -> None:
        """Remove the part of a line that the disk took; if it cannot, the next line begins a new segment."""
        try:
            os.ftruncate(self._descriptor, self._written)
        except OSError:
            self._close()

    def _is_full(self) -> bool:
        return self._written >= SEGMENT_BYTES or time.monotonic() - self._opened_at >= SEGMENT_SECONDS

    def _rotate(self) -> None:
        self._close()
        self._open()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._pid = -1, 0

    def _open(self) -> None:
        """A new file is renamed after it is locked, so that it never looks abandoned."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid7().hex}"
        fresh = self._directory / f"{name}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.segment = self._directory / f"{name}{SUFFIX}"
            fresh.rename(self.segment)
        except OSError:
            os.close(descriptor)
            fresh.unlink(missing_ok=True)
            raise
        self._descriptor, self._written, self._opened_at = descriptor, 0, time.monotonic()
        self._pid = os.getpid()


_writers: dict[Path, Writer] = {}


def writer() -> Writer:
    """Returns this process's writer."""
    found = _writers.get(settings.SPOOL_DIR)
    if found is None:
        found = _writers.setdefault(settings.SPOOL_DIR, Writer(spool_directory()))
    return found


def _after_fork() -> None:
    for each in _writers.values():
        each.forget()


os.register_at_fork(after_in_child=_after_fork)
