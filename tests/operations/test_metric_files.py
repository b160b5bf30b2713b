"""Counters of /metrics never fall: what ended processes counted is archived, whatever is killed on the way."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.core import CollectorRegistry

from superagent.operations import metric_files
from superagent.operations.metric_files import Files

COUNT = """
import sys
from prometheus_client import Counter, Histogram
requests = Counter("things", "Things", ["kind"])
seconds = Histogram("seconds", "Seconds", buckets=(1, 2))
for number in range(int(sys.argv[1])):
    requests.labels("odd" if number % 2 else "even").inc()
    seconds.observe(number % 4)
"""
TWO_DAYS = 2 * 24 * 3600


def process_counts(folder: Path, times: int) -> None:
    """A process of its own counts, and ends."""
    subprocess.run(
        [sys.executable, "-c", COUNT, str(times)],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        check=True,
    )


def grow_old(folder: Path) -> None:
    for path in folder.glob("*.db"):
        os.utime(path, (time.time() - TWO_DAYS,) * 2)


def totals(folder: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(Files(folder))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }


def expected(times: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        ("things_total", (("kind", "even"),)): times / 2,
        ("things_total", (("kind", "odd"),)): times / 2,
        ("seconds_bucket", (("le", "1.0"),)): times / 2,
        ("seconds_bucket", (("le", "2.0"),)): times * 3 / 4,
        ("seconds_bucket", (("le", "+Inf"),)): times,
        ("seconds_count", ()): times,
        ("seconds_sum", ()): times * 1.5,
    }


def test_what_ended_processes_counted_is_kept_in_one_archive(tmp_path: Path) -> None:
    """Operations D8: totals fell from 15,096 to 14,435 when a file was seven days old."""
    process_counts(tmp_path, 8)
    process_counts(tmp_path, 40)
    grow_old(tmp_path)
    process_counts(tmp_path, 4)
    for _ in range(2):
        assert totals(tmp_path) == expected(52)
    assert len(list(tmp_path.glob("*.db"))) == 2
    grow_old(tmp_path)
    for _ in range(2):
        assert totals(tmp_path) == expected(52)
    assert list(tmp_path.glob("*.db")) == []
    assert len(list(tmp_path.glob("*.archive"))) == 2


def test_the_file_of_a_living_process_is_left_alone_however_old(tmp_path: Path) -> None:
    process_counts(tmp_path, 8)
    for path in tmp_path.glob("*.db"):
        path.rename(path.with_name(f"{path.name.partition('_')[0]}_{os.getpid()}.db"))
    grow_old(tmp_path)
    before = sorted(tmp_path.glob("*.db"))
    assert totals(tmp_path) == expected(8)
    assert sorted(tmp_path.glob("*.db")) == before


class Killed(Exception):
    pass


def test_a_process_that_is_killed_at_any_step_neither_loses_nor_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step that changes the disk is the last one once, before and after it; then somebody else goes on."""
    begun = tmp_path / "begun"
    begun.mkdir()
    process_counts(begun, 8)
    grow_old(begun)
    totals(begun)  # there is an archive already
    process_counts(begun, 12)
    grow_old(begun)
    rounds = 0
    for fatal, is_done in ((number // 2, bool(number % 2)) for number in itertools.count()):
        folder = tmp_path / f"{fatal}-{is_done}"
        shutil.copytree(begun, folder)
        steps = itertools.count()
        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "unlink", "write_text"):
                patch.setattr(Path, name, deadly(getattr(Path, name), steps, fatal, is_done))
            patch.setattr(
                metric_files.MmapedDict,
                "write_value",
                deadly(metric_files.MmapedDict.write_value, steps, fatal, is_done),
            )
            try:
                metric_files.tidy(folder)
            except Killed:
                rounds += 1
            else:
                assert fatal > 8
                break
        for _ in range(2):
            assert totals(folder) == expected(20)
        assert list(folder.glob("*.db")) == []
    assert rounds > 16


def deadly(function, steps, fatal: int, is_done: bool):
    def run(*arguments, **options):
        is_fatal = next(steps) == fatal
        if is_fatal and not is_done:
            raise Killed
        result = function(*arguments, **options)
        if is_fatal:
            raise Killed
        return result

    return run
