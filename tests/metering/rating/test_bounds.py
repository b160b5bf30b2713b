"""Allowances, rates and quantities that multiply to more than a number can bear: refused at the door, by name."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Organization
from billing.models import PlanAllowance
from metering.models import FormerTerms, Quota
from metering.quotas import allowances, periods
from metering.rating import rating
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, quota_of, terms

TOKENS = "ai_tokens"
MOST = 2**53 - 1


@pytest.mark.django_db(transaction=True)
def test_use_whose_price_nobody_could_write_down_is_refused_at_the_door(
    organization: Organization, api: Api
) -> None:
    """A quantity times its rate beyond bigint was an error of the database when the period was closed, for ever."""
    give(organization, terms(TOKENS, 0, rate="1000000"))
    most = MOST // 1_000_000
    answer = api.post("usage/events", {"event_id": "too much", "meter": TOKENS, "quantity": most + 1})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == ("total_too_large", "/quantity")
    assert f"at most {most:,} tokens" in error["detail"]
    assert (
        api.post("usage/events", {"event_id": "fits", "meter": TOKENS, "quantity": most}).status_code == 200
    )
    for path in ("quotas", "usage/stats"):
        assert api.get(path).status_code == 200
    with tenancy.system("test"):
        period = periods.current(organization=organization, now=timezone.now())
        assert period is not None
        assert periods.close(period=period, now=period.end)
        [line] = rating.rate(period)
    assert (line.quantity, line.amount) == (most, most * 1_000_000)


@pytest.mark.django_db(transaction=True)
def test_rating_never_fails_whatever_the_books_hold(organization: Organization, api: Api) -> None:
    """Former terms of a price that no plan may have any more, and a figure that somebody wrote by hand."""
    give(organization, terms(TOKENS, 0, rate="0.5"))
    with tenancy.system("test"):
        quota = Quota.objects.get(meter__slug=TOKENS)
        Quota.objects.filter(pk=quota.pk).update(used=2**62)
        FormerTerms.objects.create(
            organization=organization, meter=quota.meter, quota=quota, included=0, used_until=2**61,
            overage_rate=Decimal("99999999.999999999999"), replaced_at=timezone.now(),
        )  # fmt: skip
    assert api.get("quotas").status_code == 200
    with tenancy.system("test"):
        period = periods.current(organization=organization, now=timezone.now())
        assert period is not None
        assert periods.close(period=period, now=period.end)
        assert [line.amount for line in rating.rate(period)] == [MOST, MOST]


@pytest.mark.parametrize(
    ("quantity", "rate", "expected"),
    [
        (3, "0.5", 1),
        (-3, "0.5", -2),
        (10**16, "0.000000000001", 10**4),
        (9_007_199_254_740_991, "0.999999999999", 9_007_199_254_731_983),
        (10**18, "10", MOST),
        (-(10**18), "10", -MOST),
    ],
)
def test_an_amount_is_exact_to_the_last_digit_and_has_an_end(quantity: int, rate: str, expected: int) -> None:
    assert rating.amount(quantity, Decimal(rate)) == expected


def test_the_catalog_refuses_what_cannot_be_rated_by_field() -> None:
    PlanAllowance(included=MOST, overage_rate=allowances.MAX_RATE).clean()
    with pytest.raises(ValidationError) as refused:
        PlanAllowance(included=MOST + 1, overage_rate=allowances.MAX_RATE + 1).clean()
    assert refused.value.message_dict == {
        "included": ["At most 9,007,199,254,740,991, or empty for unlimited."],
        "overage_rate": ["At most 1,000,000 minor units per unit."],
    }


@pytest.mark.django_db
def test_terms_beyond_the_bounds_change_nothing(organization: Organization) -> None:
    give(organization, terms(TOKENS, 10, rate="1"))
    with pytest.raises(allowances.TermsOutOfBounds, match="ai_tokens: At most 1,000,000"):
        give(organization, terms(TOKENS, 10, rate="1000000.1"), now=timezone.now() + timedelta(hours=1))
    assert quota_of(organization, TOKENS).overage_rate == 1
