"""Invoice items and invoices of overage at Stripe: once each."""

from datetime import timedelta
from typing import Any

from billing.models import Invoice
from billing.overage import charges
from billing.stripe import client
from tests.billing.conftest import Customer
from tests.billing.overage.test_charges import at_the_draft, deliver, items


def test_a_time_out_after_the_work_was_done_makes_no_second_item(customer: Customer, settings: Any) -> None:
    charge = at_the_draft(customer)
    settings.STRIPE_TIMEOUT_SECONDS = 1
    client._client.cache_clear()
    customer.sandbox.fault("timeout_after", path="/v1/invoiceitems", method="POST", times=10, seconds=4)
    deliver(charge)
    charge.refresh_from_db()
    assert charge.status == "pending"
    customer.sandbox.mend()
    deliver(charge)
    charge.refresh_from_db()
    assert charge.status == "invoiced"
    assert [item["amount"] for item in items(customer)] == [500]


def test_a_draft_that_became_final_too_early_sends_the_charge_to_an_invoice_of_its_own(
    customer: Customer,
) -> None:
    charge = at_the_draft(customer)
    client.call("invoices.finalize_invoice", charge.target_invoice_id, key="too-early")
    charges.put_on_invoice(str(charge.pk))
    charge.refresh_from_db()
    assert (charge.status, charge.is_carried_over) == ("invoiced", True)
    customer.advance(customer.subscription.current_period_start + timedelta(days=1))
    own = Invoice.objects.get(organization=customer.organization, billing_reason="manual")
    assert (own.total, own.status) == (500, "paid")
    assert charges.differences() == []
