"""Whole lives of customers, in a random order of what people do: in the end the books agree with Stripe's."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest

from billing.catalog import plans
from billing.models import Invoice, OverageCharge, Price, Subscription
from billing.overage import charges
from billing.selling import cancellations, subscriptions
from billing.stripe import client
from metering.models import Quota, RatedLine, UsagePeriod
from metering.quotas import months
from metering.usage import ingest, voids
from metering.usage.events import EventIn
from superagent.foundation.identifiers import uuid7
from tests.billing.conftest import Customer

STEPS = 14


class Life:
    """One customer who does things by chance; `said` tells what, for the message of a failure."""

    def __init__(self, customer: Customer, seed: int) -> None:
        self.customer = customer
        self.chance = random.Random(seed)
        self.said: list[str] = []
        self.events: list[str] = []

    def step(self) -> None:
        subscription = self.customer.subscription
        choices = [self.use, self.use_late, self.take_back, self.wait, self.wait]
        if subscription is None:
            choices += [self.buy, self.buy]
        else:
            choices += [self.change, self.change, self.cancel_now]
            is_coming = subscription.is_canceling or subscription.pending_price is not None
            choices += [self.resume] if is_coming else [self.cancel_at_the_end]
        self.chance.choice(choices)()
        self.customer.settle()

    def use(self, ago: timedelta = timedelta()) -> None:
        meter = self.chance.choice(["api_requests", "ai_tokens"])
        quantity = self.chance.randint(1, 100_000 if meter == "api_requests" else 30_000_000)
        name, now = uuid7().hex, self.customer.now
        first = UsagePeriod.objects.filter(organization=self.customer.organization).earliest("start").start
        event = EventIn(name, meter, quantity, occurred_at=max(now - ago, first))
        for _ in range(2):  # sent twice
            outcome = ingest.record(
                organization=self.customer.organization, events=[event], principal=None, now=now
            )
        self.said.append(f"{now} {meter} {quantity} {ago}: {outcome}")
        if outcome.duplicates:
            self.events.append(name)

    def use_late(self) -> None:
        self.use(timedelta(days=self.chance.randint(1, 34)))

    def take_back(self) -> None:
        if self.events:
            name = self.chance.choice(self.events)
            self.said.append(f"void {name}")
            voids.void(
                organization=self.customer.organization,
                source="api",
                event_id=name,
                principal=None,
                now=self.customer.now,
            )

    def wait(self) -> None:
        self.customer.advance(self.customer.now + timedelta(days=self.chance.randint(1, 40)))
        self.said.append(f"until {self.customer.now}")

    def buy(self) -> None:
        plan, interval = self.chance.choice(["pro", "enterprise"]), self.chance.choice(["month", "year"])
        self.said.append(f"buy {plan} {interval}")
        self.customer.buy(plan, interval)

    def change(self) -> None:
        plan, interval = self.chance.choice(["pro", "enterprise"]), self.chance.choice(["month", "year"])
        self.said.append(f"change {plan} {interval}")
        organization, now = self.customer.organization, self.customer.now
        try:
            shown = subscriptions.preview_plan(
                organization=organization, plan=plan, interval=interval, now=now
            )
        except (plans.AlreadyOnPlan, subscriptions.ChangePending, subscriptions.Ending) as refusal:
            self.said.append(type(refusal).__name__)
            return
        before = set(Invoice.objects.filter(organization=organization).values_list("pk", flat=True))
        subscriptions.change_plan(
            organization=organization, user=self.customer.user, plan=plan, interval=interval,
            previewed_at=shown.effective_at, max_amount_due=shown.amount_due, now=now,
        )  # fmt: skip
        made = Invoice.objects.filter(organization=organization).exclude(pk__in=before)
        changed = self.customer.subscription
        if not shown.at_once:
            assert not made.exists() and shown.amount_due == 0
            assert (changed.pending_price, changed.pending_at) == (shown.price, changed.current_period_end)
            return
        paid = made.get(billing_reason="subscription_update")
        assert (paid.amount_due, max(0, -paid.total)) == (shown.amount_due, shown.credit) and not shown.credit
        assert abs(changed.current_period_end - shown.renews_at) <= timedelta(seconds=1)

    def cancel_now(self) -> None:
        self.said.append("cancel now")
        cancellations.cancel(
            subscription=self.customer.subscription, at_period_end=False, now=self.customer.now
        )

    def cancel_at_the_end(self) -> None:
        self.said.append("cancel at the end")
        cancellations.cancel(subscription=self.customer.subscription, now=self.customer.now)

    def resume(self) -> None:
        self.said.append("resume")
        cancellations.resume(subscription=self.customer.subscription, now=self.customer.now)


@pytest.mark.parametrize("seed", [12, 27, 35])
def test_books_and_stripe_agree_at_the_end_of_a_life(customer: Customer, seed: int) -> None:
    customer.start_test_clock()
    life = Life(customer, seed)
    for _ in range(STEPS):
        life.step()
    if customer.subscription is not None:
        life.cancel_now()
    customer.advance(months.add(customer.now, 2) + timedelta(days=2))
    _periods_are_without_gap(customer)
    assert charges.differences() == [], life.said
    made = OverageCharge.objects.filter(organization=customer.organization)
    assert {charge.status for charge in made} <= {"invoiced"}, life.said
    account = customer.account.stripe_customer_id
    items = [
        item
        for item in client.listed("invoice_items.list", params={"customer": account})
        if item["metadata"].get("overage_charge")
    ]
    assert sorted(item["amount"] for item in items) == sorted(charge.amount for charge in made), life.said
    assert all(item["invoice"] for item in items), life.said
    for quota in Quota.objects.filter(organization=customer.organization, is_closed=True):
        assert quota.late_quantity == quota.late_rated, life.said
        about = RatedLine.objects.filter(about=quota.period_id, meter=quota.meter_id)
        assert sum(line.amount for line in about) >= 0, life.said
    for status in ("draft", "open"):
        assert not Invoice.objects.filter(organization=customer.organization, status=status).exists(), (
            life.said
        )
    at_stripe = client.listed("subscriptions.list", params={"customer": account, "status": "all"})
    assert {each["status"] for each in at_stripe} <= {"canceled"}, life.said
    assert not Subscription.objects.filter(organization=customer.organization).live().exists()
    # Credit comes from use that was taken back, never from a change.
    assert customer.account.balance >= sum(min(0, charge.amount) for charge in made), life.said
    _nothing_was_given_that_was_not_paid(customer, life.said)


def _nothing_was_given_that_was_not_paid(customer: Customer, said: list[str]) -> None:
    """A1: of each meter, units that cost nothing extra are at most what the paid time of each plan includes."""
    bought = _bought(customer)
    given: dict[str, int] = defaultdict(int)
    runs = Subscription.objects.filter(organization=customer.organization)
    for quota in Quota.objects.filter(
        organization=customer.organization, is_closed=True, included__isnull=False
    ):
        start = quota.period.start
        if not any(run.started_at <= start < (run.ended_at or start) for run in runs):
            continue  # on the free plan
        charged = RatedLine.objects.filter(about=quota.period_id, meter=quota.meter_id)
        given[quota.meter.slug] += quota.total - sum(line.quantity for line in charged)
    for meter, units in given.items():
        assert units <= bought[meter], (meter, units, float(bought[meter]), said)


def _bought(customer: Customer) -> dict[str, Fraction]:
    """By Stripe's paid invoices: what the plans include for the time that was paid, less what was paid back."""
    bought: dict[str, Fraction] = defaultdict(Fraction)
    periods = list(UsagePeriod.objects.filter(organization=customer.organization).order_by("start"))
    params = {"customer": customer.account.stripe_customer_id, "status": "paid"}
    for invoice in client.listed("invoices.list", params=params):
        for line in invoice["lines"]["data"]:
            sold = ((line.get("pricing") or {}).get("price_details") or {}).get("price")
            price = Price.objects.filter(stripe_id=sold).first()
            if price is None or not line["amount"]:
                continue
            start, end = (datetime.fromtimestamp(line["period"][name], UTC) for name in ("start", "end"))
            anchor = [each for each in periods if each.start.replace(microsecond=0) <= start][-1].anchor
            sign = 1 if line["amount"] > 0 else -1
            for allowance in price.plan.allowances.select_related("meter"):
                if allowance.included is not None:
                    bought[allowance.meter.slug] += sign * allowance.included * _months(anchor, start, end)
    return bought


