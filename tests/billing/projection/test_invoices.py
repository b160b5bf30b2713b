"""Invoices as rows, with their lines and payments."""

from billing.models import Invoice
from billing.projection import invoices
from billing.stripe import client
from tests.billing.conftest import Customer


def test_an_invoice_is_stored_with_its_lines_and_its_payment(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    invoice = Invoice.objects.get(organization=customer.organization)
    assert (invoice.status, invoice.total, invoice.amount_due, invoice.subscription) == (
        "paid",
        2_900,
        2_900,
        bought,
    )
    assert [line.amount for line in invoice.lines.all()] == [2_900]
    assert [payment.amount for payment in invoice.payments.all()] == [2_900]
    invoice.lines.all().delete()
    assert invoices.refresh(invoice.stripe_id) is not None
    assert invoice.lines.count() == 1


def test_a_draft_that_was_deleted_at_stripe_is_deleted(customer: Customer) -> None:
    draft = client.call("invoices.create", params={"customer": customer.account.stripe_customer_id})
    assert invoices.refresh(draft["id"]) is not None
    client.call("invoices.delete", draft["id"])
    assert invoices.refresh(draft["id"]) is None
    assert not Invoice.objects.filter(stripe_id=draft["id"]).exists()


def test_an_invoice_of_a_customer_who_is_not_ours_is_ignored(customer: Customer) -> None:
    stranger = client.call("customers.create", params={"email": "stranger@example.com"})
    draft = client.call("invoices.create", params={"customer": stranger["id"]})
    assert invoices.refresh(draft["id"]) is None
    assert not Invoice.objects.exists()
