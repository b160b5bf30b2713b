"""The rate limit of a caller, and what the headers say of it."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Organization
from tests.metering.conftest import Api, give, new_key, terms
from tests.metering.test_way_out import REQUESTS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("calls", [1, 3], ids=["first", "known key"])
def test_calls_of_the_way_out_have_a_rate_of_their_own(
    organization: Organization, settings: Any, calls: int
) -> None:
    give(organization, terms(REQUESTS, 0, hard=True))
    settings.API_RATE_PER_SECOND, settings.API_RATE_BURST = 1, calls
    api = new_key(organization)
    answers = [api.get("quotas") for _ in range(calls + 1)]
    assert [answer.status_code for answer in answers] == [200] * calls + [429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "1"
    assert answers[0].headers["RateLimit-Policy"] == f'"burst";q={calls};w={calls}'
    assert [int(answer.headers["RateLimit"].split("r=")[1].split(";")[0]) for answer in answers] == [
        *range(calls - 1, -1, -1),
        0,
    ]


@pytest.mark.django_db(transaction=True)
def test_never_more_calls_remain_than_the_policy_grants(organization: Organization, api: Api) -> None:
    """Licensing and API A7: the policy said 500 and 999 remained."""
    give(organization, terms(REQUESTS, 10))
    answer = api.get("usage/meters")
    assert answer.headers["RateLimit-Policy"].endswith(', "burst";q=1000;w=2')
    assert answer.headers["RateLimit"].endswith(', "burst";r=999;t=1')
