"""The pricing table: what each plan costs, and what its button does for an organization."""

from decimal import Decimal

from billing.catalog import pricing
from billing.catalog.pricing import Action
from billing.models import Price
from tests.billing.conftest import Customer


def actions(customer: Customer, interval: str) -> list[tuple[str, Action, bool]]:
    found = pricing.choices(organization=customer.organization, interval=interval)
    return [(each.offer.slug, each.action, each.is_upgrade) for each in found]


def test_on_the_free_plan_others_are_bought(customer: Customer) -> None:
    assert actions(customer, "month") == [
        ("free", Action.CURRENT, False),
        ("pro", Action.BUY, True),
        ("enterprise", Action.BUY, True),
    ]


def test_on_a_paid_plan_others_are_changes_and_free_is_a_cancellation(customer: Customer) -> None:
    customer.buy("pro", "month")
    assert actions(customer, "month") == [
        ("free", Action.CANCEL, False),
        ("pro", Action.CURRENT, False),
        ("enterprise", Action.CHANGE, True),
    ]
    yearly = pricing.choices(organization=customer.organization, interval="year")[1]
    assert (yearly.action, yearly.is_other_interval, yearly.amount) == (Action.CHANGE, True, 29_000)


def test_an_offer_says_what_is_included_and_what_more_costs(customer: Customer) -> None:
    pro = pricing.plan_offers()[1]
    assert (pro.monthly, pro.yearly, pro.featured) == (2_900, 29_000, True)
    tokens, requests, _storage = pro.allowances
    assert (tokens.included, tokens.overage_text) == (1_000_000, "then $2.00 per million")
    assert (requests.meter_name, requests.unit, requests.overage_text) == (
        "API requests",
        "",
        "then $0.50 per 1,000",
    )
    assert "50,000 API requests a month, then $0.50 per 1,000" not in pro.highlights
    assert pro.highlights


def test_prices_in_words(customer: Customer) -> None:
    yearly = Price.objects.get(plan__product__slug="pro", interval="year")
    assert pricing.per_period(yearly) == "$290.00 a year"
    assert pricing.overage_text(Decimal("0.05"), "usd") == "then $0.50 per 1,000"
