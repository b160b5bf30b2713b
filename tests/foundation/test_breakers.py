"""Circuit breakers: open after some time-outs in a row, then one call is let through for each pause."""

from superagent.foundation.breakers import CircuitBreaker


def test_time_outs_in_a_row_open_it_and_a_response_between_them_does_not() -> None:
    breaker = CircuitBreaker(failures=2, pause_seconds=3600)
    breaker.timed_out()
    breaker.answered()
    breaker.timed_out()
    assert breaker.lets_through() and not breaker.is_open
    breaker.timed_out()
    assert breaker.is_open and not breaker.lets_through()


def test_after_the_pause_one_call_is_let_through_and_its_response_closes_it() -> None:
    breaker = CircuitBreaker(failures=1, pause_seconds=0)
    breaker.timed_out()
    breaker.pause_seconds = 3600
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    breaker.answered()
    assert [breaker.lets_through() for _ in range(3)] == [True, True, True]
