"""Limits by the generic cell rate algorithm, on a real Redis."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from superagent.foundation import rate_limits, redis_client
from superagent.foundation.rate_limits import Limit, Use

THREE = Limit("test", 3, window_seconds=3600)


def taken(use: Use) -> bool:
    return rate_limits.take(use)[0].is_allowed


def test_as_many_fit_as_the_limit_says_and_each_subject_has_its_own() -> None:
    assert [taken(Use(THREE, "a")) for _ in range(5)] == [True, True, True, False, False]
    assert taken(Use(THREE, "b"))


def test_the_balance_says_what_is_left_and_when_to_come_again() -> None:
    balances = [rate_limits.take(Use(THREE, "a"))[0] for _ in range(4)]
    assert [balance.remaining for balance in balances] == [2, 1, 0, 0]
    refused = balances[-1]
    assert (refused.is_allowed, balances[-2].is_allowed) == (False, True)
    assert 1100 < refused.wait_seconds <= 1200  # a third of the hour for each
    assert 3500 < refused.reset_seconds <= 3600
    assert refused.headers()["RateLimit-Policy"] == '"test";q=3;w=3600'
    assert refused.headers()["RateLimit"] == f'"test";r=0;t={refused.reset_seconds}'


def test_looking_takes_nothing() -> None:
    look = Use(THREE, "a", units=0)
    assert [taken(look) for _ in range(10)] == [True] * 10
    for _ in range(3):
        rate_limits.take(Use(THREE, "a"))
    assert not taken(look)


def test_what_was_refused_is_not_held_against_the_asker() -> None:
    limit = Limit("test", 2, window_seconds=1)
    while rate_limits.take(Use(limit, "a"))[0].is_allowed:
        pass
    for _ in range(50):
        rate_limits.take(Use(limit, "a"))
    wait = rate_limits.take(Use(limit, "a", units=0))[0]
    assert wait.reset_seconds <= 1


def test_no_moment_lets_twice_the_limit_through() -> None:
    """A fixed window would at its turn."""
    limit = Limit("test", 20, window_seconds=2)
    started = time.monotonic()
    passed = 0
    while time.monotonic() - started < 2.5:
        passed += taken(Use(limit, "a"))
    elapsed = time.monotonic() - started
    assert passed <= 20 + elapsed * 10 + 1


def test_many_at_once_take_no_more_than_there_is() -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: taken(Use(THREE, "a")), range(64)))
    assert results.count(True) == 3


def test_several_limits_cost_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    execute = redis.client.Pipeline.execute
    monkeypatch.setattr(
        redis.client.Pipeline, "execute", lambda self, *a: (sent.append(len(self)), execute(self, *a))[1]
    )
    balances = rate_limits.take(Use(THREE, "a"), Use(THREE, "b"), Use(THREE, "c", units=0))
    assert [balance.remaining for balance in balances] == [2, 2, 3]
    assert sent == [3]


def test_what_is_given_back_may_be_taken_again() -> None:
    use = Use(THREE, "a")
    for _ in range(3):
        rate_limits.take(use)
    rate_limits.give_back(use)
    assert [taken(use), taken(use)] == [True, False]
    rate_limits.give_back(*[use] * 10)  # more than was taken is no credit
    assert [taken(use) for _ in range(4)] == [True, True, True, False]


def test_a_forgotten_subject_begins_anew() -> None:
    for _ in range(3):
        rate_limits.take(Use(THREE, "a"), Use(THREE, "b"))
    rate_limits.forget(Use(THREE, "a"))
    assert [taken(Use(THREE, "a")), taken(Use(THREE, "b"))] == [True, False]


def test_without_redis_everybody_may(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = redis_client._Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(redis_client, "connection", lambda: lost)
    balance = rate_limits.take(Use(Limit("test", 1), "a"))[0]
    assert (balance.is_allowed, balance.wait_seconds) == (True, 0)
    rate_limits.give_back(Use(Limit("test", 1), "a"))
    rate_limits.forget(Use(Limit("test", 1), "a"))