def _months(anchor: datetime, start: datetime, end: datetime) -> Fraction:
    """How many months of `anchor` lie in `[start, end)`, in parts."""
    whole = Fraction(0)
    while start < end:
        month = months.around(anchor, start)
        until = min(end, month[1])
        whole += months.share(until - start, month[1] - month[0])
        start = until
    return whole


def _periods_are_without_gap(customer: Customer) -> None:
    periods = list(UsagePeriod.objects.filter(organization=customer.organization).order_by("start"))
    for former, later in pairwise(periods):
        assert former.end == later.start
        assert former.closed_at is not None
    assert periods[-1].closed_at is None and periods[-1].contains(customer.now)


def test_bought_on_the_last_of_january_renews_on_the_last_day_of_each_month(customer: Customer) -> None:
    customer.start_test_clock()
    year = customer.now.year + 1
    customer.advance(datetime(year, 1, 31, 12, tzinfo=UTC))
    bought = customer.buy("pro", "month").current_period_start
    assert bought.day == 31
    customer.advance(datetime(year, 5, 2, tzinfo=UTC))
    starts = UsagePeriod.objects.filter(organization=customer.organization, start__gte=bought)
    days = [(start.month, start.day) for start in starts.order_by("start").values_list("start", flat=True)]
    assert days == [(1, 31), (2, months.add(bought, 1).day), (3, 31), (4, 30)]
    assert starts.latest("start").start == customer.subscription.current_period_start
    _periods_are_without_gap(customer)
