"""Mails about money: each once, and none is lost because another process was quicker."""

from datetime import timedelta

from accounts import notifications
from billing.models import Invoice, WebhookEvent
from billing.projection import invoices
from billing.stripe import inbox
from metering.quotas import months
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import FAILS_LATER_CARD, Customer


def mails(customer: Customer, template: str) -> list[dict[str, object]]:
    """The contexts of the organization's mails by `template`."""
    rows = OutboxMessage.objects.filter(topic=notifications.TOPIC, organization_id=customer.organization.pk)
    found = [row.payload for row in rows.order_by("id")]
    assert all(each["to"] == [customer.organization.email] for each in found if "billing" in each["template"])
    return [each["context"] for each in found if each["template"] == f"billing/email/{template}"]


def test_a_paid_invoice_is_receipted_once(customer: Customer) -> None:
    customer.buy("pro", "month")
    (receipt,) = mails(customer, "receipt")
    invoice = Invoice.objects.get(organization=customer.organization)
    assert (receipt["amount"], receipt["number"]) == ("$29.00", invoice.number)
    for event in WebhookEvent.objects.filter(type__in=["invoice.paid", "invoice.payment_succeeded"]):
        inbox.replay(event)
    customer.settle()
    assert len(mails(customer, "receipt")) == 1
    mail = notifications.render("billing/email/receipt", [customer.organization.email], receipt)
    assert mail.subject == f"Receipt for $29.00 ({invoice.number})"
    assert f"/invoices/{invoice.pk}" in mail.body and "$29.00" in mail.body


def test_a_renewal_has_a_receipt_of_its_own(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    customer.advance(months.add(customer.now, 1) + timedelta(days=1))
    assert len(mails(customer, "receipt")) == 2


def test_a_declined_renewal_is_told_and_not_receipted(customer: Customer) -> None:
    customer.buy("pro", "month", card=FAILS_LATER_CARD)
    customer.start_test_clock()
    customer.advance(months.add(customer.now, 1) + timedelta(hours=3))
    assert len(mails(customer, "receipt")) == 1
    (told,) = mails(customer, "payment_failed")
    mail = notifications.render("billing/email/payment_failed", [customer.organization.email], told)
    retries = f"We will try again on {told['next_attempt']}. Pro stays active in the meantime"
    assert f"{retries}, and ends if every attempt fails." in mail.body
    customer.advance(customer.now + timedelta(days=40))
    told = mails(customer, "payment_failed")[-1]
    mail = notifications.render("billing/email/payment_failed", [customer.organization.email], told)
    assert "Pro has ended, and the invoice is still unpaid." in mail.body and "/invoices/" in mail.body
    assert "Update your card" not in mail.body


def test_an_event_whose_invoice_another_process_has_fetched_later_is_still_acted_on(
    customer: Customer, monkeypatch
) -> None:
    """The page that changed the plan fetches the invoice too; its fetch is the newer one, and the event's is stale."""
    fetch = invoices.refresh

    def overtaken(invoice_id: str) -> Invoice | None:
        fetch(invoice_id)
        return None

    monkeypatch.setattr(invoices, "refresh", overtaken)
    customer.buy("pro", "month")
    assert len(mails(customer, "receipt")) == 1
