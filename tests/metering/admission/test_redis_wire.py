"""The round trip to Redis: what it sends, and what happens when the answer does not come."""

import socket
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from metering.admission import redis_wire, scripts
from superagent.foundation.redis_client import TIMEOUT_SECONDS, CircuitBreaker


@pytest.fixture(autouse=True)
def _own_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A breaker that never opens, and connections of each test's own."""
    monkeypatch.setattr(redis_wire, "breaker", CircuitBreaker(failures=1000, pause_seconds=1))
    redis_wire.reconnect()
    yield
    redis_wire.reconnect()


class Hung:
    """A server that answers what a connection begins with, and nothing after that."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.getsockname()[1]}/0"

    def _serve(self) -> None:
        info = b"run_id:abc\r\nmaster_replid:def\r\n"
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            while data := connection.recv(65536):
                self.heard.append(data)
                if b"INFO" in data:
                    connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
                elif b"CLIENT" in data:
                    connection.sendall(b"+OK\r\n" * data.count(b"CLIENT"))


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hung]:
    server = Hung()
    monkeypatch.setattr(settings, "REDIS_URL", server.url)
    redis_wire._pool.cache_clear()
    yield server
    server.server.close()
    redis_wire._pool.cache_clear()


def test_a_command_is_packed_as_redis_reads_it() -> None:
    assert redis_wire.pack("SET", "é", 12) == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$2\r\n12\r\n"


def test_a_server_that_hangs_is_given_up_by_the_time_out(hung: Hung) -> None:
    """The kernel keeps the time-out: nothing of Python's asks before each read and write."""
    begun = time.monotonic()
    with pytest.raises(redis.TimeoutError):
        redis_wire.send(redis_wire.pack("PING"), 1)
    assert TIMEOUT_SECONDS * 0.9 <= time.monotonic() - begun < 30
    assert hung.heard[-1] == redis_wire.pack("PING")
    assert not hasattr(redis_wire._local, "wire") or redis_wire._local.wire is None


def test_a_script_that_redis_has_forgotten_is_loaded_again() -> None:
    key = f"{{{uuid4()}}}:pace:test"
    redis_wire.send(redis_wire.pack("SCRIPT", "FLUSH"), 1)
    assert redis_wire.run(scripts.PACE, [key], 1, 10) == [9, 0]


def test_a_closed_connection_is_opened_again_but_not_for_what_must_not_happen_twice() -> None:
    key = f"{{{uuid4()}}}:pace:test"
    redis_wire.run(scripts.PACE, [key], 1_000_000, 10)
    redis_wire._local.wire._socket.shutdown(socket.SHUT_RDWR)
    assert redis_wire.run(scripts.PACE, [key], 1_000_000, 10)[0] == 8
    redis_wire._local.wire._socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(redis.ConnectionError):
        redis_wire.run_once(scripts.PACE, [key], 1_000_000, 10)


def test_the_server_is_named_in_a_message_by_its_run_and_history() -> None:
    [named] = redis_wire.send(redis_wire.pack("ECHO", redis_wire.RUN), 1)
    assert named != redis_wire.RUN
    assert len(named) == len(redis_wire.RUN)
    redis_wire.reconnect()
    assert redis_wire.send(redis_wire.pack("ECHO", redis_wire.RUN), 1) == [named]
