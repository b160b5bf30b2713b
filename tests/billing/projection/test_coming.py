"""What is said of the next invoices is everything that will be charged, and "nothing" is said only where that is so."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from accounts import organizations
from accounts.models import Organization, User
from billing.catalog import plans, seed
from billing.models import BillingAccount, Invoice, OverageCharge, Price, Subscription
from billing.selling import overview
from metering.models import Meter, Quota
from metering.quotas import allowances, months, periods, quota_status
from superagent.foundation import tenancy
from tests.accounts.conftest import page_of, person

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW = START + timedelta(days=10)  # a third of the month of 30 days
END = months.add(START, 1)


@pytest.fixture
def owner(db: None) -> User:
    with tenancy.system("test"):
        seed.write()
    return person("olga@acme.example")


@pytest.fixture
def acme(owner: User) -> Organization:
    """Its clock stands at NOW."""
    with tenancy.system("test"):
        organization = organizations.create(name="Acme", owner=owner, now=START - timedelta(days=2))
        Organization.objects.filter(pk=organization.pk).update(test_clock_time=NOW)
        organization.refresh_from_db()
    return organization


def subscribe(
    organization: Organization, slug: str, *, interval: str = "month", start: datetime = START, **terms: Any
) -> Subscription:
    price = Price.objects.get(product__slug=slug, interval=interval, is_active=True)
    subscription = Subscription.objects.create(
        organization=organization, stripe_id=f"sub_{slug}", stripe_item_id=f"si_{slug}", product=price.product,
        plan=price.plan, price=price, interval=interval, started_at=start, current_period_start=start,
        current_period_end=months.add(start, 12 if interval == "year" else 1), **({"status": "active"} | terms),
    )  # fmt: skip
    if price.plan is not None:
        BillingAccount.objects.update_or_create(
            organization=organization, defaults={"plan": price.plan, "stripe_customer_id": "cus_1"}
        )
        periods.begin(organization=organization, start=start, now=start)
        allowances.apply(organization=organization, terms=plans.terms(price.plan), since=start, now=start)
    return subscription


def use(organization: Organization, quantity: int, meter: str = "ai_tokens", now: datetime = NOW) -> None:
    period = periods.ensure(organization=organization, now=now)
    Quota.objects.filter(period=period, meter__slug=meter).update(used=quantity)


Told = list[tuple[datetime, int, list[tuple[str, int]]]]


def told(organization: Organization, now: datetime = NOW) -> Told:
    page = overview.dashboard(organization, quota_status.overview(organization, now), now)
    return [(each.at, each.total, [(line.label, line.amount) for line in each.lines]) for each in page.coming]


@pytest.fixture
def system() -> Any:
    with tenancy.system("test"):
        yield


PRO = ("Pro, Monthly", 2900)


def test_plan_and_licenses_are_told_in_the_order_of_their_dates(acme: Organization, system: None) -> None:
    subscribe(acme, "pro")
    later, sooner = START + timedelta(days=3), START - timedelta(days=5)
    subscribe(acme, "nextpanel-business", start=later)
    subscribe(acme, "nextpanel-professional", start=sooner)
    business, professional = (
        Price.objects.get(product__slug=slug, interval="month", is_active=True).unit_amount
        for slug in ("nextpanel-business", "nextpanel-professional")
    )
    assert told(acme) == [
        (months.add(sooner, 1), professional, [("NextPanel Professional, Monthly", professional)]),
        (END, 2900, [PRO]),
        (months.add(later, 1), business, [("NextPanel Business, Monthly", business)]),
    ]


def test_overage_so_far_and_at_this_pace_is_told_with_the_renewal(acme: Organization, system: None) -> None:
    """1,500,000 in a third of the month is 4,500,000 in all of it: 500,000 beyond so far, and 3,000,000 to come."""
    subscribe(acme, "pro")
    use(acme, 1_500_000)
    lines = [
        PRO,
        ("AI tokens: 500,000 tokens over the included amount so far", 100),
        ("AI tokens: 3,000,000 tokens more at this pace", 600),
    ]
    assert told(acme) == [(END, 3600, lines)]


def test_a_pace_that_will_pass_the_allowance_is_told_before_it_does(acme: Organization, system: None) -> None:
    subscribe(acme, "pro")
    use(acme, 500_000)
    assert told(acme) == [(END, 3000, [PRO, ("AI tokens: 500,000 tokens more at this pace", 100)])]


def test_no_pace_is_told_from_a_few_hours_nor_of_what_stops(acme: Organization, system: None) -> None:
    subscribe(acme, "pro")
    early = START + timedelta(hours=5)
    use(acme, 900_000, now=early)
    assert told(acme, early) == [(END, 2900, [PRO])]
    Quota.objects.filter(organization=acme).update(is_hard=True)
    assert told(acme) == [(END, 2900, [PRO])]


def test_after_canceling_what_still_renews_and_open_overage_are_told(
    acme: Organization, system: None
) -> None:
    subscribe(acme, "pro", cancel_at_period_end=True)
    license_ = subscribe(acme, "nextpanel-professional", start=START + timedelta(days=1))
    use(acme, 1_500_000)
    price = license_.price.unit_amount
    at_end = [
        ("AI tokens: 500,000 tokens over the included amount so far", 100),
        ("AI tokens: 3,000,000 tokens more at this pace", 600),
    ]
    assert told(acme) == [
        (END, 700, at_end),
        (license_.current_period_end, price, [("NextPanel Professional, Monthly", price)]),
    ]


def test_use_of_a_yearly_plan_is_told_with_its_month(acme: Organization, system: None) -> None:
    yearly = subscribe(acme, "pro", interval="year")
    use(acme, 1_000_000 + 500_000)
    assert [(at, total) for at, total, _lines in told(acme)] == [
        (END, 700),
        (yearly.current_period_end, 29_000),
    ]


def test_the_price_of_a_planned_change_is_told(acme: Organization, system: None) -> None:
    pro = Price.objects.get(product__slug="pro", interval="month", is_active=True)
    subscribe(acme, "enterprise", pending_price=pro, pending_at=END)
    assert told(acme) == [(END, 2900, [PRO])]


def test_what_is_not_charged_is_not_told(acme: Organization, system: None) -> None:
    subscribe(acme, "pro", cancel_at_period_end=True)
    subscribe(acme, "nextpanel-professional", is_collection_paused=True)
    subscribe(acme, "nextpanel-business", cancel_at=END, cancel_at_period_end=True)
    assert told(acme) == []


def test_an_end_that_lies_after_the_renewal_does_not_hide_it(acme: Organization, system: None) -> None:
    subscribe(acme, "pro", cancel_at=END + timedelta(days=40))
    assert told(acme) == [(END, 2900, [PRO])]


def test_credit_pays_the_first_invoices_first(acme: Organization, system: None) -> None:
    subscribe(acme, "pro")
    license_ = subscribe(acme, "nextpanel-professional", start=START + timedelta(days=1))
    price = license_.price.unit_amount
    BillingAccount.objects.filter(organization=acme).update(balance=-3000)
    assert told(acme) == [
        (END, 0, [PRO, ("Credit", -2900)]),
        (
            license_.current_period_end,
            price - 100,
            [("NextPanel Professional, Monthly", price), ("Credit", -100)],
        ),
    ]


def test_credit_in_another_currency_pays_nothing(acme: Organization, system: None) -> None:
    subscribe(acme, "pro")
    BillingAccount.objects.filter(organization=acme).update(balance=-3000, currency="eur")
    assert told(acme) == [(END, 2900, [PRO])]


def test_a_draft_and_the_overage_that_goes_onto_it_are_one_invoice_that_is_being_made(
    acme: Organization, system: None
) -> None:
    plan = subscribe(acme, "pro")
    closed = periods.ensure(organization=acme, now=NOW)
    after = END + timedelta(minutes=5)
    periods.close_before(organization=acme, moment=END, now=after)
    Subscription.objects.update(current_period_start=END, current_period_end=months.add(END, 1))
    draft = Invoice.objects.create(
        organization=acme, stripe_id="in_1", status="draft", subscription=plan, billing_reason="subscription_cycle",
        currency="usd", subtotal=2900, total=2900, amount_due=2900, amount_paid=0, amount_remaining=2900,
        period_start=START, period_end=END, created_at=END,
    )  # fmt: skip
    draft.lines.create(
        organization=acme, stripe_id="il_1", position=0, description="1 × Pro", amount=2900, currency="usd",
        period_start=END, period_end=months.add(END, 1),
    )  # fmt: skip
    OverageCharge.objects.create(
        organization=acme, period=closed, meter=Meter.objects.get(slug="ai_tokens"), subscription=plan,
        currency="usd", quantity=500_000, amount=100, description="AI tokens", created_at=after,
        target_invoice_id="in_1",
    )  # fmt: skip
    assert told(acme, after) == [
        (END, 3000, [("1 × Pro", 2900), ("AI tokens", 100)]),
        (months.add(END, 1), 2900, [PRO]),
    ]


def text(user: User, page: str) -> str:
    response = page_of(user).get(reverse(page))
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_the_pages_say_after_a_cancellation_what_is_still_charged(owner: User, acme: Organization) -> None:
    """Finding A3 of the review of the portal."""
    with tenancy.system("test"):
        subscribe(acme, "pro")
        license_ = subscribe(acme, "nextpanel-professional", start=START + timedelta(days=1))
    amount = f"${license_.price.unit_amount / 100:,.2f}"
    day = "Dec 22, 2026"
    page = text(owner, "plan-cancel")
    assert "NextPanel Professional stays" in page and f"{amount} on {day}" in page
    with tenancy.system("test"):
        Subscription.objects.filter(plan__isnull=False).update(cancel_at_period_end=True)
    for name in ("billing", "dashboard"):
        page = text(owner, name)
        assert "There will be no further invoice" not in page and "none is due" not in page
        assert "NextPanel Professional, Monthly" in page and amount in page and day in page


def test_leaving_a_yearly_plan_is_told_with_its_months(owner: User, acme: Organization) -> None:
    """Its overage is on the invoice of each month, and the allowance comes again every month until the year ends."""
    with tenancy.system("test"):
        subscribe(acme, "pro", interval="year")
        use(acme, 3_000_000)
    page = text(owner, "plan-cancel")
    assert "Your plan ends Nov 21, 2027" in page
    assert "$4.00 so far, billed on Dec 21, 2026" in page
    assert "50,000 still included until Dec 21, 2026" in page
    assert "what you use beyond it is billed every month" in page
    assert "at the end" not in page


def test_nothing_to_pay_is_said_where_nothing_is_coming(owner: User, acme: Organization) -> None:
    with tenancy.system("test"):
        subscribe(acme, "pro", cancel_at_period_end=True)
    assert "Nothing is to be paid so far. What you use beyond the allowance until Dec 21, 2026" in text(
        owner, "billing"
    )
    assert "nothing to pay so far" in text(owner, "dashboard")


def test_more_licenses_cost_no_more_queries(
    owner: User, acme: Organization, django_assert_max_num_queries: Any
) -> None:
    with tenancy.system("test"):
        subscribe(acme, "pro")
        for slug in ("nextpanel-starter", "nextpanel-professional", "nextpanel-business"):
            if Price.objects.filter(product__slug=slug).exists():
                subscribe(acme, slug)
        with django_assert_max_num_queries(10):
            told(acme)
