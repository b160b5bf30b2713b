"""What a charge says: its headers, its refusal, and the time at which its request counts."""

from __future__ import annotations

from uuid import uuid4

import pytest

from metering.admission.charges import Charge, QuotaExceeded, parse_facts
from metering.admission.rates import RateLimited

START, END = 1_700_000_000_000_000, 1_702_592_000_000_000
NOW_SECONDS = END / 1_000_000 - 60


def charge(verdict: str, *, used: int = 40, included: str = "100", is_hard: int = 1) -> Charge:
    facts = parse_facts(f"line.turn|{uuid4().hex}|{START}|{END}|{included}|{is_hard}".encode())
    return Charge(uuid4(), verdict, used, facts, burst_left=7, wait_us=2_500_000)


@pytest.mark.parametrize(("verdict", "left"), [("ok", 60), ("quota", 0)])
def test_headers_say_what_is_left_until_when(verdict: str, left: int) -> None:
    headers = dict(charge(verdict).headers(NOW_SECONDS))
    assert headers["RateLimit"].startswith(f'"period";r={left};t=60, ')
    assert headers["RateLimit-Policy"].startswith('"period";q=100;w=2592000, ')


def test_without_a_limit_only_the_rate_is_told() -> None:
    headers = dict(charge("ok", included="").headers(NOW_SECONDS))
    assert "period" not in headers["RateLimit"] + headers["RateLimit-Policy"]


def test_each_refusal_is_raised_and_a_taken_unit_is_not() -> None:
    charge("ok").check(NOW_SECONDS)
    with pytest.raises(QuotaExceeded):
        charge("quota").check(NOW_SECONDS)
    with pytest.raises(RateLimited):
        charge("rate").check(NOW_SECONDS)


@pytest.mark.parametrize(
    ("moment", "counts_at"),
    [
        (START + 5, START + 5),
        (START - 1_000, START),
        (END + 1_000, END - 1),
        (START - 3_600_000_000, START - 3_600_000_000),
    ],
)
def test_a_request_counts_within_its_period_unless_clocks_are_far_apart(moment: int, counts_at: int) -> None:
    assert charge("ok").facts.within(moment) == counts_at
