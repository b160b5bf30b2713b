"""Billing facts for pages and for `billing/subscription`, from our own rows."""

from billing.selling import cancellations, overview
from metering.quotas import periods, quota_status
from tests.billing.conftest import Customer


def dashboard(customer: Customer) -> overview.Dashboard:
    used = quota_status.overview(customer.organization, customer.now)
    return overview.dashboard(customer.organization, used, customer.now)


def test_without_a_paid_plan_the_facts_are_those_of_the_free_one(customer: Customer) -> None:
    facts = overview.plan_facts(organization=customer.organization, now=customer.now)
    period = periods.ensure(organization=customer.organization, now=customer.now)
    assert (facts["plan"], facts["status"], facts["interval"]) == ("free", "active", None)
    assert (facts["current_period_start"], facts["current_period_end"]) == (period.start, period.end)
    shown = dashboard(customer)
    assert (shown.is_free, shown.status, shown.next_invoice) == (True, "active", None)
    assert shown.plan is not None and shown.plan.slug == "free"


def test_a_paid_plan_shows_its_next_invoice_until_it_is_canceled(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    facts = overview.plan_facts(organization=customer.organization, now=customer.now)
    assert (facts["plan"], facts["interval"], facts["cancel_at_period_end"]) == ("pro", "month", False)
    assert facts["current_period_end"] == bought.current_period_end
    shown = dashboard(customer)
    assert (shown.is_free, shown.status) == (False, "active") and shown.next_invoice is not None
    cancellations.cancel(subscription=bought, now=customer.now)
    assert dashboard(customer).status == "canceling"
    assert overview.plan_facts(organization=customer.organization, now=customer.now)["cancel_at_period_end"]
