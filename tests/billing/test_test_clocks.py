"""Simulated time: a year in steps, only in test mode, by command and by worker."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import test_clocks
from billing.models import Invoice, Subscription
from billing.stripe import client
from metering.quotas import months
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer, deliver_all
from tests.billing.test_admin import Staff, act
from tests.billing.test_lifecycle import use


def test_months_pass_with_one_invoice_each(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    use(customer, "api_requests", 50_100)
    customer.advance(months.add(customer.now, 3) + timedelta(hours=2))
    renewals = Invoice.objects.filter(organization=customer.organization, billing_reason="subscription_cycle")
    assert sorted(renewals.values_list("status", "total")) == [("paid", 2900), ("paid", 2900), ("paid", 2905)]


def test_a_trial_ends_in_a_paid_month(customer: Customer) -> None:
    from billing.models import Plan

    Plan.objects.filter(product__slug="pro").update(trial_days=14)
    subscription = customer.buy("pro", "month")
    assert subscription.status == "trialing" and customer.account.had_trial
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=15))
    assert customer.subscription.status == "active"
    assert Invoice.objects.filter(organization=customer.organization, total=2900, status="paid").count() == 1


def test_the_worker_advances_in_messages_of_its_own(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    target = customer.now + timedelta(days=3)
    test_clocks.advance(organization=customer.organization, to=target)
    assert customer.account.test_clock_target == target
    deliver_all(customer.organization)
    assert customer.now == target.replace(microsecond=0)
    assert customer.account.test_clock_target is None
    with pytest.raises(test_clocks.TimeRunsForward):
        test_clocks.advance(organization=customer.organization, to=customer.now)


def test_a_start_whose_answer_was_lost_finds_the_clock_of_the_first_time(
    customer: Customer, settings: Any
) -> None:
    settings.STRIPE_TIMEOUT_SECONDS = 1
    client._client.cache_clear()
    customer.sandbox.fault(
        "timeout_after", path="/v1/test_helpers/test_clocks", method="POST", times=10, seconds=3
    )
    with pytest.raises(client.Unavailable):
        test_clocks.start(customer.organization)
    customer.sandbox.mend()
    test_clocks.start(customer.organization)
    at_stripe = client.call("customers.retrieve", customer.account.stripe_customer_id)
    assert at_stripe["test_clock"] == customer.account.test_clock_id


def test_the_command_starts_and_advances(customer: Customer) -> None:
    customer.buy("pro", "month")
    said = StringIO()
    call_command("test_clock", organization=customer.organization.email, advance="1m", stdout=said)
    assert customer.now > timezone.now() + timedelta(days=27)
    assert str(customer.now.year) in said.getvalue()
    with pytest.raises(CommandError, match="1m is a month"):
        call_command("test_clock", organization=str(customer.organization.pk), advance="soon")


def test_deleting_a_test_clock_gives_a_new_customer_and_the_free_plan(customer: Customer) -> None:
    customer.buy("pro", "month")
    former = customer.account.stripe_customer_id
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=40))
    test_clocks.stop(customer.organization)
    customer.settle()
    account = customer.account
    assert account.stripe_customer_id not in (None, former) and account.test_clock_id == ""
    assert account.plan.slug == "free" and customer.organization.test_clock_time is None
    assert set(Subscription.objects.values_list("status", flat=True)) == {"canceled"}
    assert client.call("customers.retrieve", former).get("deleted")
    customer.buy("pro", "month")
    assert customer.account.plan.slug == "pro"


def test_live_keys_and_live_organizations_are_refused(customer: Customer, settings: Any) -> None:
    settings.STRIPE_LIVE_MODE = True
    with pytest.raises(test_clocks.OnlyInTestMode):
        test_clocks.start(customer.organization)
    settings.STRIPE_LIVE_MODE = False
    customer.organization.livemode = True
    with pytest.raises(test_clocks.OnlyInTestMode):
        test_clocks.start(customer.organization)
    customer.organization.livemode = False
    with pytest.raises(test_clocks.NotOnTestClock):
        test_clocks.advance(organization=customer.organization, to=timezone.now())


def test_a_step_is_said_to_run_until_it_is_done(customer: Customer) -> None:
    """A month that had not begun was said to be done, and a second press on the button was lost."""
    customer.start_test_clock()
    staff = Staff(is_superuser=True)
    said = act(staff, customer.account, "advance_a_day")
    assert "1 started. It continues in the background" in said and "1 done." not in said
    assert "Advancing to" in said
    again = act(staff, customer.account, "advance_a_month")
    assert "It is on its way to" in again and "begun" not in again
    assert OutboxMessage.objects.filter(topic=test_clocks.ADVANCE).count() == 1
    deliver_all(customer.organization)
    done = staff.get("/admin/billing/billingaccount/").content.decode()
    assert "Advancing to" not in done


def test_a_step_that_was_given_up_is_said_to_have_stopped_and_stops_no_other(customer: Customer) -> None:
    customer.start_test_clock()
    staff = Staff(is_superuser=True)
    act(staff, customer.account, "advance_a_day")
    OutboxMessage.objects.filter(topic=test_clocks.ADVANCE).update(state=OutboxMessage.State.DEAD)
    assert "failed: see the outbox" in staff.get("/admin/billing/billingaccount/").content.decode()
    assert "1 started" in act(staff, customer.account, "advance_a_month")
