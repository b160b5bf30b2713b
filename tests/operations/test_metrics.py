"""/metrics: requests of all processes, and the length of every queue."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from metering.request_path import spool
from superagent.foundation import outbox, tenancy
from superagent.operations import backlogs, metric_files, metrics
from tests.fixtures.metrics import gauge


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Other tests answer requests of organizations that were never committed: their lines wait for ever."""
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


def test_metrics_measure_requests_and_queues(client: Client, db: None) -> None:
    with tenancy.system("test"):
        outbox.enqueue(topic="test.nothing", payload={})
    client.get(reverse("robots"))
    text = client.get("/metrics").content.decode()
    assert gauge(text, "superagent_queue_length", "outbox") == 1
    assert gauge(text, "superagent_queue_age_seconds", "outbox") >= 0
    assert re.search(r'superagent_request_seconds_count{method="GET",status="200",view="robots"} ', text)
    assert {queue.name for queue in backlogs.QUEUES} == set(
        re.findall(r'^superagent_queue_length{queue="(\w+)"}', text, re.MULTILINE)
    )


def test_counts_do_not_fall_when_processes_are_forgotten(
    client: Client, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations D8: Prometheus took the fall for a restart, and what was left for new: alarms of nothing."""
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(tmp_path))
    name = "superagent_requests_unrecorded"
    key = mmap_key(name, f"{name}_total", [], [], "Requests that nobody bills")
    ended = [subprocess.Popen(["true"]) for _ in range(2)]
    for process in ended:
        process.wait()
    long_ago = time.time() - metric_files.STALE_SECONDS - 60
    for pid, count in ((ended[0].pid, 3), (ended[1].pid, 4), (os.getpid(), 5)):
        file = tmp_path / f"counter_{pid}.db"
        values = MmapedDict(str(file))
        values.write_value(key, count, 0)
        values.close()
        os.utime(file, (long_ago, long_ago))
    for _ in range(3):
        assert f"{name}_total 12.0" in client.get("/metrics").content.decode()
    assert {file.name for file in tmp_path.glob("*.db")} == {f"counter_{os.getpid()}.db"}


def test_metrics_are_for_this_machine_or_for_bearers(client: Client, db: None, settings) -> None:
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 404
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404
    settings.METRICS_TOKEN = "right"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    allowed = client.get("/metrics", headers={"Authorization": "Bearer right"}, REMOTE_ADDR="203.0.113.9")
    assert allowed.status_code == 200
