"""Overage: rated = invoiced + waived, whatever fails on the way, and never twice."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing.catalog import pricing
from billing.models import Invoice, OverageCharge
from billing.overage import charges
from billing.selling import cancellations
from billing.stripe import client, inbox
from metering.models import Quota, UsagePeriod
from metering.quotas import months, periods
from metering.rating import rating
from metering.usage import ingest, voids
from metering.usage.events import EventIn
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer, wait_for
from tests.billing.test_lifecycle import use


def items(customer: Customer) -> list[dict[str, Any]]:
    """The invoice items of the customer at Stripe."""
    return list(client.listed("invoice_items.list", params={"customer": customer.account.stripe_customer_id}))


def drained(customer: Customer) -> None:
    customer_id = customer.account.stripe_customer_id
    inbox.RecentEvents(customer_id).fetch()
    inbox.process_queue(customer_id)


def at_the_draft(customer: Customer) -> OverageCharge:
    """A renewal's draft exists and its overage is charged, but not sent to Stripe yet."""
    customer.buy("pro", "month")
    customer.start_test_clock()
    use(customer, "api_requests", 60_000)
    end = customer.subscription.current_period_end
    clock_id = customer.account.test_clock_id
    client.call(
        "test_helpers.test_clocks.advance",
        clock_id,
        params={"frozen_time": int(end.timestamp()) + 1},
        key=f"a:{clock_id}",
    )
    wait_for(lambda: client.call("test_helpers.test_clocks.retrieve", clock_id)["status"] == "ready")
    drained(customer)
    return OverageCharge.objects.get(organization=customer.organization)


def deliver(charge: OverageCharge) -> None:
    message = OutboxMessage.objects.get(dedupe_key=charges.item_key(charge))
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
    outbox.deliver(message.pk)


def test_a_renewals_draft_is_the_target_and_the_item_is_made_once(customer: Customer) -> None:
    charge = at_the_draft(customer)
    draft = Invoice.objects.get(organization=customer.organization, status="draft")
    assert (charge.status, charge.amount, charge.target_invoice_id) == ("pending", 500, draft.stripe_id)
    charges.put_on_invoice(str(charge.pk))
    charges.put_on_invoice(str(charge.pk))
    OverageCharge.objects.filter(pk=charge.pk).update(status="pending", invoice_item_id=None)
    charges.put_on_invoice(str(charge.pk))  # as if the worker had died before it wrote the answer down
    assert [item["amount"] for item in items(customer)] == [500]


def test_the_kill_switch_keeps_charges_and_the_job_sends_them_later(
    customer: Customer, settings: Any
) -> None:
    charge = at_the_draft(customer)
    OutboxMessage.objects.filter(dedupe_key=charges.item_key(charge)).delete()
    OverageCharge.objects.filter(pk=charge.pk).update(target_invoice_id="")
    settings.CHARGING_ENABLED = False
    charges.collect(now=timezone.now())
    assert not OutboxMessage.objects.filter(topic=charges.PLACE, state="pending").exists()
    settings.CHARGING_ENABLED = True
    assert charges.collect(now=timezone.now()) == 1
    customer.settle()
    charge.refresh_from_db()
    assert charge.status == "invoiced"


def test_the_job_charges_a_closed_period_that_nobody_charged(customer: Customer) -> None:
    charge = at_the_draft(customer)
    OutboxMessage.objects.filter(dedupe_key=charges.item_key(charge)).delete()
    OverageCharge.objects.all().delete()
    assert len(charges.differences()) == 1
    charges.collect(now=timezone.now())
    customer.settle()
    assert OverageCharge.objects.get().status == "invoiced"
    assert charges.differences() == []
    assert [item["amount"] for item in items(customer)] == [500]


def test_a_free_plan_is_never_charged(customer: Customer) -> None:
    customer.start_test_clock()
    use(customer, "api_requests", 1_000)
    customer.advance(months.add(customer.now, 2))
    assert (
        UsagePeriod.objects.filter(organization=customer.organization, closed_at__isnull=False).count() == 2
    )
    assert not OverageCharge.objects.exists() and not items(customer)


def own_charge(customer: Customer) -> OverageCharge:
    """A charge that goes onto an invoice of its own: the plan was canceled at once."""
    subscription = customer.buy("pro", "month")
    customer.start_test_clock()
    use(customer, "api_requests", 60_000)
    cancellations.cancel(subscription=subscription, at_period_end=False, now=customer.now)
    return OverageCharge.objects.get(organization=customer.organization)


def test_the_job_sends_a_charge_again_whose_message_died(customer: Customer) -> None:
    charge = own_charge(customer)
    dead = OutboxMessage.objects.filter(dedupe_key=charges.item_key(charge))
    assert dead.update(state="dead", last_error="Unavailable: down for a day") == 1
    charges.collect(now=timezone.now())
    customer.settle()
    charge.refresh_from_db()
    assert charge.status == "invoiced"
    assert [item["amount"] for item in items(customer)] == [500]


