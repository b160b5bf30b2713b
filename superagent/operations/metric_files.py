"""The files in which web processes count for /metrics, one for each process and type (prometheus_client's multi-process
mode), and their archive: what processes that have ended had counted is kept, so that no counter ever falls.

`counter_123.db` belongs to process 123. When that has ended, its file gets a name that nobody else will write to,
`counter_ended-<random>.db`, and its sums are added to the archive: `counter_<generation>.archive` and
`histogram_<generation>.archive`. `archive.json` tells which generation counts and which files are in it; it is replaced
in one step, so a process that is killed anywhere on the way loses nothing and doubles nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

STALE_SECONDS = 24 * 3600
"""A file that was written lately is left alone: its process may be one that is not seen from here."""
TYPES = ("counter", "histogram")

_OF_A_PROCESS = re.compile(r"(?:counter|histogram)_(\d+)\.db")
_ENDED = re.compile(r"(?:counter|histogram)_ended-[0-9a-f]+\.db")


@dataclass(frozen=True)
class Archive:
    """`merged` are files whose counts are in it, if they are still there."""

    generation: str = ""
    merged: list[str] = field(default_factory=list)

    def files(self, folder: Path) -> list[Path]:
        found = [folder / f"{type_}_{self.generation}.archive" for type_ in TYPES] if self.generation else []
        return [path for path in found if path.exists()]


class Files(Collector):
    """Returns everything that all processes of `folder` have counted. Reading it tidies up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        with _alone(self._folder):
            archive = tidy(self._folder)
            fresh = [path for path in self._folder.glob("*.db") if path.name not in archive.merged]
            return MultiProcessCollector.merge([str(path) for path in [*archive.files(self._folder), *fresh]])


def tidy(folder: Path) -> Archive:
    """Add the files of processes that have ended to the archive, and delete them. One process at a time."""
    archive = _current(folder)
    for path in folder.glob("*.db"):
        if _has_ended(path):
            path.rename(path.with_name(f"{path.name.partition('_')[0]}_ended-{uuid4().hex}.db"))
    ended = sorted(
        path
        for path in folder.glob("*.db")
        if _ENDED.fullmatch(path.name) and path.name not in archive.merged
    )
    if ended:
        archive = _merge(folder, archive, ended)
    _delete_merged(folder, archive)
    return archive


def _merge(folder: Path, archive: Archive, ended: list[Path]) -> Archive:
    following = Archive(uuid4().hex, [path.name for path in ended])
    for type_ in TYPES:
        files = [path for path in [*archive.files(folder), *ended] if path.name.startswith(f"{type_}_")]
        if files:
            _write_sums(folder / f"{type_}_{following.generation}.archive", files)
    fresh = folder / "archive.new"
    fresh.write_text(json.dumps(asdict(following)))
    _bring_to_disk(fresh)
    fresh.replace(folder / "archive.json")
    return following


def _write_sums(target: Path, files: list[Path]) -> None:
    sums: dict[str, float] = defaultdict(float)
    for path in files:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
            sums[key] += value
    written = MmapedDict(str(target))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    _bring_to_disk(target)


def _bring_to_disk(path: Path) -> None:
    """Write the archive to disk before anything that it replaces is deleted."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _delete_merged(folder: Path, archive: Archive) -> None:
    for name in archive.merged:
        (folder / name).unlink(missing_ok=True)
    kept = archive.files(folder)
    for path in folder.glob("*.archive"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _current(folder: Path) -> Archive:
    try:
        return Archive(**json.loads((folder / "archive.json").read_text()))
    except FileNotFoundError:
        return Archive()


def _has_ended(path: Path) -> bool:
    found = _OF_A_PROCESS.fullmatch(path.name)
    if found is None or time.time() - path.stat().st_mtime < STALE_SECONDS:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's
    return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
