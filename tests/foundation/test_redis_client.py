"""A Redis that hangs costs a few time-outs, not one for each request."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from metering.admission import redis_wire
from superagent.foundation import redis_client
from superagent.foundation.caches import ForgivingRedisCache
from superagent.foundation.redis_client import CircuitBreaker, NotAsked


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never answers, as a process that was stopped does."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(128)
        yield server.getsockname()[1]


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> CircuitBreaker:
    """One that stays open for longer than any test takes, in place of the process's own."""
    made = CircuitBreaker(failures=2, pause_seconds=3600)
    for module in (
        "superagent.foundation.redis_client",
        "metering.admission.redis_wire",
        "superagent.foundation.caches",
    ):
        monkeypatch.setattr(f"{module}.breaker", made)
    return made


def hanging(port: int) -> redis.Redis:
    return redis_client._Redis(host="127.0.0.1", port=port, socket_timeout=0.05, socket_connect_timeout=0.05)


def test_a_redis_that_hangs_is_not_asked_again(silent_port: int, breaker: CircuitBreaker) -> None:
    client = hanging(silent_port)
    for _ in range(2):
        with pytest.raises(redis.TimeoutError):
            client.get("a")
    started = time.monotonic()
    for _ in range(200):
        with pytest.raises(NotAsked):
            client.get("a")
    pipe = client.pipeline(transaction=False)
    with pytest.raises(NotAsked):
        pipe.get("a").execute()
    assert time.monotonic() - started < 200 * 0.05, "each call waited for its time-out"


def test_many_threads_pay_for_a_few_time_outs_together(silent_port: int, breaker: CircuitBreaker) -> None:
    client = hanging(silent_port)

    def ask(_: int) -> type[BaseException]:
        with pytest.raises(redis.RedisError) as caught:
            client.get("a")
        return caught.type

    with ThreadPoolExecutor(8) as pool:
        kinds = list(pool.map(ask, range(80)))
    assert kinds.count(redis.TimeoutError) <= 2 + 8
    assert kinds.count(NotAsked) == 80 - kinds.count(redis.TimeoutError)


def test_it_is_one_breaker_for_limits_metering_and_the_cache(
    silent_port: int, breaker: CircuitBreaker
) -> None:
    client = hanging(silent_port)
    for _ in range(2):
        with pytest.raises(redis.TimeoutError):
            client.get("a")
    with pytest.raises(NotAsked):
        redis_wire.send(redis_wire.pack("PING"), 1)
    cache = ForgivingRedisCache(f"redis://127.0.0.1:{silent_port}/0", {})
    assert cache.get("a", default="empty") == "empty"


def test_metering_opens_it_too(
    silent_port: int, breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = redis.ConnectionPool(
        host="127.0.0.1", port=silent_port, socket_timeout=0.05, socket_connect_timeout=0.05
    )
    monkeypatch.setattr(redis_wire, "_pool", lambda: pool)
    monkeypatch.setattr(redis_wire._local, "wire", None, raising=False)
    for _ in range(2):
        with pytest.raises(redis.TimeoutError):
            redis_wire.send(redis_wire.pack("PING"), 1)
    with pytest.raises(NotAsked):
        redis_wire.send(redis_wire.pack("PING"), 1)


def test_after_the_pause_one_caller_tries_and_an_answer_closes_it() -> None:
    breaker = CircuitBreaker(failures=1, pause_seconds=0.2)
    with pytest.raises(redis.TimeoutError), breaker.guard():
        raise redis.TimeoutError
    with pytest.raises(NotAsked):
        breaker.check()
    time.sleep(0.25)
    breaker.check()  # the one that tries
    with pytest.raises(NotAsked):
        breaker.check()  # meanwhile the others are not let through
    breaker.answered()
    breaker.check()
    assert not breaker.is_open


def test_time_outs_with_answers_between_them_do_not_open_it() -> None:
    breaker = CircuitBreaker(failures=2, pause_seconds=3600)
    for _ in range(5):
        breaker.timed_out()
        breaker.answered()
    breaker.check()


def test_an_error_that_redis_answers_is_an_answer(breaker: CircuitBreaker) -> None:
    breaker.timed_out()
    with pytest.raises(redis.ResponseError):
        redis_client.connection().execute_command("NOSUCHCOMMAND")
    breaker.timed_out()
    breaker.check()


def test_connections_that_were_lost_do_not_count_against_new_ones() -> None:
    """Redis closes idle ones, and threads end: after a hundred of them a process metered without Redis for ever."""
    for _ in range(150):
        redis_wire.reconnect()
        assert redis_wire.send(redis_wire.pack("PING"), 1) == [b"PONG"]
