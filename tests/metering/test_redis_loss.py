"""A hard quota when Redis is flushed, killed and restarted under two web processes: a real Redis, really killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from accounts.models import Organization
from metering import shipping
from superagent.embedded import redis as embedded_redis
from tests.fixtures.web import Web
from tests.metering.conftest import Api, give, quota_of, terms

pytestmark = [pytest.mark.verify, pytest.mark.timeout(300)]

LIMIT = 250


class Redis:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                str(embedded_redis.server()), "--port", str(self.port), "--bind", "127.0.0.1",
                "--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "everysec",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                redis.Redis(port=self.port).ping()
                return
            except redis.RedisError:
                time.sleep(0.05)
        raise AssertionError("Redis does not start")

    def flush(self) -> None:
        redis.Redis(port=self.port).flushall()

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    found = Redis(tmp_path)
    found.start()
    yield found
    found.kill()


@pytest.mark.django_db(transaction=True)
def test_no_unit_is_given_out_twice(organization: Organization, api: Api, server: Redis) -> None:
    """Metering A3. The second process has no call while Redis is away, so it notices nothing but the reconnection."""
    give(organization, terms("api_requests", LIMIT, hard=True))
    first, second = Web(REDIS_URL=server.url), Web(REDIS_URL=server.url)
    for web in (first, second):
        web.start()
    answers: list[int] = []

    def call(web: Web, times: int) -> None:
        answers.extend(web.get("/api/v1/usage/meters", key=api.key) for _ in range(times))

    try:
        call(first, 40)
        call(second, 30)
        server.flush()
        call(second, 20)
        call(first, 10)
        server.kill()
        call(first, 60)
        server.start()
        call(second, LIMIT)
        call(first, 20)
        time.sleep(2.5)  # its pause after the loss
        call(first, 20)
    finally:
        for web in (first, second):
            web.kill()
    assert set(answers) == {200, 429}
    assert answers.count(200) == LIMIT
    shipping.ship_all()
    assert quota_of(organization, "api_requests").used == LIMIT
