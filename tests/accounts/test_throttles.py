"""Limits close, say for how long, and open without Redis."""

import pytest

from accounts import throttles
from tests.accounts.test_failing_on_purpose import no_redis

__all__ = ["no_redis"]  # fixtures


@pytest.mark.parametrize(
    "seconds, words", [(1, "1 second"), (60, "60 seconds"), (61, "2 minutes"), (28_800, "8 hours")]
)
def test_a_time_to_wait_is_said_in_words(seconds, words):
    assert throttles.in_words(seconds) == words


def test_limits_open(no_redis, settings):
    settings.THROTTLES = {"login": (0, 60)}
    throttles.consume(name="login", ident="x")
    throttles.consume_network(name="login", address="2001:db8::1")
    with throttles.counted(name="login", ident="x"):
        pass


def test_limits_close_and_say_for_how_long(settings):
    settings.THROTTLES = {"login": (1, 36_000)}
    throttles.consume(name="login", ident="x")
    throttles.consume(name="login", ident="y")
    with pytest.raises(throttles.TooManyAttempts) as refused:
        throttles.consume(name="login", ident="x")
    assert refused.value.headers["Retry-After"] in [str(36_000 - passed) for passed in range(60)]
