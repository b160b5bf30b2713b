"""Nobody waits for a broker that hangs: what is to be done is a row, and a sweep finds it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from celery import current_app

from superagent.foundation import nudges, redis_client
from superagent.foundation.outbox import DELIVER
from superagent.local.embedded.host import free_port
from superagent.local.embedded.redis import server

THREADS = 8


@pytest.fixture
def broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[subprocess.Popen[bytes], redis.Redis]]:
    """A Redis of the test's own, which it may stop; and breakers of its own."""
    port = free_port()
    command = [
        str(server()),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        client = redis.Redis(host="127.0.0.1", port=port)
        for _ in range(600):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"redis://127.0.0.1:{port}/0")
        monkeypatch.setattr(nudges, "breaker", never_closing())
        monkeypatch.setattr(
            redis_client, "breaker", redis_client.CircuitBreaker(failures=3, pause_seconds=3600)
        )
        nudges._producers.cache_clear()
        yield process, client
        nudges._producers.cache_clear()
        process.send_signal(signal.SIGCONT)
        process.kill()


def never_closing() -> nudges.BrokerBreaker:
    """Once open, it stays so for longer than any test takes."""
    made = nudges.BrokerBreaker()
    made.pause_seconds = 3600
    return made


def test_a_worker_of_the_named_queue_is_told(broker: tuple[subprocess.Popen[bytes], redis.Redis]) -> None:
    _process, client = broker
    nudges.send(DELIVER, "a")
    nudges.send(DELIVER, "b", queue="payments")
    assert (client.llen("default"), client.llen("payments")) == (1, 1)


def test_a_broker_that_hangs_holds_nobody_who_nudges(
    broker: tuple[subprocess.Popen[bytes], redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery's own connection, open already, waited without end: for each request that wrote a mail, all threads."""
    process, client = broker
    nudges.send(DELIVER, "warm")
    asked: list[str] = []
    publish = current_app.send_task

    def counted(*args: object, **options: object) -> object:
        asked.append("asked")
        return publish(*args, **options)

    monkeypatch.setattr(nudges.current_app, "send_task", counted)
    process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(nudges.send, DELIVER, str(number)) for number in range(200)]
        for each in waiting:
            each.result(timeout=60)
    assert 1 <= len(asked) <= THREADS  # those that were on their way when the first time-out was noticed
    process.send_signal(signal.SIGCONT)
    monkeypatch.setattr(nudges, "breaker", never_closing())  # the pause is over
    redis_client.breaker.answered()
    before = client.llen("default")
    nudges.send(DELIVER, "again")
    assert client.llen("default") == before + 1


def test_a_broker_that_refuses_is_left_alone_for_a_moment(
    broker: tuple[subprocess.Popen[bytes], redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _client = broker
    process.kill()
    process.wait()
    tried: list[int] = []
    acquire = nudges._producers(os.getpid()).acquire
    monkeypatch.setattr(
        nudges._producers(os.getpid()), "acquire", lambda **how: tried.append(1) or acquire(**how)
    )
    for _ in range(5):
        nudges.send(DELIVER, "a")
    assert tried == [1]


def test_the_worker_waits_for_messages_without_these_limits() -> None:
    options = current_app.connection_for_read().transport_options
    assert "socket_timeout" not in options