def test_the_kill_switch_for_two_days_kills_no_charge(customer: Customer, settings: Any) -> None:
    charge = own_charge(customer)
    settings.CHARGING_ENABLED = False
    for _ in range(40):
        deliver(charge)
    settings.CHARGING_ENABLED = True
    deliver(charge)
    charge.refresh_from_db()
    assert charge.status == "invoiced"


def test_a_key_of_ours_that_is_refused_does_not_move_a_charge_to_another_invoice(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The item may have been made before the key was rolled: on another invoice it would be charged twice."""
    charge = at_the_draft(customer)
    with monkeypatch.context() as patch:
        patch.setattr("django.conf.settings.STRIPE_SECRET_KEY", "not-a-key-of-stripe")
        client._client.cache_clear()
        with pytest.raises(client.Unavailable):
            charges.put_on_invoice(str(charge.pk))
    client._client.cache_clear()
    charge.refresh_from_db()
    assert (charge.status, charge.is_carried_over) == ("pending", False)


def test_one_period_that_cannot_be_charged_does_not_hold_up_the_others(
    customer: Customer, other_customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (customer, other_customer):
        period = UsagePeriod.objects.filter(organization=each.organization).latest("start")
        Quota.objects.filter(period=period).update(included=1_000, is_hard=False, overage_rate=1)
        Quota.objects.filter(period=period, meter__slug="api_requests").update(used=1_500)
        periods.close(period=period, now=period.end)
    OverageCharge.objects.all().delete()
    charge = charges.charge

    def charge_others(*, period: UsagePeriod, now: Any) -> Any:
        if period.organization_id == customer.organization.pk:
            raise RuntimeError("a receiver failed")
        return charge(period=period, now=now)

    monkeypatch.setattr(charges, "charge", charge_others)
    charges.collect(now=timezone.now())
    assert [each.organization for each in OverageCharge.objects.all()] == [other_customer.organization]


def test_what_comes_late_for_a_closed_period_is_invoiced_with_the_next(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    former = UsagePeriod.objects.filter(organization=customer.organization).latest("start")
    use(customer, "ai_tokens", 1_000_000)  # all that is included
    customer.advance(former.end + timedelta(days=2))
    late = EventIn("late", "ai_tokens", 3_000_000, occurred_at=former.end - timedelta(hours=1))
    for _ in range(2):  # sent again, it counts once
        ingest.record(organization=customer.organization, events=[late], principal=None, now=customer.now)
    assert not OverageCharge.objects.exists()
    customer.advance(months.add(former.end, 1) + timedelta(days=1))
    (adjustment,) = OverageCharge.objects.all()
    assert (adjustment.status, adjustment.amount) == ("invoiced", 600)
    renewal = Invoice.objects.filter(organization=customer.organization).latest("created_at")
    assert (renewal.status, renewal.total) == ("paid", 3_500)
    voids.void(
        organization=customer.organization, source="api", event_id="late", principal=None, now=customer.now
    )
    customer.advance(months.add(former.end, 2) + timedelta(days=1))
    renewal = Invoice.objects.filter(organization=customer.organization).latest("created_at")
    assert (renewal.status, renewal.total) == ("paid", 2_300)
    assert charges.differences() == []


@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    requests=st.integers(0, 10**9), tokens=st.integers(0, 10**12),
    rate=st.decimals(Decimal("0.000001"), Decimal(10), places=6),
)  # fmt: skip
def test_charges_add_up_to_what_was_rated_to_the_cent(
    customer: Customer, requests: int, tokens: int, rate: Decimal
) -> None:
    with transaction.atomic():
        period = UsagePeriod.objects.filter(organization=customer.organization).latest("start")
        Quota.objects.filter(period=period).update(included=1_000, is_hard=False, overage_rate=rate)
        Quota.objects.filter(period=period, meter__slug="api_requests").update(used=requests)
        Quota.objects.filter(period=period, meter__slug="ai_tokens").update(used=tokens)
        periods.close(period=period, now=period.end)
        charged = sum(charge.amount for charge in OverageCharge.objects.filter(period=period))
        expected = sum(int(max(0, used - 1_000) * rate) for used in (requests, tokens))
        assert charged == expected == sum(line.amount for line in rating.rate(period))
        assert charges.differences() == []
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("0.05", "then $0.50 per 1,000"),
        ("0.0002", "then $2.00 per million"),
        ("0.03", "then $0.30 per 1,000"),
        ("25", "then $0.25 each"),
        ("0.00015", "then $1.50 per million"),
    ],
)
def test_a_rate_is_said_in_whole_cents(rate: str, text: str) -> None:
    assert pricing.overage_text(Decimal(rate), "usd") == text
